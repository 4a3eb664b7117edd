"""The functions of a `Classifier` that apply linen, nnx and plain networks.

They are frozen dataclasses. Two functions of the same module and normaliser are
equal and have equal hashes, so that `jax.jit`, for which they are static,
compiles a network once for all of its variables.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
import functools
import inspect

from flax import nnx
import flax.linen as nn
from flax.traverse_util import unflatten_dict
import jax
import jax.numpy as jnp

from jaxkd.models.cpu.interpreter import with_cpu_forms
from jaxkd.models.network_outputs import OutputReader
from jaxkd.types import Array, JaxkdError, Outputs, Variables

# Keyword arguments that tell a module whether it is in training.
_MODE_ARGUMENTS = {
  "train": lambda train: train,
  "training": lambda train: train,
  "is_training": lambda train: train,
  "deterministic": lambda train: not train,
  "use_running_average": lambda train: not train,
}


def mode_argument(module: nn.Module | nnx.Module) -> str | None:
  """Returns the keyword argument for the mode of a module, if it has one."""
  parameters = inspect.signature(type(module).__call__).parameters
  return next((name for name in _MODE_ARGUMENTS if name in parameters), None)


def mode_arguments(mode: str | None, train: bool) -> dict[str, bool]:
  """Returns the arguments that tell a module whether it is in training.

  Args:
    mode: the module's keyword argument, from `mode_argument`.
    train: whether it is in training.
  """
  return {mode: _MODE_ARGUMENTS[mode](train)} if mode else {}


@dataclass(frozen=True)
class Normaliser:
  """Normalises images by a mean and a standard deviation per channel.

  Attributes:
    mean: per channel, in pixel space; None leaves images as they are.
    std: per channel, in pixel space.
  """

  mean: tuple[float, ...] | None
  std: tuple[float, ...] | None

  @classmethod
  def of(
    cls, mean: tuple[float, ...] | None, std: tuple[float, ...] | None
  ) -> "Normaliser":
    """Creates a normaliser from arguments of the user.

    Raises:
      JaxkdError: if only one of them is given.
    """
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
class LinenApply:
  """Applies a linen module to images.

  Attributes:
    normalise: applied to the images first.
    module: the linen module.
    mode: its keyword argument for the mode, if it has one.
    outputs: takes the logits out of what the module returns.
  """

  normalise: Normaliser
  module: nn.Module
  mode: str | None
  outputs: OutputReader = OutputReader()

  def __call__(
    self,
    variables: Variables,
    images: Array,
    *,
    train: bool = False,
    rng: Array | None = None,
  ) -> tuple[Outputs, Variables]:
    apply = functools.partial(self._apply, train)
    return with_cpu_forms(apply)(variables, images, rng)

  def _apply(
    self, train: bool, variables: Variables, images: Array, rng: Array | None
  ) -> tuple[Outputs, Variables]:
    outputs, changed = self.module.apply(
      variables,
      self.normalise(images),
      mutable=[name for name in variables if train and name != "params"],
      rngs=None if rng is None else {"dropout": rng},
      **mode_arguments(self.mode, train),
    )
    return self.outputs(outputs), changed


@dataclass(frozen=True)
class NnxApply:
  """Applies an nnx module to images.

  Attributes:
    normalise: applied to the images first.
    graph: the module's graph definition.
    streams: the arrays of its random streams: their paths, and whether they are
      keys or counters.
    mode: its keyword argument for the mode, if it has one.
    outputs: takes the logits out of what the module returns.
  """

  normalise: Normaliser
  graph: nnx.GraphDef
  streams: tuple[tuple[tuple[Hashable, ...], bool], ...]
  mode: str | None
  outputs: OutputReader = OutputReader()

  def __call__(
    self,
    variables: Variables,
    images: Array,
    *,
    train: bool = False,
    rng: Array | None = None,
  ) -> tuple[Outputs, Variables]:
    apply = functools.partial(self._apply, train)
    return with_cpu_forms(apply)(variables, images, rng)

  def _apply(
    self, train: bool, variables: Variables, images: Array, rng: Array | None
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
    model.train() if train else model.eval()
    returned = model(self.normalise(images), **mode_arguments(self.mode, train))
    outputs = self.outputs(returned)
    if not train:
      return outputs, {}
    _, _, batch_stats, _, state = nnx.split(
      model, nnx.Param, nnx.BatchStat, nnx.RngState, ...
    )
    return outputs, {
      "batch_stats": nnx.to_pure_dict(batch_stats),
      "state": nnx.to_pure_dict(state),
    }


@dataclass(frozen=True)
class FunctionApply:
  """Applies a plain function to images.

  Attributes:
    normalise: applied to the images first.
    function: `(variables, images) -> logits` or `Outputs`.
    outputs: takes the logits out of what the function returns.
  """

  normalise: Normaliser
  function: Callable[[Variables, Array], Array | Outputs]
  outputs: OutputReader = OutputReader()

  def __call__(
    self,
    variables: Variables,
    images: Array,
    *,
    train: bool = False,
    rng: Array | None = None,
  ) -> tuple[Outputs, Variables]:
    del train, rng  # a plain function is the same in training
    return with_cpu_forms(self._apply)(variables, images), {}

  def _apply(self, variables: Variables, images: Array) -> Outputs:
    return self.outputs(self.function(variables, self.normalise(images)))
