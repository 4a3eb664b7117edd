"""The words and the figure of an audit."""

from pathlib import Path

import numpy as np
from PIL import Image
import pytest

import jaxkd
from jaxkd.evaluation import audit
from jaxkd.pipeline import plan
from jaxkd.report import audit_figure

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize(
  ("agreement", "word"),
  [(0.91, "vulnerable"), (0.9, "warning"), (0.75, "warning"), (0.7, "desired")],
)
def test_the_bands_meet_where_owasp_has_them(agreement, word):
  assert audit.band(agreement) == word
  report = {
    "queries": {"budget": 10, "spent": 4},
    "student": {"agreement": agreement},
  }
  assert f"{word} in OWASP" in audit.audit_sentence(report)


def test_without_a_black_box_there_is_no_verdict():
  report = {"queries": {"budget": None}, "student": {"agreement": 0.99}}
  assert audit.audit_sentence(report) == ""


def test_agreement_that_nobody_measured_is_not_made_up():
  report = {
    "queries": {"budget": 10, "spent": 4},
    "student": {"agreement": None},
  }
  assert "not known" in audit.audit_sentence(report)


@pytest.mark.parametrize("attack", ["cake", "generative", "ideel"])
def test_an_audit_refuses_what_is_no_attack_on_a_black_box(attack):
  told = f"attack={attack}: .* one of dast, dfme, ideal, maze, zsdb3kd"
  with pytest.raises(jaxkd.JaxkdError, match=told):
    jaxkd.load_config(f"{CONFIGS}/audit.py:attack={attack},smoke")


def test_arguments_of_the_attack_reach_it():
  config = jaxkd.load_config(f"{CONFIGS}/audit.py:attack=ideal,paper")
  assert config.student.epochs == 0
  config = jaxkd.load_config(f"{CONFIGS}/audit.py:paper")
  assert (config.method, config.synthesis.tones) == ("ideal", "plain")
  with pytest.raises(jaxkd.JaxkdError, match="argument 'papre'"):
    jaxkd.load_config(f"{CONFIGS}/audit.py:papre")


@pytest.mark.parametrize("attack", ["dast", "dfme", "ideal", "maze", "zsdb3kd"])
def test_an_audit_passes_the_checks_of_a_run(attack):
  config = jaxkd.load_config(f"{CONFIGS}/audit.py:attack={attack},smoke")
  assert "black box" not in plan.describe(config)
  assert bool(config.queries.eval_at) == (attack != "zsdb3kd")


def test_the_figure_draws_what_is_known(tmp_path):
  curve = [
    {"queries": 10, "accuracy": 0.2, "agreement": None},
    {"queries": 20, "accuracy": 0.8, "agreement": None},
  ]
  audit_figure.queries_figure(tmp_path / "known.png", curve, 0.9)
  audit_figure.queries_figure(tmp_path / "nothing.png", [], None)
  known, nothing = (
    np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"), int)
    for name in ("known", "nothing")
  )
  assert np.abs(known - nothing).max() > 50
