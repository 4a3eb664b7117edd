"""Accuracy of a student, and its agreement with a teacher, on labelled data."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxkd.data import to_float
from jaxkd.types import Array, Classifier, JaxkdError


@jax.jit
def _batch_sums(
  classifier: Classifier,
  teacher: Classifier | None,
  images: Array,
  labels: Array,
  mask: Array,
) -> dict[str, Array]:
  images = to_float(images)
  logits = classifier(images).logits.astype(jnp.float32)
  predictions = logits.argmax(-1)
  values = {"accuracy": predictions == labels}
  if teacher is not None:
    teacher_logits = teacher(images).logits.astype(jnp.float32)
    values["agreement"] = predictions == teacher_logits.argmax(-1)
    values["kl"] = optax.losses.kl_divergence_with_log_targets(
      jax.nn.log_softmax(logits), jax.nn.log_softmax(teacher_logits)
    )
  return {
    name: jnp.where(mask, value, 0).sum() for name, value in values.items()
  }


def evaluate(
  classifier: Classifier,
  images: Array | np.ndarray,
  labels: Array | np.ndarray,
  *,
  teacher: Classifier | None = None,
  batch_size: int = 500,
) -> dict[str, float]:
  """Measures a classifier's accuracy and, given a teacher, their agreement.

  The last batch is filled up and masked, so that the means are exact and one
  compilation serves all batches and all later calls.

  Args:
    classifier: the network to evaluate, in evaluation mode.
    images: `[N, H, W, C]`, uint8 or float in [0, 1].
    labels: `[N]` true classes.
    teacher: the network to compare with.
    batch_size: images per dispatch.

  Returns:
    `accuracy`, a fraction; with a teacher also `agreement`, the fraction of
    images with the same most likely class, and `kl`, the mean
    KL(teacher || student) in nats at temperature 1.

  Raises:
    JaxkdError: if there are no images, or not one label for each.
  """
  count = len(images)
  if not count or len(labels) != count:
    raise JaxkdError(
      f"There are {count} images and {len(labels)} labels to evaluate on; "
      "give at least one image, and one label for each."
    )
  batch_size = min(batch_size, count)
  sums = []
  for start in range(0, count, batch_size):
    rows = np.arange(start, start + batch_size)
    indices = np.minimum(rows, count - 1)
    sums.append(
      _batch_sums(
        classifier, teacher, images[indices], labels[indices], rows < count
      )
    )
  return {
    name: sum(float(batch[name]) for batch in sums) / count for name in sums[0]
  }
