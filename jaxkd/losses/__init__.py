"""Loss kernels: pure jitted functions that any JAX code may import.

They depend on jax, chex and optax alone:

    contrastive.py    contrastive losses over pairs of samples
    disagreement.py   distances of student and teacher, attention transfer
    distillation.py   knowledge distillation, HTC and SCM
    imbalance.py      class-balanced cross entropies
    nasty_teacher.py  the loss of a Nasty Teacher
    priors.py         priors of synthetic images

`[...]` in a docstring stands for any leading axes: such kernels return one loss
per example, and the caller reduces them, as in optax. The others return one
number for a set of samples and are meant to be `vmap`ped. Temperatures and
weights are traced, so that one compilation serves a sweep. Kernels compute and
return float32 (float64 for float64 inputs), also for bfloat16 logits. `labels`
are integers in [0, K).
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
