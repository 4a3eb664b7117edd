"""Statistics of a batch at a network's batch normalisations, and stored ones.

`jaxkd.models.batch_norms` says which layers are seen.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxkd import losses
from jaxkd.models import batch_norms
from jaxkd.models.cpu.interpreter import with_cpu_forms
from jaxkd.types import Array, Classifier, DataSpec, JaxkdError, Outputs


class BatchNorms(NamedTuple):
  """What the batch normalisations of a network got, in the order of calls.

  Attributes:
    inputs: `[B, ..., D]` of each.
    running_means: `[D]`, what is stored.
    running_variances: `[D]`, likewise.
  """

  inputs: tuple[Array, ...]
  running_means: tuple[Array, ...]
  running_variances: tuple[Array, ...]


def capture_batch_norms(
  classifier: Classifier, images: Array
) -> tuple[Outputs, BatchNorms]:
  """Applies a network to images `[B, H, W, C]` in evaluation mode, and returns
  what its batch normalisations got as well.
  """
  return with_cpu_forms(_capture_batch_norms)(classifier, images)


def _capture_batch_norms(
  classifier: Classifier, images: Array
) -> tuple[Outputs, BatchNorms]:
  with batch_norms.record() as calls:
    outputs = classifier(images)
  return outputs, BatchNorms(*zip(*calls, strict=True) if calls else ((),) * 3)


def moments(norms: BatchNorms) -> tuple[list[Array], list[Array]]:
  """Returns the mean `[D]` and the variance `[D]` of what each layer got."""
  axes = [tuple(range(x.ndim - 1)) for x in norms.inputs]
  inputs = [x.astype(jnp.float32) for x in norms.inputs]
  return (
    [x.mean(axis) for x, axis in zip(inputs, axes, strict=True)],
    [x.var(axis) for x, axis in zip(inputs, axes, strict=True)],
  )


def batch_norm_term(norms: BatchNorms, first: float = 1.0) -> Array:
  """Computes `batch_norm_loss` of the batch, a scalar.

  Args:
    norms: what the layers got.
    first: the factor of the first layer.
  """
  statistics = (
    *moments(norms),
    norms.running_means,
    norms.running_variances,
  )
  total = losses.batch_norm_loss(*statistics)
  if first == 1.0:
    return total
  of_first = losses.batch_norm_loss(*(each[:1] for each in statistics))
  return total + (first - 1) * of_first


def pooled(maps: Sequence[Array]) -> Array:
  """Averages each map `[B, ..., D]` over its places; concatenates: `[B, F]`."""
  means = [x.mean(tuple(range(1, x.ndim - 1))) for x in maps]
  return jnp.concatenate(means, axis=-1).astype(jnp.float32)


def shapes(teacher: Classifier, spec: DataSpec) -> tuple[Outputs, BatchNorms]:
  """Returns the shapes of `capture_batch_norms` for one image."""
  image = jax.ShapeDtypeStruct((1, *spec.shape), jnp.float32)
  return jax.eval_shape(capture_batch_norms, teacher, image)


def require_batch_norms(
  teacher: Classifier, spec: DataSpec, remedy: str
) -> None:
  """Refuses a teacher of which no batch normalisation can be captured.

  Args:
    teacher: to look at.
    spec: of its inputs.
    remedy: how to do without, as in "set synthesis.weights.batch_norm=0".

  Raises:
    JaxkdError: with the teacher's name and the remedy.
  """
  if not shapes(teacher, spec)[1].inputs:
    raise JaxkdError(
      "The images are to match the statistics of the teacher's batch "
      f"normalisations, and {teacher.name!r} shows none; choose a teacher of "
      "flax.linen or PyTorch that has some, such as ideal_lenet or resnet18, "
      f"or {remedy}."
    )


def require_features(teacher: Classifier, spec: DataSpec, remedy: str) -> None:
  """Refuses a teacher that returns no features.

  Args:
    teacher: to look at.
    spec: of its inputs.
    remedy: how to do without, as in "set synthesis.weights.activation=0".

  Raises:
    JaxkdError: with the teacher's name and the remedy.
  """
  if not shapes(teacher, spec)[0].features:
    raise JaxkdError(
      f"Features of the teacher are needed, and {teacher.name!r} returns none; "
      f"let it return jaxkd.types.Outputs with features, or {remedy}."
    )
