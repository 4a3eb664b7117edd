"""Objectives of students: `(hyper, outputs, samples, context) -> losses [B]`.

`samples.targets` are integers `[B]` from a teacher that returns labels only,
otherwise log-probabilities `[B, K]`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxkd import losses
from jaxkd.config.fields import FRACTION, NOT_NEGATIVE, POSITIVE, Field
from jaxkd.data.labels import hard_labels
from jaxkd.types import Array, LossContext, Objective, Outputs, Samples

Hyper = dict[str, Array]


def cross_entropy(
  hyper: Hyper, outputs: Outputs, samples: Samples, context: LossContext
) -> Array:
  """Computes the cross entropy against `samples.labels`."""
  del hyper, context
  return optax.softmax_cross_entropy_with_integer_labels(
    outputs.logits, samples.labels
  )


def kd(
  hyper: Hyper, outputs: Outputs, samples: Samples, context: LossContext
) -> Array:
  """Computes `kd_loss`; `hyper` has `temperature` and `alpha`."""
  del context
  return losses.kd_loss(
    outputs.logits, samples.targets, samples.labels, **hyper
  )


def htc(
  hyper: Hyper, outputs: Outputs, samples: Samples, context: LossContext
) -> Array:
  """Computes `htc_loss`; `hyper` has `temperature`, `alpha`, `multiplier`."""
  del context
  return losses.htc_loss(
    outputs.logits, samples.targets, samples.labels, **hyper
  )


def scm(
  hyper: Hyper, outputs: Outputs, samples: Samples, context: LossContext
) -> Array:
  """Computes `scm_loss` against the mean answers of a sequence of networks.

  `hyper` has `temperature`, `alpha` and `multiplier`.
  """
  del context
  return losses.scm_loss(
    outputs.logits, samples.targets[None], samples.labels, **hyper
  )


def nasty(
  hyper: Hyper, outputs: Outputs, samples: Samples, context: LossContext
) -> Array:
  """Computes `nasty_loss`; `hyper` has `temperature` and `omega`.

  It is low for networks that classify well and differ from the targets.
  """
  del context
  return losses.nasty_loss(
    outputs.logits, samples.targets, samples.labels, **hyper
  )


def teacher_cross_entropy(
  hyper: Hyper, outputs: Outputs, samples: Samples, context: LossContext
) -> Array:
  """Computes the cross entropy against the teacher's answers, hard or soft."""
  del hyper, context
  logits = outputs.logits
  if jnp.issubdtype(samples.targets.dtype, jnp.integer):
    return optax.softmax_cross_entropy_with_integer_labels(
      logits, samples.targets
    )
  return optax.softmax_cross_entropy(logits, jax.nn.softmax(samples.targets))


def teacher_label_cross_entropy(
  hyper: Hyper, outputs: Outputs, samples: Samples, context: LossContext
) -> Array:
  """Computes the cross entropy against the teacher's likeliest class."""
  labels = hard_labels(samples.targets)
  samples = samples._replace(targets=labels)
  return teacher_cross_entropy(hyper, outputs, samples, context)


def teacher_answers(
  hyper: Hyper, outputs: Outputs, samples: Samples, context: LossContext
) -> Array:
  """Computes the cross entropy with labels, or KL(teacher || student).

  `hyper` has `temperature`, which softens both networks' answers and counts
  for probabilities alone.
  """
  if jnp.issubdtype(samples.targets.dtype, jnp.integer):
    return teacher_cross_entropy({}, outputs, samples, context)
  labels = hard_labels(samples.targets)
  hyper = {**hyper, "alpha": jnp.float32(1.0)}
  return kd(hyper, outputs, samples._replace(labels=labels), context)


def ldam(
  hyper: Hyper, outputs: Outputs, samples: Samples, context: LossContext
) -> Array:
  """Computes `ldam_loss` against the teacher's labels.

  `hyper` has `max_margin` and `scale`.
  """
  return losses.ldam_loss(
    outputs.logits,
    hard_labels(samples.targets),
    class_counts=context.label_counts,
    **hyper,
  )


def focal(
  hyper: Hyper, outputs: Outputs, samples: Samples, context: LossContext
) -> Array:
  """Computes `class_balanced_focal_loss` against the teacher's labels.

  `hyper` has `beta` and `gamma`.
  """
  return losses.class_balanced_focal_loss(
    outputs.logits,
    hard_labels(samples.targets),
    class_counts=context.label_counts,
    **hyper,
  )


def from_distance(distance: Callable[..., Array]) -> Objective:
  """Returns the objective that is a distance from the teacher's answers.

  Args:
    distance: `(logits [B, K], targets, **hyper) -> [B]`.
  """

  def objective(
    hyper: Hyper, outputs: Outputs, samples: Samples, context: LossContext
  ) -> Array:
    del context
    return distance(outputs.logits, samples.targets, **hyper)

  return objective


# Objectives of a student with hard labels, and the names of their numbers.
LABEL_LOSSES = {
  "cross_entropy": (teacher_cross_entropy, ()),
  "ldam": (ldam, ("max_margin", "scale")),
  "cb_focal": (focal, ("beta", "gamma")),
}
LABEL_LOSS_FIELDS = (
  Field("max_margin", float, None, "Largest margin of ldam.", POSITIVE),
  Field("scale", float, None, "Scale of the logits of ldam.", POSITIVE),
  Field("beta", float, None, "Balance of the classes in cb_focal.", FRACTION),
  Field(
    "gamma", float, None, "Focus on hard samples in cb_focal.", NOT_NEGATIVE
  ),
)
