"""A teacher whose variables and gradients are accessible."""

import flax

from jaxkd.evaluation.predictions import log_probs
from jaxkd.types import Array, Classifier


@flax.struct.dataclass
class WhiteBox:
  """Full access: methods may differentiate through `classifier`."""

  classifier: Classifier

  access = "white_box"
  eight_bit = False
  in_process = True

  def answer(self, images: Array) -> Array:
    """Log-probabilities `[N, K]` for `images [N, ...]`; can be jitted."""
    return log_probs(self.classifier, images)
