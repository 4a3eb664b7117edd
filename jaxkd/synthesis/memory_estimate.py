"""An estimate of how many images fit into the memory of a device.

Optimising an image keeps what the gradient of the network needs from its
forward pass; nearly all memory goes to that.
"""

import jax
import jax.numpy as jnp

from jaxkd.models.cpu import conv
from jaxkd.runtime import compile_target
from jaxkd.types import Array, Classifier, DataSpec

BATCH = 8  # images whose residuals are counted
# Share of a device's memory; the rest is for temporary arrays, the samples and
# the compiler's buffers.
SHARE = 0.45


def residual_bytes(classifier: Classifier, spec: DataSpec) -> float:
  """Returns the bytes per image that are kept for the backward pass.

  They are counted from shapes, without computing anything.
  """

  def pull_back(classifier: Classifier, images: Array):
    return jax.vjp(lambda x: classifier(x).logits, images)[1]

  images = jax.ShapeDtypeStruct((BATCH, *spec.shape), jnp.float32)
  with conv.reference_form():
    residuals = jax.tree.leaves(jax.eval_shape(pull_back, classifier, images))
  total = sum(
    leaf.size * leaf.dtype.itemsize
    for leaf in residuals
    if leaf.shape[:1] == (BATCH,)
  )
  return total / BATCH


def images_per_round(
  classifier: Classifier, spec: DataSpec, devices: int, max_images: int
) -> int:
  """Returns the number of images that one dispatch optimises.

  That is as many as fit on all devices, and at most `max_images`; it is
  `max_images` where the devices don't say how much memory they have.
  """
  limit = compile_target.memory_bytes()
  each = residual_bytes(classifier, spec)
  if not (limit and each):
    return max_images
  return min(max(int(SHARE * limit / each), 1) * devices, max_images)
