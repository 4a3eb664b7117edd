"""An estimate of how many images fit into the memory of a device.

Optimising an image keeps what the gradient of the network needs from its
forward pass, and the image, its gradient and its update. Before that, one set
of images at a time may be chosen from candidates; afterwards the images of all
devices are copied to each, because each has the whole store.
"""

import math

import jax
import jax.numpy as jnp

from jaxkd.evaluation import artefact_operations
from jaxkd.models.cpu import conv
from jaxkd.runtime import compile_target
from jaxkd.serialization import stablehlo
from jaxkd.synthesis import starts
from jaxkd.types import Array, Classifier, DataSpec

BATCH = 8  # images whose residuals are counted
# Share of a device's memory; the rest is for temporary arrays, the samples and
# the compiler's buffers.
SHARE = 0.45
PIXEL_COPIES = 4  # of a float32 image: itself, gradient, update, next image
COPIES_OF_MAPS = 2  # usual ratio of the bytes kept to those of the maps
COPIED_PIXEL_BYTES = 4  # images are copied as they are made, in float32
CANDIDATE_COPIES = 2  # of an 8-bit image: as it is drawn, and in order


def residual_bytes(classifier: Classifier, spec: DataSpec) -> float:
  """Returns the bytes per image that are kept for the backward pass.

  They are counted from shapes, without computing anything. Those of an artefact
  are inside of its gradient, and estimated from its convolutions and products.
  """
  images = jax.ShapeDtypeStruct((BATCH, *spec.shape), jnp.float32)
  if stablehlo.is_artefact(classifier):
    inside = artefact_operations.operations(
      lambda images: classifier(images).logits, BATCH, images
    )
    maps = 4 * sum(each.results for each in inside)
    return COPIES_OF_MAPS * maps / BATCH

  def pull_back(classifier: Classifier, images: Array):
    return jax.vjp(lambda x: classifier(x).logits, images)[1]

  with conv.reference_form():
    residuals = jax.tree.leaves(jax.eval_shape(pull_back, classifier, images))
  total = sum(
    leaf.size * leaf.dtype.itemsize
    for leaf in residuals
    if leaf.shape[:1] == (BATCH,)
  )
  return total / BATCH


def image_bytes(
  classifier: Classifier, spec: DataSpec, devices: int = 1
) -> float:
  """Returns the bytes that one image of a device takes on that device.

  They are taken while it is optimised, or afterwards by it and by an image of
  each other device; the first are free when the copies are made.
  """
  pixels = math.prod(spec.shape)
  optimised = residual_bytes(classifier, spec) + PIXEL_COPIES * 4 * pixels
  return max(optimised, copied_bytes(devices, spec, devices))


def copied_bytes(count: int, spec: DataSpec, devices: int) -> float:
  """Returns the bytes on each device of `count` images of all devices."""
  copied = count * COPIED_PIXEL_BYTES * math.prod(spec.shape)
  return copied if devices > 1 else 0


def candidate_bytes(count: int, spec: DataSpec) -> float:
  """Returns the bytes that choosing the starts of `count` images takes."""
  return CANDIDATE_COPIES * starts.CANDIDATES * count * math.prod(spec.shape)


def images_per_round(
  classifier: Classifier,
  spec: DataSpec,
  devices: int,
  max_images: int,
  matched: int = 0,
) -> int:
  """Returns the number of images that one dispatch optimises.

  That is as many as fit on all devices, and at most `max_images`; it is
  `max_images` where the devices don't say how much memory they have.

  Args:
    classifier: the teacher, in the type that it computes in.
    spec: spec of its inputs.
    devices: number of devices.
    max_images: the most images.
    matched: images of a set whose starts are chosen from candidates.
  """
  limit = compile_target.memory_bytes()
  if not limit:
    return max_images
  free = SHARE * limit - candidate_bytes(matched, spec)
  each = image_bytes(classifier, spec, devices)
  return min(max(int(free / each), 1) * devices, max_images)
