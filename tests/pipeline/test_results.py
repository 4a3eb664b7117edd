"""The report of a run is gathered from its metrics and from scores."""

import numpy as np
import pytest

from jaxkd.data import Dataset
from jaxkd.pipeline import results
from jaxkd.runtime.metrics import MetricsWriter
from jaxkd.types import DataSpec

SPEC = DataSpec("points", (2,), 5, (0.0, 0.0), (1.0, 1.0))
POINTS, LABELS = np.zeros((1, 2)), np.zeros(1, np.int32)
DATASET = Dataset(SPEC, POINTS, LABELS, POINTS, LABELS)


@pytest.fixture
def metrics(tmp_path):
  with MetricsWriter(tmp_path) as metrics:
    yield metrics


def test_a_defence_counts_as_teacher_and_a_member_as_student(metrics):
  metrics.write("teacher", 1, peak_bytes=5, seconds=1.0, compile_seconds=0.5)
  metrics.write("defense_2", 1, peak_bytes=7, seconds=2.0)
  metrics.write("member_2", 1, peak_bytes=3, seconds=4.0)
  metrics.write("committee_1", 1, seconds=100.0)
  metrics.write("student", 1, peak_bytes=9, seconds=8.0)
  metrics.write("student_3", 1, peak_bytes=8, seconds=16.0)
  metrics.write("queries", 1, accuracy=0.5, seconds=32.0)
  assert results.stage_memory(metrics) == {
    "of": "process", "teacher": 7, "synthesis": None, "student": 9,
  }  # fmt: skip
  assert results.stage_seconds(metrics) == {
    "teacher": 3.5, "synthesis": 0.0, "student": 128.0,
  }  # fmt: skip


def test_the_curve_of_queries_ends_with_the_finished_student(metrics):
  final = {"accuracy": 0.9, "agreement": 0.8, "kl": 0.1}
  assert results.query_curve(metrics, 60, final, 100) == []
  metrics.write("queries", 1, queries=20, accuracy=0.5, agreement=0.4, kl=1.0)
  metrics.write("queries", 3, queries=50, accuracy=0.7)
  curve = results.query_curve(metrics, 60, final, 100)
  names = ("queries", "accuracy", "agreement")
  assert [tuple(point[name] for name in names) for point in curve] == [
    (20, 0.5, 0.4), (50, 0.7, None), (60, 0.9, 0.8),
  ]  # fmt: skip
  assert curve[0]["accuracy_interval"] == pytest.approx(
    (0.404, 0.596), abs=1e-3
  )
  assert curve[1]["agreement_interval"] is None


def test_a_mean_of_unknown_values_is_unknown():
  rows = [{"accuracy": 0.5, "kl": 0.1}, {"accuracy": 1.0, "kl": None}]
  assert results.mean_of_each(rows) == {"accuracy": 0.75, "kl": None}


SEEDS = [
  {"synthetic_agreement": held_out, "accuracy": accuracy, "agreement": 0.5}
  for held_out, accuracy in [(0.7, 0.9), (0.8, 0.8), (0.9, 0.7)]
]
GRID = {
  "points": [
    {"validation": score, "accuracy": accuracy}
    for score, accuracy in [(0.1, 0.1), (0.2, 0.3), (0.3, 0.9)]
  ]
}


def test_held_out_samples_rank_the_points_of_a_grid_or_else_the_seeds():
  quality = results.prediction_quality(DATASET, SEEDS, None)
  assert quality["rank_correlation"] == pytest.approx(-1)
  quality = results.prediction_quality(DATASET, SEEDS, GRID)
  assert quality["rank_correlation"] == pytest.approx(1)
  assert quality["estimate"] == pytest.approx(0.8)
  assert quality["gap"] == pytest.approx(0.3)


def test_without_test_data_there_is_nothing_to_predict():
  nothing = Dataset.without_images(SPEC)
  assert results.prediction_quality(nothing, SEEDS, GRID) is None
