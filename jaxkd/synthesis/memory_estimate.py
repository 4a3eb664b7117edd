"""How many images a device optimises at once.

A step keeps, for every image, what the gradient of the network needs from its
forward pass; that is what fills a device.
"""

import jax
import jax.numpy as jnp

from jaxkd.models.cpu import conv
from jaxkd.types import Array, Classifier, DataSpec

BATCH = 8  # of the count
# Of a device's memory; as much again is for what comes and goes in between,
# for the samples and for the compiler's own.
SHARE = 0.45


def residual_bytes(classifier: Classifier, spec: DataSpec) -> float:
  """Bytes per image between forward and backward pass; computes nothing."""

  def pull_back(classifier: Classifier, images: Array):
    return jax.vjp(lambda x: classifier(x).logits, images)[1]

  images = jax.ShapeDtypeStruct((BATCH, *spec.shape), jnp.float32)
  with conv.reference_form():
    kept = jax.tree.leaves(jax.eval_shape(pull_back, classifier, images))
  total = sum(
    leaf.size * leaf.dtype.itemsize
    for leaf in kept
    if leaf.shape[:1] == (BATCH,)
  )
  return total / BATCH


def images_per_round(
  classifier: Classifier, spec: DataSpec, devices: int, most: int
) -> int:
  """Images that one dispatch works on: as many as fit on all devices, where
  these say how large they are, and `most` at most.
  """
  limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
  kept = residual_bytes(classifier, spec)
  if not (limit and kept):
    return most
  return min(max(int(SHARE * limit / kept), 1) * devices, most)
