"""The words and the figure of an audit."""

import numpy as np
from PIL import Image
import pytest

from jaxkd import audit


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
  assert f"{word} in OWASP" in audit.verdict(report)


def test_without_a_black_box_there_is_no_verdict():
  report = {"queries": {"budget": None}, "student": {"agreement": 0.99}}
  assert audit.verdict(report) == ""


def test_agreement_that_nobody_measured_is_not_made_up():
  report = {
    "queries": {"budget": 10, "spent": 4},
    "student": {"agreement": None},
  }
  assert "not known" in audit.verdict(report)


def test_the_figure_draws_what_is_known(tmp_path):
  curve = [
    {"queries": 10, "accuracy": 0.2, "agreement": None},
    {"queries": 20, "accuracy": 0.8, "agreement": None},
  ]
  audit.queries_figure(tmp_path / "known.png", curve, 0.9)
  audit.queries_figure(tmp_path / "nothing.png", [], None)
  known, nothing = (
    np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"), int)
    for name in ("known", "nothing")
  )
  assert np.abs(known - nothing).max() > 50
