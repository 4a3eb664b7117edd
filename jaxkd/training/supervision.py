"""What a network is trained on beside the true labels."""

from typing import NamedTuple

from jaxkd.training.objectives import cross_entropy, nasty
from jaxkd.types import Array, Classifier, Objective


class Supervision(NamedTuple):
  """What a network is taught beside the truth.

  Attributes:
    objective: to train with.
    hyper: its numbers.
    reference: a frozen network whose answers to every view are the targets.
    targets: answers to the samples instead, where it can't be asked: labels
      `[N]` or log-probabilities `[N, K]`.
    accuracy: on held-out images; the network is that of the epoch which comes
      nearest to it from above. None: that of the last epoch.
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
  """What `omega` and `temperature` say, without what to be far from."""
  hyper = {"temperature": block.temperature, "omega": block.omega}
  return Supervision(nasty, hyper, hint="omega, or the learning rate")
