"""A nasty teacher is trained to be right and far from the normal one, as far
as omega says.
"""

from blobs import CENTRES, blobs, defense_block, initial_network
from network_weights import same
import pytest

import jaxkd
from jaxkd import config as c
from jaxkd.defenses import nasty
from jaxkd.evaluation import accuracy
from jaxkd.types import JaxkdError


def test_without_omega_a_nasty_teacher_is_a_normal_one(make_trainer):
  normal = make_trainer("normal").train("nasty", "defense")
  defended = nasty.defend(
    make_trainer("nasty"), initial_network(), defense_block(omega=0.0)
  )
  same(defended, normal)


def test_omega_leads_away_from_the_normal_teacher(make_trainer):
  fields = {"optimizer": c.optimizer("adam", 0.02), "epochs": 10}
  normal = jaxkd.from_function(lambda centres, x: x @ centres.T, CENTRES)
  images, labels = blobs()

  def distance(omega):
    """KL(nasty || normal)."""
    trainer = make_trainer(f"{omega}", **fields)
    defended = nasty.defend(trainer, normal, defense_block(omega=omega))
    return accuracy.evaluate(normal, images, labels, teacher=defended)["kl"]

  assert distance(0.1) > 3 * distance(0.0)


@pytest.mark.parametrize(
  ("omega", "message"),
  [
    (1e38, "stage defense is .* lower omega"),
    # The only update blows the weights up, and no later loss shows it.
    (1e30, "nasty has logits that are not finite .* lower omega"),
  ],
)
def test_an_omega_that_is_too_large_is_named(make_trainer, omega, message):
  trainer = make_trainer(epochs=1, batch_size=32)
  with pytest.raises(JaxkdError, match=message):
    nasty.defend(trainer, initial_network(), defense_block(omega=omega))
  assert not (trainer.workdir / "nasty.safetensors").exists()
