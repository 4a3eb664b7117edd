"""Class labels of samples: answered, or meant where nothing was answered."""

import jax.numpy as jnp

from jaxkd.types import Array, Samples


def labels_of(samples: Samples) -> Array:
  """The class that was answered, or meant where nothing was answered, `[N]`."""
  if samples.targets is None:
    return samples.labels
  return hard_labels(samples.targets)


def class_counts(labels: Array, num_classes: int) -> Array:
  """How often each class occurs, `[K]`; labels of -1 are not counted."""
  labels = jnp.where(labels < 0, num_classes, labels)
  return jnp.bincount(labels, length=num_classes + 1)[:num_classes]


def hard_labels(targets: Array) -> Array:
  """The likeliest class `[B]` of hard or soft answers."""
  if jnp.issubdtype(targets.dtype, jnp.integer):
    return targets
  return targets.argmax(-1).astype(jnp.int32)
