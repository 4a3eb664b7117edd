"""Log-probabilities of a network for many images, computed on all devices."""

import functools

import jax
import jax.numpy as jnp

from jaxkd.data import to_float
from jaxkd.runtime import compile_target, devices
from jaxkd.types import Array, Classifier

CHUNK_SIZE = 512  # images per device at once


def log_probs(classifier: Classifier, images: Array) -> Array:
  """Returns log-probabilities `[N, K]` for `images [N, ...]`; can be jitted."""

  def predict(classifier: Classifier, images: Array) -> Array:
    return jax.nn.log_softmax(classifier(to_float(images)).logits)

  def chunked(classifier: Classifier, images: Array) -> Array:
    whole, parts = len(images) - len(images) % CHUNK_SIZE, []
    if whole:
      chunks = images[:whole].reshape(-1, CHUNK_SIZE, *images.shape[1:])
      answers = jax.lax.map(functools.partial(predict, classifier), chunks)
      parts.append(answers.reshape(whole, -1))
    if whole < len(images):
      parts.append(predict(classifier, images[whole:]))
    return jnp.concatenate(parts)

  if len(images) % compile_target.device_count():
    return chunked(classifier, images)
  return devices.over_sets(chunked)(classifier, images)


_log_probs = jax.jit(log_probs)


def predict_log_probs(classifier: Classifier, images: Array) -> Array:
  """Returns log-probabilities `[N, K]`, between the stages of a run.

  It copies its arguments to all devices, and returns an array of this process.
  """
  return devices.to_local(_log_probs(*devices.replicate((classifier, images))))
