"""Loss kernels: pure jitted functions that any JAX code may import.

They depend on jax, chex and optax alone. `[...]` in a docstring stands for any
leading axes: such kernels give one loss per example and are reduced by the
caller, as in optax. The others give one number for a set and are meant to be
`vmap`ped. Temperatures and weights are traced, so that one compilation serves
a sweep. Everything is counted and returned in float32 (float64 if given),
also for bfloat16 logits. `labels` are integers in [0, K).
"""

from jaxkd.losses.contrastive import (
  contrastive_loss,
  grouped_contrastive_loss,
  instance_discrimination_loss,
)
from jaxkd.losses.disagreement import attention_transfer_loss, disagreement_loss
from jaxkd.losses.distillation import htc_loss, htc_targets, kd_loss, scm_loss
from jaxkd.losses.imbalance import class_balanced_focal_loss, ldam_loss
from jaxkd.losses.nasty_teacher import nasty_loss
from jaxkd.losses.priors import (
  activation_loss,
  batch_norm_loss,
  class_balance_loss,
  entropy_loss,
  total_variation,
)

__all__ = [
  "activation_loss",
  "attention_transfer_loss",
  "batch_norm_loss",
  "class_balance_loss",
  "class_balanced_focal_loss",
  "contrastive_loss",
  "disagreement_loss",
  "entropy_loss",
  "grouped_contrastive_loss",
  "htc_loss",
  "htc_targets",
  "instance_discrimination_loss",
  "kd_loss",
  "ldam_loss",
  "nasty_loss",
  "scm_loss",
  "total_variation",
]
