"""What a network predicts for many images, computed on all devices."""

import functools

import jax
import jax.numpy as jnp

from jaxkd.data import to_float
from jaxkd.runtime import devices
from jaxkd.types import Array, Classifier

CHUNK = 512  # images that a device works on at once


def log_probs(classifier: Classifier, images: Array) -> Array:
  """Log-probabilities `[N, K]` for `images [N, ...]`; can be jitted."""

  def some(classifier: Classifier, images: Array) -> Array:
    return jax.nn.log_softmax(classifier(to_float(images)).logits)

  def chunked(classifier: Classifier, images: Array) -> Array:
    whole, parts = len(images) - len(images) % CHUNK, []
    if whole:
      chunks = images[:whole].reshape(-1, CHUNK, *images.shape[1:])
      answers = jax.lax.map(functools.partial(some, classifier), chunks)
      parts.append(answers.reshape(whole, -1))
    if whole < len(images):
      parts.append(some(classifier, images[whole:]))
    return jnp.concatenate(parts)

  if len(images) % jax.device_count():
    return chunked(classifier, images)
  return devices.over_sets(chunked)(classifier, images)


_log_probs = jax.jit(log_probs)  # one program instead of single operations


def predict_log_probs(classifier: Classifier, images: Array) -> Array:
  """`log_probs`, for use between the stages of a run: works on copies on all
  devices and returns an array of this process.
  """
  return devices.to_local(_log_probs(*devices.replicate((classifier, images))))
