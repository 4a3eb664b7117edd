"""The registry of generators: published recipes by name."""

from collections.abc import Callable
import functools
import itertools
from typing import NamedTuple

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxkd.config import checks
from jaxkd.models.cpu import conv
from jaxkd.models.dast import DaST
from jaxkd.models.generators.convolutional import DCGAN, Upsampling
from jaxkd.models.generators.transformer_gan import TransformerGAN
from jaxkd.models.layers import to_pixels
from jaxkd.runtime import devices
from jaxkd.types import Array, DataSpec, JaxkdError, Variables

__all__ = ["Generator", "create_generator", "generator_names"]


@flax.struct.dataclass
class Generator:
  """A generator without its variables; all fields are static under `jax.jit`.

  Attributes:
    latents: Z.
    init: `key -> variables`; may be called in a compiled function.
    apply: `(variables, latents [N, Z], *, train=True) -> (outputs, changed)`:
      unbounded outputs `[N, H, W, C]` and the collections that changed. With
      `train=True` it normalises with the statistics of the batch; otherwise
      with the running statistics, and no collection changes.
    to_pixels: `outputs -> images`, in [0, 1] except for `dafl`, `dfad` and
      `zskt`, whose images have the data's mean and standard deviation instead.
  """

  latents: int = flax.struct.field(pytree_node=False)
  init: Callable[[Array], Variables] = flax.struct.field(pytree_node=False)
  apply: Callable[..., tuple[Array, Variables]] = flax.struct.field(
    pytree_node=False
  )
  to_pixels: Callable[[Array], Array] = flax.struct.field(pytree_node=False)


def _sigmoid_pixels(outputs: Array, spec: DataSpec) -> Array:
  del spec
  return nn.sigmoid(outputs)


def _tanh_pixels(outputs: Array, spec: DataSpec) -> Array:
  del spec
  return (jnp.tanh(outputs) + 1) / 2


class _GeneratorSpec(NamedTuple):
  """A published generator.

  Attributes:
    build: `(spec, width) -> module`.
    latents: Z.
    width: channels of the first map.
    factor: number of which every width is a multiple.
    side: number of which height and width of the images are multiples.
    to_pixels: `(outputs, spec) -> images`.
    normal: parameters whose path starts with this are initialised as in DCGAN,
      all others as in PyTorch; None for no parameters.
  """

  build: Callable[[DataSpec, int], nn.Module]
  latents: int
  width: int
  factor: int
  side: int = 4
  to_pixels: Callable[[Array, DataSpec], Array] = _sigmoid_pixels
  normal: str | None = ""


