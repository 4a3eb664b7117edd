"""Tests of the figures of defended teachers, read back from their files."""

from matplotlib.image import imread
import numpy as np
import pytest

from jaxkd.report.figures import PALETTE
from jaxkd.tables import defense_figures as figures
from jaxkd.tables.defense_figures import Sweep


def near(path, colour):
  """Marks the pixels that have a colour."""
  return np.abs(imread(path)[..., :3] - colour).max(-1) < 0.02


def heights(path, colour):
  """Counts the pixels of a colour in each column that has any."""
  pixels = near(path, colour).sum(0)
  return pixels[pixels > 0]


@pytest.mark.parametrize("classes", [2, 10, 200])
def test_bars_are_as_high_as_the_probabilities(tmp_path, classes):
  path = tmp_path / "bars.png"
  sure = np.zeros(classes)
  sure[1], sure[0] = 0.8, 0.2
  figures.bars_figure(path, {"one": sure, "two": np.ones(classes) / 2}, 1)
  true = heights(path, PALETTE[5])
  assert true.max() == pytest.approx(1.6 * true.min(), rel=0.1)
  assert near(path, PALETTE[0]).sum() > 100


def test_a_panel_for_each_network(tmp_path):
  def width(count):
    path = tmp_path / f"{count}.png"
    figures.bars_figure(path, {str(i): np.ones(3) / 3 for i in range(count)}, 0)
    return imread(path).shape[1]

  assert width(4) == pytest.approx(2 * width(2), abs=2)


@pytest.mark.parametrize("classes", [2, 200])
def test_the_composed_target_favours_the_true_class(tmp_path, classes):
  path = tmp_path / "temperature.png"
  logits = np.linspace(-5, 5, classes).astype(np.float32)
  figures.temperature_figure(path, logits, 0)
  image = imread(path)
  target = image[:, 3 * image.shape[1] // 4 :]
  true = np.abs(target[..., :3] - PALETTE[5]).max(-1) < 0.02
  others = np.abs(target[..., :3] - PALETTE[0]).max(-1) < 0.02
  assert true.sum(0).max() > others.sum(0).max() > 0


def test_sweeps_have_lines_and_references(tmp_path):
  path = tmp_path / "sweep.png"
  points = [(4.0, 0.5), (20.0, 0.6), (100.0, 0.7)]
  lines = {"htc": points, "scm": points[:1]}
  sweep = Sweep({"temperature": lines}, {"vanilla": 0.9})
  figures.sweep_figure(path, {"cnn": sweep, "mob": sweep})
  assert near(path, PALETTE[0]).sum() > 300  # two lines
  dashes = near(path, PALETTE[2]).sum(1)
  assert np.sort(dashes)[-2] > 100  # one in each panel


def test_features_of_each_class_have_a_colour(tmp_path):
  path = tmp_path / "features.png"
  rng = np.random.default_rng(0)
  labels = np.arange(30) % 3
  apart = 20 * np.eye(3, 8)[labels] + rng.normal(size=(30, 8))
  figures.features_figure(path, {"a": apart, "b": apart[:, :1]}, labels)
  for colour in PALETTE[:3]:
    assert near(path, colour).sum() > 30


def test_classes_that_are_apart_stay_apart():
  rng = np.random.default_rng(0)
  labels = np.arange(60) % 3
  vectors = 20 * np.eye(3, 8)[labels] + rng.normal(size=(60, 8))
  points = figures.embed(vectors)
  middles = np.stack([points[labels == k].mean(0) for k in range(3)])
  nearest = ((points[:, None] - middles) ** 2).sum(-1).argmin(1)
  np.testing.assert_array_equal(nearest, labels)
  np.testing.assert_array_equal(points, figures.embed(vectors))


def test_two_hundred_classes_and_constant_features(tmp_path):
  path = tmp_path / "features.png"
  rng = np.random.default_rng(0)
  labels = np.arange(200)
  vectors = rng.normal(size=(200, 4))
  figures.features_figure(path, {"dead": 0 * vectors, "a": vectors}, labels)
  assert path.stat().st_size > 5_000
