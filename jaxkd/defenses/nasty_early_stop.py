"""The nasty teacher with early stopping at the accuracy of the SCM defence.

The control of table 6 in Jandial et al., ECCV 2022 ("Nasty KD ES"): a defence
that costs accuracy is compared with a nasty teacher of the same accuracy. The
paper does not say how that is stopped; here it is the epoch whose accuracy on
held-out training images is nearest to the target from above.
`target_accuracy=0` takes the accuracy of the SCM defence on the same images.
"""

from jaxkd.defenses import scm
from jaxkd.defenses.nasty import train_nasty
from jaxkd.evaluation import accuracy
from jaxkd.training.trained_network import Trainer
from jaxkd.types import Classifier, JaxkdError


def check(block) -> None:
  """Refuses a teacher without held-out images.

  Raises:
    JaxkdError: if there are none.
  """
  if not block.validation_fraction:
    raise JaxkdError(
      "teacher.validation_fraction=0: nasty_early_stop measures its "
      "epochs on held-out images; choose 0.1, for instance."
    )


def defend(trainer: Trainer, undefended: Classifier, block) -> Classifier:
  """Trains a nasty teacher; `block` has `target_accuracy` and the fields of
  `nasty`, and for a target of 0 those of `scm`.
  """
  target = block.target_accuracy
  if not target:
    scm_teacher = scm.defend(trainer, undefended, block)
    images, labels = trainer.held_out.images, trainer.held_out.labels
    target = accuracy.evaluate(scm_teacher, images, labels)["accuracy"]
  return train_nasty(
    trainer,
    undefended,
    block,
    "nasty_early_stop",
    "defense_early",
    accuracy=target,
  )
