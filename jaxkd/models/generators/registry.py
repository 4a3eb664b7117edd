"""Generators: from latents (and labels) to images."""

from collections.abc import Callable, Sequence
import functools
import itertools
import math
from typing import NamedTuple

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxkd.config import checks
from jaxkd.models.dast import DaST
from jaxkd.models.generators.convolutional import DCGAN, Upsampling
from jaxkd.models.generators.transformer_gan import TransformerGAN
from jaxkd.models.layers import to_pixels
from jaxkd.types import Array, DataSpec, JaxkdError, Variables

__all__ = ["ConditionalMLP", "Generator", "create_generator", "generator_names"]


class ConditionalMLP(nn.Module):
  """Latents and a one-hot label to an input; CAKE's toy generator.

  Attributes:
    shape: of one input.
    num_classes: K.
    hidden: widths of the ReLU layers.
  """

  shape: Sequence[int]
  num_classes: int
  hidden: Sequence[int] = (10, 10)

  @nn.compact
  def __call__(self, latents: Array, labels: Array) -> Array:
    """`latents [N, Z]`, `labels [N]` to `[N, *shape]`, unbounded."""
    onehot = jax.nn.one_hot(labels, self.num_classes)
    x = jnp.concatenate([latents, onehot], axis=-1)
    for width in self.hidden:
      x = nn.relu(nn.Dense(width)(x))
    x = nn.Dense(math.prod(self.shape))(x)
    return x.reshape(-1, *self.shape)


@flax.struct.dataclass
class Generator:
  """A generator as data; all of it is static.

  Attributes:
    latents: Z.
    init: `key -> variables`; may be called in a compiled function.
    apply: `(variables, latents [N, Z], *, train=True) -> (pre, changed)`: the
      images before they are squashed, `[N, H, W, C]`, and the collections that
      changed. `train=True` normalises by the batch; otherwise by the running
      statistics, and nothing changes.
    to_pixels: `pre -> images` in [0, 1], those of `dafl`, `dfad` and `zskt` by
      their mean and standard deviation alone.
  """

  latents: int = flax.struct.field(pytree_node=False)
  init: Callable[[Array], Variables] = flax.struct.field(pytree_node=False)
  apply: Callable[..., tuple[Array, Variables]] = flax.struct.field(
    pytree_node=False
  )
  to_pixels: Callable[[Array], Array] = flax.struct.field(pytree_node=False)


def _sigmoid_pixels(pre: Array, spec: DataSpec) -> Array:
  del spec
  return nn.sigmoid(pre)


def _tanh_pixels(pre: Array, spec: DataSpec) -> Array:
  del spec
  return (jnp.tanh(pre) + 1) / 2


class _GeneratorSpec(NamedTuple):
  """How a name becomes a module, and what was published with it.

  Attributes:
    build: `(spec, width) -> module`.
    latents: Z.
    width: channels of the first map.
    factor: which widths are multiples of.
    side: which height and width are multiples of.
    to_pixels: `(pre, spec) -> images`.
    normal: the parameters whose path starts like this are drawn as in DCGAN,
      all others as in PyTorch.
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
_RECIPES = {
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
  """All names that `create_generator` takes.

  >>> "upsampling" in generator_names()
  True
  """
  return sorted(_RECIPES)


def create_generator(
  name: str, spec: DataSpec, *, latents: int = 0, width: int = 0
) -> Generator:
  """The generator `name` of images like `spec`.

  Args:
    name: one of `generator_names()`.
    spec: of the images.
    latents: Z; 0 is what was published.
    width: channels of the first map, to which all others keep their published
      proportion; 0 is what was published.

  Raises:
    JaxkdError: if there is no such generator, or it makes no such images.
  """
  checks.choice("generator", name, generator_names())
  recipe = _RECIPES[name]
  sides = spec.shape[:2]
  if len(spec.shape) != 3 or any(side % recipe.side for side in sides):
    raise JaxkdError(
      f"Generator {name!r} makes images [H, W, C] with sides that are "
      f"multiples of {recipe.side}, and {spec.name} has inputs of shape "
      f"{spec.shape}; choose another image_size or generator."
    )
  latents, width = latents or recipe.latents, width or recipe.width
  checks.positive(latents=latents, width=width)
  if width % recipe.factor:
    raise JaxkdError(
      f"width={width} of generator {name!r}: it must be a multiple of "
      f"{recipe.factor}; {recipe.width} is what was published."
    )
  module = recipe.build(spec, width)
  rows = spec.num_classes if name == "dast" else 1
  return Generator(
    latents,
    functools.partial(_init, module, (rows, latents), recipe.normal),
    functools.partial(_apply, module),
    functools.partial(recipe.to_pixels, spec=spec),
  )


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _init(
  module: nn.Module, shape: tuple[int, int], normal: str | None, key: Array
) -> Variables:
  # As in `jaxkd.models.init`: these draws compile fast.
  init_key, normal_key = (
    jax.random.wrap_key_data(seed, impl="rbg")
    for seed in jax.random.bits(key, (2, 4))
  )
  variables = module.init(init_key, jnp.zeros(shape), train=False)
  if normal is None:
    return variables
  params = variables["params"]
  redrawn = {k: v for k, v in params.items() if k.startswith(normal)}
  return {**variables, "params": {**params, **_normal(redrawn, normal_key)}}


def _normal(params: Variables, key: Array) -> Variables:
  """DCGAN's initialisation: weights N(0, 0.02), scales N(1, 0.02), biases 0."""
  leaves, structure = jax.tree.flatten_with_path(params)
  # One draw for all, because the compiler takes its time for each.
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
  if not train:
    return module.apply(variables, latents, train=False), {}
  return module.apply(variables, latents, train=True, mutable=["batch_stats"])
