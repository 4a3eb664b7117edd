"""Nasty Teacher: right about the label, far from the normal teacher.

Ma et al., "Undistillable: Making A Nasty Teacher That CANNOT Teach Students",
ICLR 2021. A fresh network of the same architecture is trained with

    CE - omega t^2 KL(nasty || normal), both softened by t,

the normal teacher frozen, the gradient flowing through both places of the nasty
one. Starting from the normal teacher would give no push at all: there the
divergence has no slope. The loss is bounded below by omega t^2 ln min normal,
which is far down where the normal teacher is sure of itself; one that stops
being finite ends the training by name.
"""

from typing import Any

from jaxkd.training.supervision import nasty_supervision
from jaxkd.types import Classifier


def check(block) -> None:
  """Takes any `config.teacher`."""
  del block


def defend(trainer: Any, normal: Classifier, block) -> Classifier:
  """See `jaxkd.defenses.defend`; reads `omega` and `temperature`."""
  return train_nasty(trainer, normal, block, "nasty", "defense")


def train_nasty(
  trainer: Any,
  previous: Classifier,
  block,
  name: str,
  stage: str,
  *,
  accuracy: float | None = None,
  model: str = "",
) -> Classifier:
  """A fresh network, trained to be right and far from `previous`.

  Args:
    trainer: a `jaxkd.training.trained_network.Trainer`.
    previous: frozen.
    block: with `omega` and `temperature`.
    name: of its file.
    stage: of the run.
    accuracy: see `jaxkd.training.supervision.Supervision`.
    model: name in `jaxkd.models`; empty takes the trainer's.
  """
  lesson = nasty_supervision(block)._replace(
    reference=previous, accuracy=accuracy
  )
  return trainer.train(name, stage, lesson, model)
