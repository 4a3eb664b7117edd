"""Hard labels and class counts of samples."""

import jax.numpy as jnp

from jaxkd.types import Array, Samples


def labels_of(samples: Samples) -> Array:
  """Returns the teacher's labels `[N]`, or `samples.labels` without targets."""
  if samples.targets is None:
    return samples.labels
  return hard_labels(samples.targets)


def class_counts(labels: Array, num_classes: int) -> Array:
  """Counts how often each class occurs, `[K]`, without labels of -1."""
  labels = jnp.where(labels < 0, num_classes, labels)
  return jnp.bincount(labels, length=num_classes + 1)[:num_classes]


def hard_labels(targets: Array) -> Array:
  """Returns the most likely class `[B]` of targets, which may be labels."""
  if jnp.issubdtype(targets.dtype, jnp.integer):
    return targets
  return targets.argmax(-1).astype(jnp.int32)
