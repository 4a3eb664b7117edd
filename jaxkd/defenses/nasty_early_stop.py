"""The nasty teacher, stopped where it is as accurate as the SCM defence's.

The control of table 6 in Jandial et al., ECCV 2022 ("Nasty KD ES"): a defence
that costs accuracy is compared with one that was stopped there. The paper does
not say how it stops; here it is the epoch whose accuracy on held-out training
images comes nearest to the target from above. `target_accuracy=0` takes the
accuracy that the SCM defence reaches on the same images.
"""

from typing import Any

from jaxkd.defenses import scm
from jaxkd.defenses.nasty import train_nasty
from jaxkd.evaluation import accuracy
from jaxkd.types import Classifier, JaxkdError


def check(block) -> None:
  """Refuses what leaves no images to judge on.

  Raises:
    JaxkdError: naming the field and what it may be.
  """
  if not block.validation_fraction:
    raise JaxkdError(
      "teacher.validation_fraction=0: nasty_early_stop judges its "
      "epochs on held-out images; choose 0.1, for instance."
    )


def defend(trainer: Any, normal: Classifier, block) -> Classifier:
  """See `jaxkd.defenses.defend`; reads `target_accuracy`, and what `nasty` and,
  for a target of 0, `scm` read.
  """
  target = block.target_accuracy
  if not target:
    rival = scm.defend(trainer, normal, block)
    images, labels = trainer.held_out.images, trainer.held_out.labels
    target = accuracy.evaluate(rival, images, labels)["accuracy"]
  return train_nasty(
    trainer, normal, block, "nasty_early_stop", "defense_early", accuracy=target
  )
