"""Nasty Teacher: a teacher with correct labels and misleading probabilities.

Ma et al., "Undistillable: Making A Nasty Teacher That CANNOT Teach Students",
ICLR 2021. A new network of the same architecture is trained with

    CE - omega t^2 KL(nasty || undefended), both softened by t,

the undefended teacher frozen, with the gradient through both places of the
nasty one. It does not start from the weights of the undefended teacher, because
there the gradient of the divergence is zero. The loss is bounded below by
omega t^2 ln min undefended, which is very low where the undefended teacher is
confident; a loss that is not finite ends the training with an error.
"""

from jaxkd.training.supervision import nasty_supervision
from jaxkd.training.trained_network import Trainer
from jaxkd.types import Classifier


def check(block) -> None:
  """Accepts any `config.teacher`."""
  del block


def defend(trainer: Trainer, undefended: Classifier, block) -> Classifier:
  """Trains a nasty teacher; `block` has `omega` and `temperature`."""
  return train_nasty(trainer, undefended, block, "nasty", "defense")


def train_nasty(
  trainer: Trainer,
  previous: Classifier,
  block,
  name: str,
  stage: str,
  *,
  accuracy: float | None = None,
) -> Classifier:
  """Trains a new network to classify well and to differ from `previous`.

  Args:
    trainer: for the teacher's data.
    previous: network that it is to differ from; it is frozen.
    block: with `omega` and `temperature`.
    name: of its file.
    stage: of the run.
    accuracy: see `jaxkd.training.supervision.Supervision`.
  """
  supervision = nasty_supervision(block)._replace(
    reference=previous, accuracy=accuracy
  )
  return trainer.train(name, stage, supervision)