def _upsampling(spec: DataSpec, width: int, **options) -> Upsampling:
  return Upsampling(spec.shape, (width, width, width // 2), **options)


_tanh_upsampling = functools.partial(
  _GeneratorSpec, width=128, factor=2, to_pixels=_tanh_pixels, normal=None
)
_GENERATORS = {
  "dafl": _tanh_upsampling(
    functools.partial(
      _upsampling,
      use_bias=True,
      last_norm="plain",
      tanh_first=True,
      epsilon=0.8,
    ),
    latents=1000,
    to_pixels=to_pixels,
  ),
  "dast": _GeneratorSpec(
    lambda spec, width: DaST(spec.shape, spec.num_classes, width),
    latents=128,
    width=128,
    factor=2,
    normal="trunk",
  ),
  "dcgan": _GeneratorSpec(
    lambda spec, width: DCGAN(
      spec.shape, (width, width // 2, width // 4, width // 8, width // 8)
    ),
    latents=256,
    width=512,
    factor=8,
    side=1,
  ),
  "dfad": _tanh_upsampling(
    functools.partial(
      _upsampling, use_bias=True, last_norm="plain", tanh_first=True
    ),
    latents=256,
    to_pixels=to_pixels,
  ),
  "dfme": _tanh_upsampling(
    functools.partial(_upsampling, use_bias=True, last_norm="plain"),
    latents=256,
  ),
  "maze": _tanh_upsampling(
    functools.partial(_upsampling, use_bias=True, last_norm="affine"),
    latents=100,
  ),
  "transformer": _GeneratorSpec(
    lambda spec, width: TransformerGAN(spec.shape, width),
    latents=1024,
    width=384,
    factor=64,
    normal=None,
  ),
  "upsampling": _GeneratorSpec(_upsampling, latents=256, width=128, factor=2),
  "upsampling_large": _GeneratorSpec(
    lambda spec, width: Upsampling(spec.shape, (width, width // 2, width // 4)),
    latents=256,
    width=256,
    factor=4,
  ),
  "zskt": _tanh_upsampling(
    functools.partial(_upsampling, use_bias=True, last_norm="affine"),
    latents=100,
    to_pixels=to_pixels,
  ),
}


def generator_names() -> list[str]:
  """Returns all names that `create_generator` accepts.

  >>> "upsampling" in generator_names()
  True
  """
  return sorted(_GENERATORS)


def create_generator(
  name: str, spec: DataSpec, *, latents: int = 0, width: int = 0
) -> Generator:
  """Creates the generator `name` for images like `spec`.

  Args:
    name: one of `generator_names()`.
    spec: spec of the images.
    latents: Z; 0 is the published number.
    width: channels of the first map, with which all other widths scale; 0 is
      the published number.

  Raises:
    JaxkdError: if there is no such generator, or if it cannot make such images.
  """
  checks.choice("generator", name, generator_names())
  published = _GENERATORS[name]
  sides = spec.shape[:2]
  if len(spec.shape) != 3 or any(side % published.side for side in sides):
    raise JaxkdError(
      f"The generator {name!r} makes images [H, W, C] with sides that are "
      f"multiples of {published.side}, and {spec.name} has inputs of shape "
      f"{spec.shape}; choose another image_size or generator."
    )
  latents, width = latents or published.latents, width or published.width
  checks.positive(latents=latents, width=width)
  if width % published.factor:
    raise JaxkdError(
      f"width={width} of the generator {name!r} must be a multiple of "
      f"{published.factor}; the published width is {published.width}."
    )
  module = published.build(spec, width)
  rows = spec.num_classes if name == "dast" else 1
  return Generator(
    latents,
    functools.partial(_init, module, (rows, latents), published.normal),
    functools.partial(_apply, module),
    functools.partial(published.to_pixels, spec=spec),
  )


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _init(
  module: nn.Module, shape: tuple[int, int], normal: str | None, key: Array
) -> Variables:
  # The hardware generator compiles faster, as in `jaxkd.models.init`.
  init_key, normal_key = (
    jax.random.wrap_key_data(seed, impl="rbg")
    for seed in jax.random.bits(key, (2, 4))
  )
  # What the layers compute is thrown away.
  with conv.reference_form():
    variables = module.init(init_key, jnp.zeros(shape), train=False)
  if normal is None:
    return variables
  params = variables["params"]
  redrawn = {k: v for k, v in params.items() if k.startswith(normal)}
  return {**variables, "params": {**params, **_normal(redrawn, normal_key)}}


def _normal(params: Variables, key: Array) -> Variables:
  """Draws weights from N(0, 0.02) and scales from N(1, 0.02), biases are 0."""
  leaves, structure = jax.tree.flatten_with_path(params)
  # One draw for all parameters, because every draw adds to the compile time.
  ends = list(itertools.accumulate(leaf.size for _, leaf in leaves))
  noise = 0.02 * jax.random.normal(key, (ends[-1],))
  means = {"kernel": 0.0, "scale": 1.0}
  drawn = [
    means[path[-1].key] + part.reshape(leaf.shape)
    if path[-1].key in means
    else jnp.zeros_like(leaf)
    for (path, leaf), part in zip(
      leaves, jnp.split(noise, ends[:-1]), strict=True
    )
  ]
  return jax.tree.unflatten(structure, drawn)


def _apply(
  module: nn.Module, variables: Variables, latents: Array, *, train: bool = True
) -> tuple[Array, Variables]:
  latents = devices.over_batch(latents)
  if not train:
    return module.apply(variables, latents, train=False), {}
  return module.apply(variables, latents, train=True, mutable=["batch_stats"])
