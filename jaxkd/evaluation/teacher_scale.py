"""The scale of a teacher: of its logits, its gradients and its certainty.

Step sizes and weights of white-box methods are relative to these, and they
differ tenfold between networks that answer alike.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxkd.types import Array, Classifier

CHUNK = 32  # images at once, at most, which bounds the memory of large networks


class TeacherScale(NamedTuple):
  """What a teacher's answers to some images are like.

  Attributes:
    logit_std: standard deviation of the logits, each image's mean subtracted.
    gradient: root mean square of the derivative of the margin, which is the
      largest logit minus the second, by a pixel; logits per pixel value.
    entropy: mean of the answers' entropy, in nats.
    class_share: fraction of the images with the most frequent class.
  """

  logit_std: float
  gradient: float
  entropy: float
  class_share: float


@jax.jit
def measure(classifier: Classifier, images: Array) -> TeacherScale:
  """Measures a network on images `[N, ...]`, floats; scalars as arrays."""

  # The network sees batches: a `vmap` over single images keeps it from the
  # convolutions that are fast on the CPU: 14 times slower for a ResNet-18.
  def margins(images: Array) -> tuple[Array, Array]:
    logits = classifier(images).logits.astype(jnp.float32)
    top = jax.lax.top_k(logits, 2)[0]
    return (top[:, 0] - top[:, 1]).sum(), logits

  def of_chunk(images: Array) -> tuple[Array, Array]:
    gradients, logits = jax.grad(margins, has_aux=True)(images)
    return jnp.square(gradients).mean(), logits

  size = math.gcd(len(images), CHUNK)
  chunks = images.reshape(-1, size, *images.shape[1:])
  squares, logits = jax.lax.map(of_chunk, chunks)
  logits = logits.reshape(len(images), -1)
  log_probs = jax.nn.log_softmax(logits)
  counts = jnp.bincount(logits.argmax(-1), length=logits.shape[-1])
  return TeacherScale(
    logit_std=(logits - logits.mean(-1, keepdims=True)).std(),
    gradient=jnp.sqrt(squares.mean()),
    entropy=-(jnp.exp(log_probs) * log_probs).sum(-1).mean(),
    class_share=counts.max() / len(images),
  )
