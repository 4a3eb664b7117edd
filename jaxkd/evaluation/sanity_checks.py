"""What is wrong with a teacher or with the images, found before or early; one
line each, with what to change.
"""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np

from jaxkd.data.labels import class_counts, labels_of
from jaxkd.evaluation import data_free_metrics
from jaxkd.runtime import keys
from jaxkd.runtime.keys import Stream
from jaxkd.serialization.mismatch import are_probabilities
from jaxkd.types import Array, Classifier, DataSpec, JaxkdError, Samples

COLLAPSED = 0.95  # share of one class among the answers that is worth a word
DUPLICATED = 0.5  # share of images that equal an earlier one
SATURATED = 0.95  # share of pixels at the edge of the range
LARGE = 1e4  # of a logit
STILL = 1e-6  # of the largest logit: what differs by less does not differ
EXAMINED = 2000  # images of a round
NOISES = 5
GREYS = (0.0, 0.5, 1.0)


def warn(lines: Iterable[str]) -> None:
  """Prints each line as a warning."""
  for line in lines:
    print(f"Warning: {line}", flush=True)


def check_teacher(classifier: Classifier, spec: DataSpec) -> list[str]:
  """Asks a teacher about a few images of noise and of plain grey.

  Returns:
    Warnings, each in one line.

  Raises:
    JaxkdError: if it can't take such images, its answers are not finite, not
      for `spec.num_classes` classes, the same whatever the image, or
      probabilities.
  """
  name = f"The teacher {classifier.name!r}"
  images = _probes(spec)
  logits = _answers(name, classifier, images)
  if logits.shape != (len(images), spec.num_classes):
    raise JaxkdError(
      f"{name} answers an image with {list(logits.shape[1:])} numbers, and "
      f"there are {spec.num_classes} classes; correct the class count of the "
      "teacher's spec, or choose the data that it was trained on."
    )
  if not np.isfinite(logits).all():
    share = np.mean(~np.isfinite(logits))
    raise JaxkdError(
      f"{name} answers noise and grey images with NaN or infinity ({share:.0%} "
      "of the logits); its weights or its normaliser (a std of 0?) are broken."
    )
  if are_probabilities(logits):
    raise JaxkdError(
      f"{name} gives probabilities, not logits; import it with "
      "--outputs=probabilities, or wrap it: jaxkd.from_function(lambda v, x: "
      "jnp.log(jnp.maximum(network(v, x), 1e-12)), variables)."
    )
  largest = np.abs(logits).max()
  if np.ptp(logits, axis=0).max() <= STILL * largest:
    raise JaxkdError(
      f"{name} gives the same answer to every image; its weights were not "
      "loaded, or its normaliser sends all images to one point."
    )
  if largest > LARGE:
    return [
      f"{name} answers noise with logits up to {largest:.0e}: its "
      "probabilities are all 0 or 1, and gradients vanish; check the mean and "
      "std of its normaliser, and that it takes pixels in [0, 1]."
    ]
  return []


def check_round(samples: Samples, num_classes: int) -> list[str]:
  """Checks the first images of a run.

  Args:
    samples: that the store holds after the first rounds.
    num_classes: K.

  Returns:
    Warnings, each in one line: nearly all of one class to the teacher, copies
    of each other, or black and white all over.
  """
  if not len(samples.labels):
    return []
  first = jax.tree.map(lambda leaf: leaf[:EXAMINED], samples)
  images = np.asarray(first.images)
  return [
    *_collapse(first, num_classes),
    *_copies(images),
    *(_edges(images) if images.ndim == 4 else []),
  ]


def _probes(spec: DataSpec) -> Array:
  """Noise, then plain images; points for a `spec` of points."""
  key = keys.fold(jax.random.key(0), Stream.PROBES)
  if len(spec.shape) != 3:
    noise = jax.random.normal(key, (NOISES + len(GREYS), *spec.shape))
    return jnp.asarray(spec.mean) + noise * jnp.asarray(spec.std)
  greys = jnp.broadcast_to(
    jnp.asarray(GREYS)[:, None, None, None], (len(GREYS), *spec.shape)
  )
  noise = jax.random.uniform(key, (NOISES, *spec.shape))
  return jnp.concatenate([noise, greys])


def _answers(name: str, classifier: Classifier, images: Array) -> np.ndarray:
  def logits(classifier: Classifier, images: Array) -> Array:
    return classifier(images).logits.astype(jnp.float32)

  try:
    return np.asarray(jax.jit(logits)(classifier, images))
  except JaxkdError:
    raise
  except Exception as error:  # whatever the user's network raises
    reason = str(error).strip().partition("\n")[0]
    raise JaxkdError(
      f"{name} fails on images of shape {list(images.shape)}: "
      f"{type(error).__name__}: {reason}. Correct the input shape of its spec, "
      "or the network."
    ) from error


def _collapse(samples: Samples, num_classes: int) -> list[str]:
  labels = labels_of(samples)
  counts = np.asarray(class_counts(labels, num_classes))
  share = counts.max() / max(counts.sum(), 1)
  if share < COLLAPSED:
    return []
  return [
    f"{share:.0%} of the first {counts.sum()} images are class "
    f"{counts.argmax()} to the teacher; a student learns little from them. Try "
    "another seed or a smaller step size, and check the teacher's normaliser."
  ]


def _copies(images: np.ndarray) -> list[str]:
  share = data_free_metrics.duplicates(images)
  if share <= DUPLICATED:
    return []
  return [
    f"{share:.0%} of the first {len(images)} images are exact copies of "
    "others; lower the step size or learning rate of the synthesis, or give "
    "terms that keep images apart more weight (synthesis.weights)."
  ]


def _edges(images: np.ndarray) -> list[str]:
  top = 255 if images.dtype == np.uint8 else 1
  share = np.mean((images <= 0) | (images >= top))
  if share <= SATURATED:
    return []
  return [
    f"{share:.0%} of the pixels of the first {len(images)} images are black or "
    "white; lower the step size or learning rate of the synthesis, or raise "
    "the weight of its image priors (synthesis.weights)."
  ]
