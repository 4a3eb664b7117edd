"""The nastier teacher is a later member of a sequence, in which each is trained
to be far from the one before.
"""

from blobs import RecordingTrainer, defense_block

from jaxkd import defenses


def test_the_sequence_is_contrasted_member_by_member():
  trainer = RecordingTrainer()
  defense = defense_block(name="scm", index=3)
  assert defenses.defend(trainer, "normal", defense) == "contrast3"
  references = {
    name: supervision.reference
    for name, supervision in trainer.supervisions.items()
  }
  assert references == {
    "nasty": "normal",
    "contrast2": "nasty",
    "contrast3": "contrast2",
  }
  for supervision in trainer.supervisions.values():
    assert supervision.hyper == {"temperature": 4.0, "omega": 0.04}
    assert supervision.accuracy is None


def test_its_first_member_is_the_nasty_teacher():
  """So a table of both trains that one once."""
  first = []
  for name in ("nasty", "scm"):
    trainer = RecordingTrainer()
    defenses.defend(trainer, "normal", defense_block(name=name))
    first.append((trainer.supervisions["nasty"], trainer.stages["nasty"]))
  assert first[0] == first[1]
