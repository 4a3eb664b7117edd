"""Any network as a `Classifier`: linen, nnx, or a plain function.

Images are floats in [0, 1]; with `mean` and `std` the classifier normalises
them itself. What is returned compares equal for equal networks, so that two
classifiers of one architecture share their compiled programs.
"""

from collections.abc import Callable, Sequence
import dataclasses
import inspect
from typing import Any

import flax.linen as nn
from flax import nnx
import jax.numpy as jnp

from jaxkd.types import Array, Classifier, Outputs, Variables

Channels = tuple[float, ...] | None


def from_linen(
  module: nn.Module,
  variables: Variables,
  *,
  mean: Sequence[float] | None = None,
  std: Sequence[float] | None = None,
  name: str | None = None,
) -> Classifier:
  """A `flax.linen` module and its variables.

  Args:
    module: whose call takes images and returns logits or `Outputs`. If it has
      an argument `train`, it is given.
    variables: `{"params": ..., "batch_stats": ...}`.
    mean: per channel, of the normaliser; None if the module does it itself.
    std: per channel, likewise.
    name: for reports; None takes the module's class.
  """
  has_train = "train" in inspect.signature(module.__call__).parameters
  apply = _Linen(_channels(mean), _channels(std), module, has_train)
  return Classifier(variables, apply, name or type(module).__name__)


def from_nnx(
  model: nnx.Module,
  *,
  mean: Sequence[float] | None = None,
  std: Sequence[float] | None = None,
  name: str | None = None,
) -> Classifier:
  """A `flax.nnx` model; its parameters and statistics are copied out.

  Args:
    model: whose call takes images and returns logits or `Outputs`; layers with
      modes (batch normalisation, dropout) are switched by `train()` and
      `eval()`.
    mean: per channel, of the normaliser; None if the model does it itself.
    std: per channel, likewise.
    name: for reports; None takes the model's class.
  """
  graph, params, rest = nnx.split(model, nnx.Param, ...)
  variables = {
    "params": nnx.to_pure_dict(params),
    "batch_stats": nnx.to_pure_dict(rest),
  }
  apply = _Nnx(_channels(mean), _channels(std), graph)
  return Classifier(variables, apply, name or type(model).__name__)


def from_function(
  function: Callable[[Variables, Array], Array],
  variables: Variables,
  *,
  mean: Sequence[float] | None = None,
  std: Sequence[float] | None = None,
  name: str | None = None,
) -> Classifier:
  """A plain function `(variables, images) -> logits`, the same in training.

  Args:
    function: pure and jittable; returns logits `[B, K]` or `Outputs`.
    variables: its first argument, a pytree of arrays.
    mean: per channel, of the normaliser; None if the function does it itself.
    std: per channel, likewise.
    name: for reports; None takes the function's name.
  """
  apply = _Function(_channels(mean), _channels(std), function)
  return Classifier(variables, apply, name or function.__name__)


def _channels(values: Sequence[float] | None) -> Channels:
  return None if values is None else tuple(float(value) for value in values)


@dataclasses.dataclass(frozen=True)
class _Apply:
  """An `ApplyFn`: the normaliser, and the network behind it."""

  mean: Channels
  std: Channels

  def __call__(
    self,
    variables: Variables,
    images: Array,
    *,
    train: bool = False,
    rng: Array | None = None,
  ) -> tuple[Outputs, Variables]:
    if self.mean is not None:
      images = images - jnp.asarray(self.mean, jnp.float32)
    if self.std is not None:
      images = images / jnp.asarray(self.std, jnp.float32)
    outputs, changed = self.network(variables, images, train, rng)
    if not isinstance(outputs, Outputs):
      outputs = Outputs(outputs)
    return outputs, changed if train else {}


@dataclasses.dataclass(frozen=True)
class _Linen(_Apply):
  module: nn.Module
  has_train: bool

  def network(self, variables, images, train, rng):
    options: dict[str, Any] = {"train": train} if self.has_train else {}
    if not train:
      return self.module.apply(variables, images, **options), {}
    mutable = [name for name in variables if name != "params"]
    return self.module.apply(
      variables,
      images,
      mutable=mutable,
      rngs={} if rng is None else {"dropout": rng},
      **options,
    )


@dataclasses.dataclass(frozen=True)
class _Nnx(_Apply):
  graph: nnx.GraphDef

  def network(self, variables, images, train, rng):
    del rng  # the model keeps its own random state
    collections = [variables["params"], variables["batch_stats"]]
    model = nnx.merge(self.graph, *map(nnx.State, collections), copy=True)
    if train:
      model.train()
    else:
      model.eval()
    outputs = model(images)
    rest = nnx.split(model, nnx.Param, ...)[2]
    return outputs, {"batch_stats": nnx.to_pure_dict(rest)}


@dataclasses.dataclass(frozen=True)
class _Function(_Apply):
  function: Callable[[Variables, Array], Array]

  def network(self, variables, images, train, rng):
    del train, rng
    return self.function(variables, images), {}
