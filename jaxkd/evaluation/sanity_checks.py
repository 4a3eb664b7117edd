"""Sanity checks of a teacher before a run.

Every warning and error is one line, and names a remedy.
"""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np

from jaxkd import models
from jaxkd.runtime import keys
from jaxkd.runtime.keys import Stream
from jaxkd.serialization import stablehlo
from jaxkd.serialization.mismatch import are_probabilities
from jaxkd.types import Array, Classifier, DataSpec, JaxkdError

MAX_LOGIT = 1e4
MIN_VARIATION = 1e-6  # of the logits over images, relative to the largest
NUM_NOISE_IMAGES = 5
GREYS = (0.0, 0.5, 1.0)


def warn(lines: Iterable[str]) -> None:
  """Prints each line as a warning."""
  for line in lines:
    print(f"Warning: {line}", flush=True)


def check_teacher(classifier: Classifier, spec: DataSpec) -> list[str]:
  """Checks a teacher's answers to a few images of noise and of plain grey.

  Args:
    classifier: the teacher.
    spec: spec of its inputs.

  Returns:
    Warnings, each in one line.

  Raises:
    JaxkdError: if the teacher cannot take such images, or if its answers are
      not finite, not for `spec.num_classes` classes, equal for all images,
      probabilities, or one number that may be a probability.
  """
  name = f"The teacher {classifier.name!r}"
  images = _check_images(spec)
  logits = _logits(name, classifier, images)
  if logits.shape != (len(images), spec.num_classes):
    raise JaxkdError(
      f"{name} answers an image with {list(logits.shape[1:])} numbers, and "
      f"there are {spec.num_classes} classes; correct num_classes of the "
      "teacher's spec, or choose the data that it was trained on."
    )
  if not np.isfinite(logits).all():
    share = np.mean(~np.isfinite(logits))
    raise JaxkdError(
      f"{name} answers noise and grey images with NaN or infinity ({share:.0%} "
      "of the logits); check its weights and its normaliser, e.g. for a std "
      "of 0."
    )
  if are_probabilities(logits):
    raise JaxkdError(
      f"{name} returns probabilities, not logits; set "
      "--config.teacher.output_kind=probabilities (output_kind= of "
      "jaxkd.from_linen, --output_kind of jaxkd.import_teacher)."
    )
  within = logits.min() >= 0 and logits.max() <= 1
  undeclared = within and not models.output_kind(classifier)
  if undeclared and spec.num_classes == 2 and not logits[:, 0].any():
    raise JaxkdError(
      f"{name} gives one number from 0 to 1; say what it is: "
      "--config.teacher.output_kind=sigmoid for the probability of the second "
      "class, =logits for its logit."
    )
  largest = np.abs(logits).max()
  if np.ptp(logits, axis=0).max() <= MIN_VARIATION * largest:
    raise JaxkdError(
      f"{name} gives the same answer to every image; check that its weights "
      "were loaded, and the mean and std of its normaliser."
    )
  warnings = []
  if largest > MAX_LOGIT:
    warnings.append(
      f"{name} answers noise with logits up to {largest:.0e}, so that all "
      "probabilities are 0 or 1 and gradients vanish; check the mean and std "
      "of its normaliser, and that it takes pixels in [0, 1]."
    )
  if undeclared:
    warnings.append(
      f"{name} gives numbers from 0 to 1; if they are sigmoids, set "
      "--config.teacher.output_kind=sigmoid."
    )
  if stablehlo.is_artefact(classifier) and jax.default_backend() == "cpu":
    warnings.append(
      f"{name} was exported whole by jax.export: its layers can't be replaced "
      "by those that are fast on the CPU, and images may take several times as "
      "long; bring the network itself, by jaxkd.from_linen, from_nnx, "
      "from_torch or from_function in teacher.factory."
    )
  return warnings


def _check_images(spec: DataSpec) -> Array:
  """Returns noise and plain grey images, or random points."""
  key = keys.fold(jax.random.key(0), Stream.PROBES)
  if len(spec.shape) != 3:
    count = NUM_NOISE_IMAGES + len(GREYS)
    noise = jax.random.normal(key, (count, *spec.shape))
    return jnp.asarray(spec.mean) + noise * jnp.asarray(spec.std)
  greys = jnp.broadcast_to(
    jnp.asarray(GREYS)[:, None, None, None], (len(GREYS), *spec.shape)
  )
  noise = jax.random.uniform(key, (NUM_NOISE_IMAGES, *spec.shape))
  return jnp.concatenate([noise, greys])


def _logits(name: str, classifier: Classifier, images: Array) -> np.ndarray:
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
