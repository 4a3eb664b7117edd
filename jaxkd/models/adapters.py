"""Classifiers from linen modules, nnx modules and plain functions."""

from collections.abc import Callable
from dataclasses import replace

from flax import nnx
import flax.linen as nn
from flax.traverse_util import flatten_dict
import jax
import jax.numpy as jnp

from jaxkd.models.apply_functions import (
  FunctionApply,
  LinenApply,
  NnxApply,
  Normaliser,
  ScaledApply,
  mode_argument,
)
from jaxkd.types import Array, Classifier, JaxkdError, Outputs, Variables


def from_linen(
  module: nn.Module,
  variables: Variables,
  *,
  mean: tuple[float, ...] | None = None,
  std: tuple[float, ...] | None = None,
  name: str | None = None,
) -> Classifier:
  """Creates a classifier from a linen module and its variables.

  Args:
    module: takes normalised images `[B, H, W, C]` and returns logits `[B, K]`
      or `Outputs`. Its keyword argument `train` (or `training`, `is_training`,
      `deterministic`, `use_running_average`), if there is one, says whether it
      is in training, where all collections but `params` may change.
    variables: `{'params': ...}` and the other collections of the module.
    mean: mean per channel, in pixel space; without it images are not
      normalised.
    std: standard deviation per channel, in pixel space.
    name: for messages and reports; by default the name of the module's class.

  Raises:
    JaxkdError: if only one of mean and std is given.
  """
  apply = LinenApply(Normaliser.of(mean, std), module, mode_argument(module))
  return Classifier(variables, apply, name or type(module).__name__)


def from_nnx(
  model: nnx.Module,
  *,
  mean: tuple[float, ...] | None = None,
  std: tuple[float, ...] | None = None,
  name: str | None = None,
) -> Classifier:
  """Creates a classifier from an nnx module, of whose arrays it has copies.

  `model.train()` and `model.eval()` set the mode. The module's random streams
  are not used; in training they start from the key of the training step, and
  all variables but the parameters may change.

  Args:
    model: takes normalised images `[B, H, W, C]` and returns logits `[B, K]` or
      `Outputs`. A keyword argument for the mode is given as in `from_linen`.
    mean: mean per channel, in pixel space; without it images are not
      normalised.
    std: standard deviation per channel, in pixel space.
    name: for messages and reports; by default the name of the module's class.

  Raises:
    JaxkdError: if only one of mean and std is given.
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
  normaliser = Normaliser.of(mean, std)
  apply = NnxApply(normaliser, graph, paths, mode_argument(model))
  return Classifier(variables, apply, name or type(model).__name__)


def from_function(
  function: Callable[[Variables, Array], Array | Outputs],
  variables: Variables,
  *,
  mean: tuple[float, ...] | None = None,
  std: tuple[float, ...] | None = None,
  name: str | None = None,
) -> Classifier:
  """Creates a classifier from a pure function that is the same in training.

  Args:
    function: `(variables, normalised images) -> logits` or `Outputs`.
    variables: its first argument; a dict with `params` if it is to be trained.
    mean: mean per channel, in pixel space; without it images are not
      normalised.
    std: standard deviation per channel, in pixel space.
    name: for messages and reports; by default the name of the function.

  Raises:
    JaxkdError: if only one of mean and std is given.

  >>> double = from_function(lambda scale, images: scale * images, 2.0)
  >>> double(jnp.ones((1, 3))).logits
  Array([[2., 2., 2.]], dtype=float32)
  """
  apply = FunctionApply(Normaliser.of(mean, std), function)
  return Classifier(
    variables, apply, name or getattr(function, "__name__", "function")
  )


def with_compute_dtype(classifier: Classifier, dtype: str) -> Classifier:
  """Returns the same network with the same weights in another compute dtype.

  Args:
    classifier: a linen module whose layers have a field `dtype`, as those of
      `jaxkd.models.layers`.
    dtype: `bfloat16`, or `float32`, which changes nothing.

  Raises:
    JaxkdError: if the network has no such field.
  """
  if dtype == "float32":
    return classifier
  apply = classifier.apply
  if isinstance(apply, ScaledApply):
    inner = with_compute_dtype(classifier.replace(apply=apply.apply), dtype)
    return classifier.replace(apply=replace(apply, apply=inner.apply))
  if not (isinstance(apply, LinenApply) and hasattr(apply.module, "dtype")):
    raise JaxkdError(
      f"compute_dtype={dtype}: {classifier.name!r} is no flax.linen module "
      "with a field dtype, which sets the compute dtype; set "
      "compute_dtype=float32."
    )
  module = apply.module.clone(dtype=jnp.dtype(dtype))
  return classifier.replace(apply=replace(apply, module=module))


def with_logit_scale(classifier: Classifier, factor: float) -> Classifier:
  """Returns the same network with its logits multiplied by a factor above 0."""
  apply = ScaledApply(classifier.apply, float(factor))
  return classifier.replace(apply=apply)
