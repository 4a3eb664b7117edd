"""Classifiers from linen modules, nnx modules and plain functions."""

from collections.abc import Callable
from dataclasses import replace

from flax import nnx
import flax.linen as nn
from flax.traverse_util import flatten_dict
import jax
import jax.numpy as jnp

from jaxkd.config import checks
from jaxkd.config.teacher_fields import OUTPUT_KINDS
from jaxkd.models.apply_functions import (
  FunctionApply,
  LinenApply,
  NnxApply,
  Normaliser,
  mode_argument,
)
from jaxkd.models.changed_outputs import ChangedApply, Conversion, LogitScale
from jaxkd.models.network_outputs import OutputReader
from jaxkd.types import Array, Classifier, JaxkdError, Outputs, Variables


def from_linen(
  module: nn.Module,
  variables: Variables,
  *,
  mean: tuple[float, ...] | None = None,
  std: tuple[float, ...] | None = None,
  name: str | None = None,
  output: str | int = "",
  output_kind: str = "",
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
    output: name or index of the logits, if the module returns several arrays.
    output_kind: `logits`, `probabilities` or `sigmoid`, see
      `jaxkd.models.network_outputs.to_logits`; empty is `logits`.

  Raises:
    JaxkdError: if only one of mean and std is given, or for another kind.
  """
  apply = LinenApply(
    Normaliser.of(mean, std),
    module,
    mode_argument(module),
    make_reader(output, output_kind),
  )
  return Classifier(variables, apply, name or type(module).__name__)


def from_nnx(
  model: nnx.Module,
  *,
  mean: tuple[float, ...] | None = None,
  std: tuple[float, ...] | None = None,
  name: str | None = None,
  output: str | int = "",
  output_kind: str = "",
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
    output: as in `from_linen`.
    output_kind: as in `from_linen`.

  Raises:
    JaxkdError: as in `from_linen`.
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
  reader = make_reader(output, output_kind)
  apply = NnxApply(normaliser, graph, paths, mode_argument(model), reader)
  return Classifier(variables, apply, name or type(model).__name__)


def from_function(
  function: Callable[[Variables, Array], Array | Outputs],
  variables: Variables,
  *,
  mean: tuple[float, ...] | None = None,
  std: tuple[float, ...] | None = None,
  name: str | None = None,
  output: str | int = "",
  output_kind: str = "",
) -> Classifier:
  """Creates a classifier from a pure function that is the same in training.

  Args:
    function: `(variables, normalised images) -> logits` or `Outputs`.
    variables: its first argument; a dict with `params` if it is to be trained.
    mean: mean per channel, in pixel space; without it images are not
      normalised.
    std: standard deviation per channel, in pixel space.
    name: for messages and reports; by default the name of the function.
    output: as in `from_linen`.
    output_kind: as in `from_linen`.

  Raises:
    JaxkdError: as in `from_linen`.

  >>> double = from_function(lambda scale, images: scale * images, 2.0)
  >>> double(jnp.ones((1, 3))).logits
  Array([[2., 2., 2.]], dtype=float32)
  """
  reader = make_reader(output, output_kind)
  apply = FunctionApply(Normaliser.of(mean, std), function, reader)
  return Classifier(
    variables, apply, name or getattr(function, "__name__", "function")
  )


def make_reader(output: str | int, kind: str) -> OutputReader:
  """Checks what the user says about outputs."""
  checks.choice("output_kind", kind, ("", *OUTPUT_KINDS))
  return OutputReader(str(output), kind)


def with_output(classifier: Classifier, output: str, kind: str) -> Classifier:
  """Returns the same network with logits from another output, or of a kind.

  Args:
    classifier: the network.
    output: as in `from_linen`; empty leaves it.
    kind: `output_kind` as in `from_linen`; empty leaves it.

  Raises:
    JaxkdError: if the network has one output, and another is named.
  """
  apply = classifier.apply
  reader = getattr(apply, "outputs", None)
  if isinstance(reader, OutputReader):
    reader = OutputReader(output or reader.name, kind or reader.kind)
    return classifier.replace(apply=replace(apply, outputs=reader))
  if output not in ("", "0", "-1"):
    raise JaxkdError(
      f"teacher.output={output!r}: {classifier.name!r} has one output; leave "
      "the field out."
    )
  return with_conversion(classifier, kind) if kind else classifier


def with_conversion(classifier: Classifier, kind: str) -> Classifier:
  """Returns a network whose outputs of a kind are converted to logits."""
  apply = ChangedApply(classifier.apply, Conversion(kind))
  return classifier.replace(apply=apply)


def output_kind(classifier: Classifier) -> str:
  """Returns what was said about a network's outputs; empty for nothing."""
  apply = classifier.apply
  if isinstance(apply, ChangedApply) and isinstance(apply.change, Conversion):
    return apply.change.kind
  reader = getattr(apply, "outputs", None)
  return reader.kind if isinstance(reader, OutputReader) else ""


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
  if isinstance(apply, ChangedApply):
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
  apply = ChangedApply(classifier.apply, LogitScale(float(factor)))
  return classifier.replace(apply=apply)
