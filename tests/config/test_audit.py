"""The config of an audit takes the attacks on black boxes, with their own
arguments.
"""

import pytest

import jaxkd
from jaxkd import defenses
from jaxkd.pipeline import plan


@pytest.mark.parametrize("attack", ["cake", "generative", "ideel"])
def test_an_audit_refuses_what_is_no_attack_on_a_black_box(attack):
  attacks = "dast, dfme, ideal, knockoff, maze, procedural, zsdb3kd"
  message = f"attack={attack}: .* one of {attacks}"
  with pytest.raises(jaxkd.JaxkdError, match=message):
    jaxkd.load_config(f"configs/audit.py:attack={attack},smoke")


def test_arguments_of_the_attack_reach_it():
  config = jaxkd.load_config("configs/audit.py:attack=ideal,recipe=published")
  assert config.student.epochs == 0
  config = jaxkd.load_config("configs/audit.py:recipe=published")
  assert (config.method, config.synthesis.tones) == ("ideal", "plain")
  with pytest.raises(jaxkd.JaxkdError, match="argument 'papre'"):
    jaxkd.load_config("configs/audit.py:papre")


@pytest.mark.parametrize(
  "attack",
  [
    "dfme",
    "ideal",
    "procedural",
    "zsdb3kd",
    pytest.param("dast", marks=pytest.mark.slow),
    pytest.param("maze", marks=pytest.mark.slow),
  ],
)
def test_an_audit_passes_the_checks_of_a_run(attack):
  config = jaxkd.load_config(f"configs/audit.py:attack={attack},smoke")
  assert f"budget {config.queries.budget:,}" in plan.describe(config)
  assert bool(config.queries.eval_at) == (attack != "zsdb3kd")


def test_two_attacks_share_a_budget():
  table = jaxkd.load_config("configs/audit.py:attack=both,budget=3000")
  ideal, procedural = table.cells.ideal.config, table.cells.procedural.config
  assert ideal.queries.budget == procedural.queries.budget == 1500
  assert procedural.synthesis.batch_size == 150
  assert procedural.teacher == ideal.teacher
  assert procedural.student.epochs * 1500 <= 900_000
  decays = [x.student.optimizer.weight_decay for x in (ideal, procedural)]
  assert decays == [1e-2, 1e-2]
  for budget in (0, 1, -4):
    with pytest.raises(jaxkd.JaxkdError, match=f"budget={budget}"):
      jaxkd.load_config(f"configs/audit.py:attack=both,budget={budget}")


def test_an_audit_of_defences_has_a_row_for_each_and_one_without():
  table = jaxkd.load_config(
    "configs/audit.py:attack=procedural,defenses=all,smoke"
  )
  assert table.rows == ("none", *defenses.answer_names())
  assert table.columns == (*table.prices, "labels", "probabilities")
  assert len(table.cells) == len(table.rows) * len(table.columns)
  cell = table.cells.rounding_labels.config.teacher
  assert (cell.defense.name, cell.access) == ("rounding", "label")
  assert not table.cells.none_labels.config.teacher.defense.name
  honest, attack = table.cells.top_k_honest_accuracy, table.cells.top_k_labels
  assert honest.config == attack.config
  one = jaxkd.load_config(
    "configs/audit.py:attack=procedural,access=probs,defenses=rounding+top_k"
  )
  assert one.rows == ("none", "rounding", "top_k")
  assert one.columns == (*one.prices, "probabilities")


@pytest.mark.parametrize(
  ("argument", "message"),
  [
    ("defenses=nasty", "nasty trains another teacher; .*additive_noise.label"),
    ("defenses=rouding", "Did you mean rounding"),
    (
      "attack=procedural,defenses=all,access=white_box",
      "access=white_box: .* label or probs",
    ),
    ("attack=both,defenses=all", "attack=both: .* without defenses both"),
  ],
)
def test_an_audit_refuses_what_is_no_defence_of_answers(argument, message):
  with pytest.raises(jaxkd.JaxkdError, match=message):
    jaxkd.load_config(f"configs/audit.py:{argument}")


def test_a_served_teacher_can_not_be_defended_from_outside():
  table = jaxkd.load_config(
    "configs/audit.py:attack=procedural,defenses=rounding,smoke"
  )
  config = table.cells.rounding_labels.config
  config.teacher.url = "http://127.0.0.1:1"
  with pytest.raises(jaxkd.JaxkdError, match="can't be changed from outside"):
    plan.describe(config)


def test_attacks_by_labels_share_a_run_where_a_defence_keeps_the_label():
  table = jaxkd.load_config("configs/answer_defenses.py:smoke")
  named = {
    name: cell.config.teacher.defense.name for name, cell in table.cells.items()
  }
  for attack in ("procedural_labels", "ideal"):
    assert named[f"top_k_{attack}"] == named[f"modelguard_w_{attack}"] == ""
    assert named[f"rounding_{attack}"] == "rounding"
    assert named[f"reverse_sigmoid_{attack}"] == "reverse_sigmoid"
  for column in ("honest_accuracy", "kd_on_real_images", "dfme"):
    assert named[f"top_k_{column}"] == "top_k"
