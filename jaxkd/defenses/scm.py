"""SCM as a defence: a later member of a sequence of contrastive models.

Jandial et al., "Distilling the Undistillable: Learning from a Nasty Teacher",
ECCV 2022, section 3.4 and table 6. The first member is the nasty teacher; each
further one is trained to classify well and to differ from the one before, by
the same loss. The paper publishes "Seq-1" or "Seq-2", which are the members 2
and 3 of its equation 10, and does not say which; `index` counts as the equation
does.
"""

from jaxkd.defenses.nasty import train_nasty
from jaxkd.training.trained_network import Trainer
from jaxkd.types import Classifier


def check(block) -> None:
  """Accepts any `config.teacher`."""
  del block


def defend(trainer: Trainer, undefended: Classifier, block) -> Classifier:
  """Trains the members up to `block.index`; the loss is that of `nasty`."""
  member = undefended
  for index in range(1, block.index + 1):
    name = "nasty" if index == 1 else f"contrast{index}"
    stage = "defense" if index == 1 else f"defense_{index}"
    member = train_nasty(trainer, member, block, name, stage)
  return member
