"""Objectives and targets of networks that are trained on real data."""

from typing import NamedTuple

from jaxkd.training.objectives import cross_entropy, nasty
from jaxkd.types import Array, Classifier, Objective


class Supervision(NamedTuple):
  """The objective and the targets of a training on labelled images.

  Attributes:
    objective: to train with.
    hyper: its numbers.
    reference: a frozen network that labels every view; its answers are the
      targets.
    targets: stored targets instead, labels `[N]` or log-probabilities `[N, K]`.
    accuracy: target on held-out images; the result is the network of the epoch
      that is nearest to it from above. None: the network of the last epoch.
    hint: fields of the config that keep the loss finite, for messages.
  """

  objective: Objective = cross_entropy
  hyper: dict[str, float] = {}  # noqa: RUF012 (never written to)
  reference: Classifier | None = None
  targets: Array | None = None
  accuracy: float | None = None
  hint: str = "teacher.optimizer.learning_rate"


SUPERVISED = Supervision()


def nasty_supervision(block) -> Supervision:
  """Returns the supervision of a nasty teacher, without its reference.

  `block` has `omega` and `temperature`.
  """
  hyper = {"temperature": block.temperature, "omega": block.omega}
  return Supervision(nasty, hyper, hint="omega, or the learning rate")
