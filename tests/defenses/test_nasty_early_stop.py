"""The nasty teacher that is stopped early is as accurate as the config says,
or else as the nastier teacher is.
"""

from blobs import RecordingTrainer, defense_block

from jaxkd import defenses
from jaxkd.evaluation import accuracy


def test_without_a_target_it_takes_the_accuracy_of_the_nastier_teacher(
  monkeypatch,
):
  evaluated = []

  def evaluate(network, images, labels):
    evaluated.append((network, len(images)))
    return {"accuracy": 0.625}

  monkeypatch.setattr(accuracy, "evaluate", evaluate)
  trainer = RecordingTrainer()
  defense = defense_block(name="nasty_early_stop", index=2, target_accuracy=0.0)
  assert defenses.defend(trainer, "normal", defense) == "nasty_early_stop"
  assert evaluated == [("contrast2", 4)]
  supervision = trainer.supervisions["nasty_early_stop"]
  assert supervision.accuracy == 0.625
  assert supervision.reference == "normal"


def test_with_a_target_it_trains_nothing_else():
  trainer = RecordingTrainer()
  defense = defense_block(name="nasty_early_stop", target_accuracy=0.8)
  defenses.defend(trainer, "normal", defense)
  assert list(trainer.supervisions) == ["nasty_early_stop"]
  assert trainer.supervisions["nasty_early_stop"].accuracy == 0.8
