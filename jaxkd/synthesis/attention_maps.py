"""Attention maps: where in an image the features of a network are large.

Zagoruyko and Komodakis, "Paying More Attention to Attention", ICLR 2017. The
teacher's maps are stored with the samples, in `Samples.extras`.
"""

import jax
import jax.numpy as jnp

from jaxkd import losses
from jaxkd.types import Array, Classifier, DataSpec, JaxkdError, Outputs


def spatial_features(outputs: Outputs) -> list[Array]:
  """Returns the features that have spatial axes, `[B, H, W, C]`."""
  return [maps for maps in outputs.features if maps.ndim == 4]


def stored_attention(outputs: Outputs) -> dict[str, Array]:
  """Returns what is stored of a network's features, `[B, H, W, 1]` each.

  Attention is the mean square over the channels, so that one channel, the root
  of that mean, gives the same attention as all of them.
  """
  return {
    f"attention_{index:03}": jnp.sqrt(jnp.mean(maps**2, -1, keepdims=True))
    for index, maps in enumerate(spatial_features(outputs))
  }


def attention_distance(outputs: Outputs, stored: dict[str, Array]) -> Array:
  """Computes `attention_transfer_loss` of a network to stored maps, `[B]`."""
  teacher = [stored[name] for name in sorted(stored)]
  # Of one image at a time, [1, H, W, C], so that each has its own loss.
  pairs = jax.tree.map(
    lambda maps: maps[:, None], (spatial_features(outputs), teacher)
  )
  return jax.vmap(losses.attention_transfer_loss)(*pairs)


def require_equal_sizes(
  student: Classifier, teacher: Classifier, spec: DataSpec, remedy: str
) -> None:
  """Refuses networks whose features do not have the same spatial sizes.

  Args:
    student: has the maps that are trained.
    teacher: has the maps that are their targets.
    spec: of the inputs.
    remedy: how to do without, as in "set hyper.attention=0".

  Raises:
    JaxkdError: with the networks' names and sizes, and the remedy.
  """

  def sizes(network: Classifier) -> list[str]:
    images = jax.ShapeDtypeStruct((1, *spec.shape), jnp.float32)
    features = spatial_features(jax.eval_shape(network, images))
    return ["x".join(map(str, maps.shape[1:3])) for maps in features]

  student_sizes, teacher_sizes = sizes(student), sizes(teacher)
  if not student_sizes or student_sizes != teacher_sizes:
    raise JaxkdError(
      "Attention is compared map by map, and the features of "
      f"{student.name!r} have the sizes {', '.join(student_sizes) or 'none'}, "
      f"those of {teacher.name!r} {', '.join(teacher_sizes) or 'none'}; choose "
      f"networks of one family, or {remedy}."
    )
