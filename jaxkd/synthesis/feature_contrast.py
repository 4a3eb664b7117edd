"""The contrast of CMI: the teacher's features of each image against those of
all others, projected by a head that is trained with the images.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxkd.synthesis import batch_statistics, feature_bank
from jaxkd.synthesis.batch_statistics import BatchNorms
from jaxkd.synthesis.feature_bank import Bank, ProjectionHead
from jaxkd.types import Array, Classifier, DataSpec, Outputs, Variables

HEAD = ProjectionHead()
WITHOUT_BATCH_NORMS = (
  "set synthesis.weights.batch_norm=0 and synthesis.features=taps"
)
View = tuple[Outputs, BatchNorms]  # of the teacher, for a batch of views


class FeatureContrast(NamedTuple):
  """Which features are contrasted, with how many others.

  Attributes:
    features: `batch_norms` for the inputs of all batch normalisations, `taps`
      for the features that the teacher returns. Of a ResNet these are the
      outputs of its stages and of the pool; the released code has the inputs of
      its four stages.
    bank_size: M, images of which features are kept.
    num_negatives: those of them that an update contrasts.
    temperature: of the similarities.
  """

  features: str
  bank_size: int
  num_negatives: int
  temperature: float

  def init(
    self, key: Array, teacher: Classifier, spec: DataSpec
  ) -> tuple[Variables, Bank]:
    """Returns the parameters of the projection, and an empty bank.

    Raises:
      JaxkdError: if the teacher does not have the features.
    """
    if self.features == "taps":
      batch_statistics.require_features(
        teacher, spec, "set synthesis.features=batch_norms"
      )
    else:
      batch_statistics.require_batch_norms(teacher, spec, WITHOUT_BATCH_NORMS)
    shapes = batch_statistics.shapes(teacher, spec)
    shape = jax.eval_shape(self._features_of, *shapes).shape
    head = HEAD.init(key, jnp.zeros(shape))["params"]
    return head, feature_bank.empty(self.bank_size, shape[-1])

  def pairs_of(self, local_view: View, global_view: View) -> Array:
    """Returns the features `[B, 2, F]` of local and of global views."""
    return jnp.stack(
      [self._features_of(*local_view), self._features_of(*global_view)], axis=1
    )

  def _features_of(self, outputs: Outputs, norms: BatchNorms) -> Array:
    """Returns the features `[B, F]`, means over places."""
    by_batch_norms = self.features == "batch_norms"
    return batch_statistics.pooled(
      norms.inputs if by_batch_norms else outputs.features
    )

  def term(
    self, head: Variables, bank: Bank, key: Array, pairs: Array
  ) -> Array:
    """Computes InfoNCE of `pairs [B, 2, F]` and of some pairs in the bank."""
    return feature_bank.info_nce_term(
      lambda x: HEAD.apply({"params": head}, x),
      pairs,
      *feature_bank.sample(bank, key, self.num_negatives),
      self.temperature,
    )
