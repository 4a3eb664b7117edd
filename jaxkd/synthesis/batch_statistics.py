"""What the batch normalisations of a teacher see, and what they remember.

They are watched from outside (`flax.linen.intercept_methods`), so any linen
network will do as it is. Not to be seen are those of other libraries, and those
that are called in a compiled, rolled or rematerialised part of the network
(`jax.jit`, `nn.scan`, `nn.remat`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxkd import losses
from jaxkd.types import Array, Classifier, DataSpec, JaxkdError, Outputs


class BatchNorms(NamedTuple):
  """The batch normalisations of a network, in the order of their calls.

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
  """What the network says about images `[B, H, W, C]` in evaluation mode, and
  its batch normalisations meanwhile.
  """
  seen: list[tuple[Array, Array, Array]] = []

  def note(call, args, kwargs, context):
    layer = context.module
    if isinstance(layer, nn.BatchNorm) and context.method_name == "__call__":
      inputs = args[0] if args else kwargs["x"]
      mean, variance = (
        layer.get_variable("batch_stats", name) for name in ("mean", "var")
      )
      seen.append((jnp.moveaxis(inputs, layer.axis, -1), mean, variance))
    return call(*args, **kwargs)

  with nn.intercept_methods(note):
    outputs = classifier(images)
  return outputs, BatchNorms(*zip(*seen, strict=True) if seen else ((),) * 3)


def batch_norm_term(norms: BatchNorms) -> Array:
  """`batch_norm_loss` of the batch, a scalar."""
  axes = [tuple(range(x.ndim - 1)) for x in norms.inputs]
  inputs = [x.astype(jnp.float32) for x in norms.inputs]
  return losses.batch_norm_loss(
    [x.mean(axis) for x, axis in zip(inputs, axes, strict=True)],
    [x.var(axis) for x, axis in zip(inputs, axes, strict=True)],
    norms.running_means,
    norms.running_variances,
  )


def pooled(maps: Sequence[Array]) -> Array:
  """Means over all places of each map `[B, ..., D]`, side by side: `[B, F]`."""
  means = [x.mean(tuple(range(1, x.ndim - 1))) for x in maps]
  return jnp.concatenate(means, axis=-1).astype(jnp.float32)


def shapes(teacher: Classifier, spec: DataSpec) -> tuple[Outputs, BatchNorms]:
  """What `watch` gives for one image, as shapes; computes nothing."""
  image = jax.ShapeDtypeStruct((1, *spec.shape), jnp.float32)
  return jax.eval_shape(capture_batch_norms, teacher, image)


def require_batch_norms(teacher: Classifier, spec: DataSpec, cure: str) -> None:
  """Refuses a teacher without batch normalisations to watch.

  Args:
    teacher: as it is given.
    spec: of its inputs.
    cure: how to do without, as in "set synthesis.weights.batch_norm=0".

  Raises:
    JaxkdError: naming the teacher and the cure.
  """
  if not shapes(teacher, spec)[1].inputs:
    raise JaxkdError(
      "The images are to match the statistics of the teacher's batch "
      f"normalisations, and {teacher.name!r} shows none; choose a flax.linen "
      f"teacher that has some, such as ideal_lenet or resnet18, or {cure}."
    )
