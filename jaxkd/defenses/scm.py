"""The nastier teacher: a later member of the sequence of contrastive models.

Jandial et al., "Distilling the Undistillable: Learning from a Nasty Teacher",
ECCV 2022, section 3.4 and table 6. The first member is the nasty teacher; each
further one is trained to be right and far from the one before, by the same
loss. The paper publishes "Seq-1" or "Seq-2", which are the members 2 and 3 of
its equation 10, and does not say which; `index` counts as the equation does.
"""

from typing import Any

from jaxkd.defenses.nasty import train_nasty
from jaxkd.types import Classifier


def check(block) -> None:
  """Takes any `config.teacher`."""
  del block


def defend(trainer: Any, normal: Classifier, block) -> Classifier:
  """See `jaxkd.defenses.defend`; reads `index`, `omega`, `temperature`."""
  member = normal
  for index in range(1, block.index + 1):
    name = "nasty" if index == 1 else f"contrast{index}"
    stage = "defense" if index == 1 else f"defense_{index}"
    member = train_nasty(trainer, member, block, name, stage)
  return member
