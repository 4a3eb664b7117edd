"""What a student is trained with: `(hyper, outputs, samples, context) -> [B]`.

A teacher that gives labels alone leaves integers `[B]` in `samples.targets`,
any other log-probabilities `[B, K]`.
"""

import jax
import jax.numpy as jnp
import optax

from jaxkd import losses
from jaxkd.data.labels import hard_labels
from jaxkd.types import Array, LossContext, Outputs, Samples

Hyper = dict[str, Array]


def cross_entropy(
  hyper: Hyper, outputs: Outputs, samples: Samples, context: LossContext
) -> Array:
  """Cross entropy against the labels: real ones, or the classes meant."""
  del hyper, context
  return optax.softmax_cross_entropy_with_integer_labels(
    outputs.logits, samples.labels
  )


def kd(
  hyper: Hyper, outputs: Outputs, samples: Samples, context: LossContext
) -> Array:
  """`kd_loss` with `hyper` `temperature` and `alpha`, against soft answers."""
  del context
  return losses.kd_loss(
    outputs.logits, samples.targets, samples.labels, **hyper
  )


def htc(
  hyper: Hyper, outputs: Outputs, samples: Samples, context: LossContext
) -> Array:
  """`htc_loss` with `hyper` `temperature`, `alpha` and `multiplier`, against
  soft answers and the labels.
  """
  del context
  return losses.htc_loss(
    outputs.logits, samples.targets, samples.labels, **hyper
  )


def scm(
  hyper: Hyper, outputs: Outputs, samples: Samples, context: LossContext
) -> Array:
  """`scm_loss`, likewise; the answers are those of the whole ensemble."""
  del context
  return losses.scm_loss(
    outputs.logits, samples.targets[None], samples.labels, **hyper
  )


def nasty(
  hyper: Hyper, outputs: Outputs, samples: Samples, context: LossContext
) -> Array:
  """`nasty_loss` with `hyper` `temperature` and `omega`: right about the label,
  and far from the answers.
  """
  del context
  return losses.nasty_loss(
    outputs.logits, samples.targets, samples.labels, **hyper
  )


def teacher_cross_entropy(
  hyper: Hyper, outputs: Outputs, samples: Samples, context: LossContext
) -> Array:
  """Cross entropy against the teacher's answers, hard or soft."""
  del hyper, context
  logits = outputs.logits
  if jnp.issubdtype(samples.targets.dtype, jnp.integer):
    return optax.softmax_cross_entropy_with_integer_labels(
      logits, samples.targets
    )
  return optax.softmax_cross_entropy(logits, jax.nn.softmax(samples.targets))


def ldam(
  hyper: Hyper, outputs: Outputs, samples: Samples, context: LossContext
) -> Array:
  """`ldam_loss` on the teacher's labels, with `hyper` `max_margin`, `scale`."""
  return losses.ldam_loss(
    outputs.logits,
    hard_labels(samples.targets),
    class_counts=context.label_counts,
    **hyper,
  )


def focal(
  hyper: Hyper, outputs: Outputs, samples: Samples, context: LossContext
) -> Array:
  """`class_balanced_focal_loss` on the teacher's labels, with `hyper` `beta`
  and `gamma`.
  """
  return losses.class_balanced_focal_loss(
    outputs.logits,
    hard_labels(samples.targets),
    class_counts=context.label_counts,
    **hyper,
  )
