"""A teacher that we may look into."""

import flax
import jax

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

    def chunked(classifier: Classifier, images: Array) -> Array:
      def one(image: Array) -> Array:
        logits = classifier(to_float(image[None])).logits[0]
        return jax.nn.log_softmax(logits)

      return jax.lax.map(one, images, batch_size=ANSWER_CHUNK)

    if len(images) % jax.device_count():
      return chunked(self.classifier, images)
    return parallel.over_sets(chunked)(self.classifier, images)
