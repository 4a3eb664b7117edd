"""A teacher that we may look into."""

import functools

import flax
import jax
import jax.numpy as jnp

from jaxkd import parallel
from jaxkd.data import to_float
from jaxkd.types import Array, Classifier

ANSWER_CHUNK = 512  # images that the labelling stage runs at once, per device


@flax.struct.dataclass
class WhiteBox:
  """Full access: methods may differentiate through `classifier`."""

  classifier: Classifier

  access = "white_box"
  eight_bit = False
  in_process = True

  def answer(self, images: Array) -> Array:
    """Log-probabilities `[N, K]` for `images [N, ...]`; jittable."""

    def some(classifier: Classifier, images: Array) -> Array:
      return jax.nn.log_softmax(classifier(to_float(images)).logits)

    def chunked(classifier: Classifier, images: Array) -> Array:
      whole, parts = len(images) - len(images) % ANSWER_CHUNK, []
      if whole:
        chunks = images[:whole].reshape(-1, ANSWER_CHUNK, *images.shape[1:])
        answers = jax.lax.map(functools.partial(some, classifier), chunks)
        parts.append(answers.reshape(whole, -1))
      if whole < len(images):
        parts.append(some(classifier, images[whole:]))
      return jnp.concatenate(parts)

    if len(images) % jax.device_count():
      return chunked(self.classifier, images)
    return parallel.over_sets(chunked)(self.classifier, images)


_answer = jax.jit(WhiteBox.answer)  # as one program, not operation by operation


def answers(classifier: Classifier, images: Array) -> Array:
  """What a network answers between stages: asked of all devices, and this
  process's own.
  """
  return parallel.gathered(
    _answer(*parallel.replicate((WhiteBox(classifier), images)))
  )
