"""An audit says in words how well a black box was copied."""

import pytest

from jaxkd.evaluation import audit


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


@pytest.mark.parametrize(("bounds", "reaches"), [
  ((0.91, 0.95), ""),
  ((0.88, 0.95), ", the interval reaches warning"),
  ((0.7, 0.95), ", the interval reaches desired"),
])  # fmt: skip
def test_the_interval_stands_beside_the_band(bounds, reaches):
  report = {
    "queries": {"budget": 10, "spent": 4},
    "student": {"agreement": 0.93, "agreement_interval": bounds},
  }
  sentence = audit.audit_sentence(report)
  assert f"93.0 % (95 % interval {bounds[0]:.1%}"[:-1] in sentence
  assert sentence.endswith(f"below 75 %){reaches}.")


def test_without_a_black_box_there_is_no_sentence():
  report = {"queries": {"budget": None}, "student": {"agreement": 0.99}}
  assert audit.audit_sentence(report) == ""


def test_agreement_that_nobody_measured_is_not_made_up():
  report = {
    "queries": {"budget": 10, "spent": 4},
    "student": {"agreement": None},
  }
  assert "not known" in audit.audit_sentence(report)
