"""Classifiers from linen modules, nnx modules and plain functions.

Two classifiers of the same recipe (module, mean, std) have equal `apply`, which
is static under `jax.jit`: what was compiled for the one serves the other.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
import inspect
from typing import Any

from flax import nnx
import flax.linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict
import jax
import jax.numpy as jnp

from jaxkd.types import Array, Classifier, JaxkdError, Outputs, Variables

# How modules are told that they are in training.
_MODES = {
  "train": lambda train: train,
  "training": lambda train: train,
  "is_training": lambda train: train,
  "deterministic": lambda train: not train,
  "use_running_average": lambda train: not train,
}


def from_linen(
  module: nn.Module,
  variables: Variables,
  *,
  mean: tuple[float, ...] | None = None,
  std: tuple[float, ...] | None = None,
  name: str | None = None,
) -> Classifier:
  """A classifier from a linen module.

  Args:
    module: takes normalised images `[B, H, W, C]` and returns logits `[B, K]`
      or `Outputs`. In training it is told so by its keyword `train` (or
      `training`, `is_training`, `deterministic`, `use_running_average`), if
      there is one, and all collections but `params` may change.
    variables: `{'params': ...}` and what else the module has.
    mean: per channel, in pixel space; images are taken as they are without it.
    std: per channel, likewise.
    name: for messages and reports; the module's class without it.

  Raises:
    JaxkdError: if there is a mean without std or the reverse.
  """
  mode = next(
    (
      mode
      for mode in _MODES
      if mode in inspect.signature(type(module).__call__).parameters
    ),
    None,
  )
  apply = _Linen(_Normaliser.of(mean, std), module, mode)
  return Classifier(variables, apply, name or type(module).__name__)


def from_nnx(
  model: nnx.Module,
  *,
  mean: tuple[float, ...] | None = None,
  std: tuple[float, ...] | None = None,
  name: str | None = None,
) -> Classifier:
  """A classifier from an nnx module, whose arrays are copied out of it.

  `model.train()` and `model.eval()` set its mode. Its random streams are not
  kept: in training they start from the step's key.

  Args:
    model: takes normalised images and returns logits or `Outputs`.
    mean: see `from_linen`.
    std: see `from_linen`.
    name: see `from_linen`.

  Raises:
    JaxkdError: if there is a mean without std or the reverse.
  """
  graph, params, batch_stats, streams, state = nnx.split(
    model, nnx.Param, nnx.BatchStat, nnx.RngState, ...
  )
  paths = tuple(
    (path, jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))
    for path, leaf in flatten_dict(nnx.to_pure_dict(streams)).items()
  )
  variables = {
    "params": nnx.to_pure_dict(params),
    "batch_stats": nnx.to_pure_dict(batch_stats),
    "state": nnx.to_pure_dict(state),
  }
  apply = _Nnx(_Normaliser.of(mean, std), graph, paths)
  return Classifier(variables, apply, name or type(model).__name__)


def from_function(
  function: Callable[[Variables, Array], Array | Outputs],
  variables: Variables,
  *,
  mean: tuple[float, ...] | None = None,
  std: tuple[float, ...] | None = None,
  name: str | None = None,
) -> Classifier:
  """A classifier from a pure function that is the same in training.

  Args:
    function: `(variables, normalised images) -> logits` or `Outputs`.
    variables: its first argument; a dict with `params` if it is to be trained.
    mean: see `from_linen`.
    std: see `from_linen`.
    name: see `from_linen`.

  Raises:
    JaxkdError: if there is a mean without std or the reverse.

  >>> double = from_function(lambda scale, images: scale * images, 2.0)
  >>> double(jnp.ones((1, 3))).logits
  Array([[2., 2., 2.]], dtype=float32)
  """
  apply = _Function(_Normaliser.of(mean, std), function)
  return Classifier(
    variables, apply, name or getattr(function, "__name__", "function")
  )


def with_compute_dtype(classifier: Classifier, dtype: str) -> Classifier:
  """The same network with the same weights, computing in another dtype.

  Args:
    classifier: whose layers have a field `dtype`, as those of the zoo.
    dtype: `float32` leaves it as it is; `bfloat16`.

  Raises:
    JaxkdError: if nothing tells the network what to compute in.
  """
  if dtype == "float32":
    return classifier
  apply = classifier.apply
  if not (isinstance(apply, _Linen) and hasattr(apply.module, "dtype")):
    raise JaxkdError(
      f"compute_dtype={dtype}: {classifier.name!r} is no flax.linen module "
      "with a field dtype, which would say what to compute in; set "
      "compute_dtype=float32."
    )
  module = apply.module.clone(dtype=jnp.dtype(dtype))
  return classifier.replace(apply=replace(apply, module=module))


@dataclass(frozen=True)
class _Normaliser:
  mean: tuple[float, ...] | None
  std: tuple[float, ...] | None

  @classmethod
  def of(cls, mean, std) -> "_Normaliser":
    if (mean is None) != (std is None):
      raise JaxkdError(
        f"mean={mean} and std={std}: give both or neither, one number per "
        "channel, e.g. mean=(0.5,), std=(0.5,)."
      )
    if mean is None:
      return cls(None, None)
    return cls(tuple(map(float, mean)), tuple(map(float, std)))

  def __call__(self, images: Array) -> Array:
    if self.mean is None:
      return images
    mean = jnp.asarray(self.mean, images.dtype)
    return (images - mean) / jnp.asarray(self.std, images.dtype)


@dataclass(frozen=True)
class _Linen:
  normalise: _Normaliser
  module: nn.Module
  mode: str | None

  def __call__(
    self,
    variables: Variables,
    images: Array,
    *,
    train: bool = False,
    rng: Array | None = None,
  ) -> tuple[Outputs, Variables]:
    outputs, changed = self.module.apply(
      variables,
      self.normalise(images),
      mutable=[name for name in variables if train and name != "params"],
      rngs=None if rng is None else {"dropout": rng},
      **({self.mode: _MODES[self.mode](train)} if self.mode else {}),
    )
    return _outputs(outputs), changed


@dataclass(frozen=True)
class _Nnx:
  normalise: _Normaliser
  graph: Any
  streams: tuple[tuple[tuple, bool], ...]  # path, and whether it is the key

  def __call__(
    self,
    variables: Variables,
    images: Array,
    *,
    train: bool = False,
    rng: Array | None = None,
  ) -> tuple[Outputs, Variables]:
    key = jax.random.key(0) if rng is None else rng
    streams = {
      path: jax.random.fold_in(key, index) if is_key else jnp.uint32(0)
      for index, (path, is_key) in enumerate(self.streams)
    }
    model = nnx.merge(
      self.graph,
      variables["params"],
      variables["batch_stats"],
      unflatten_dict(streams),
      variables["state"],
      copy=True,
    )
    if not train:
      model.eval()
      return _outputs(model(self.normalise(images))), {}
    model.train()
    outputs = _outputs(model(self.normalise(images)))
    _, _, batch_stats, _, state = nnx.split(
      model, nnx.Param, nnx.BatchStat, nnx.RngState, ...
    )
    return outputs, {
      "batch_stats": nnx.to_pure_dict(batch_stats),
      "state": nnx.to_pure_dict(state),
    }


@dataclass(frozen=True)
class _Function:
  normalise: _Normaliser
  function: Callable[[Variables, Array], Array | Outputs]

  def __call__(
    self,
    variables: Variables,
    images: Array,
    *,
    train: bool = False,
    rng: Array | None = None,
  ) -> tuple[Outputs, Variables]:
    del train, rng  # a plain function has no modes
    return _outputs(self.function(variables, self.normalise(images))), {}


def _outputs(returned: Array | Outputs) -> Outputs:
  if isinstance(returned, Outputs):
    return returned
  if not isinstance(returned, jax.Array):
    raise JaxkdError(
      f"The network returned a {type(returned).__name__}; it must return "
      "logits [B, K] or jaxkd.Outputs. Wrap it with jaxkd.from_function."
    )
  return Outputs(returned)
