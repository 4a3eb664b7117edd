"""A defence is found by its name or by its path, and refused where it can't
work before anything is trained.
"""

from blobs import teacher_block
import pytest

from jaxkd import defenses
from jaxkd.types import JaxkdError


@pytest.mark.parametrize(
  ("defense", "teacher", "message"),
  [
    ({"name": "nastly"}, {}, "teacher.defense.name 'nastly'.*mean nasty"),
    ({"name": "nasty_early_stop"}, {}, "teacher.validation_fraction=0"),
    ({"name": "nasty"}, {"url": "http://x"}, "teacher.defense.name=nasty"),
    ({"name": "nasty"}, {"replay": "a.jsonl"}, "teacher.defense.name=nasty"),
    (
      {"name": "rounding"},
      {"url": "http://x", "access": "probs"},
      "rounding: a served .* can't be changed from outside",
    ),
    ({"name": "rounding"}, {}, "rounding changes .*access=white_box shows"),
    ({"name": "top_k"}, {"access": "logits"}, "access=logits shows more"),
    (
      {"name": "own_code.absent"},
      {},
      "there is no module own_code.absent",
    ),
    (
      {"name": "own_code.networks"},
      {},
      r"defense\.name=.*the module has no check",
    ),
    (
      {"name": "own_code.defense", "omega": 2.0},
      {},
      "mine takes up to 1",
    ),
  ],
)
def test_what_can_not_be_is_refused_by_its_field(defense, teacher, message):
  with pytest.raises(JaxkdError, match=message):
    defenses.check(teacher_block(defense=defense, **teacher))


@pytest.mark.parametrize("name", defenses.names())
def test_every_defence_can_be_asked_for(name):
  access = "probs" if defenses.changes_answers(name) else "white_box"
  block = teacher_block(
    defense={"name": name}, validation_fraction=0.1, access=access
  )
  assert defenses.check(block) is None


def test_a_target_accuracy_needs_no_sequence():
  defense = {"name": "nasty_early_stop", "target_accuracy": 0.9, "index": 1}
  block = teacher_block(defense=defense, validation_fraction=0.1)
  assert defenses.check(block) is None


def test_without_a_name_nothing_is_defended_and_nothing_checked():
  block = teacher_block(url="http://x", defense={"index": 0})
  assert defenses.check(block) is None
