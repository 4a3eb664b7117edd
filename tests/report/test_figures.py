"""Tests of figures, whose pixels are read back from the file."""

import jax.numpy as jnp
from matplotlib.figure import Figure
from matplotlib.image import imread
import numpy as np
import pytest

from jaxkd.report import figures
from jaxkd.report.figure_file import save_figure
from jaxkd.types import Classifier, JaxkdError, Outputs


def plane(*normal):
  """Makes a classifier of 2 classes with the boundary `normal @ point = 0`."""

  def apply(variables, points, *, train=False, rng=None):
    score = points @ variables
    return Outputs(jnp.stack([score, -score], -1)), {}

  return Classifier(jnp.asarray(normal, jnp.float32), apply)


def near(image, colour):
  """Marks the pixels that have a colour."""
  return np.abs(image[..., :3] - colour).max(-1) < 0.02


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("with_sizes", [True, False])
def test_samples_stand_in_rows_of_classes(tmp_path, channels, with_sizes):
  classes, sets, side = 2, 4, 8
  labels = np.tile(np.arange(classes), sets)
  sizes = np.repeat([0.1, 1e-4, 0.01, 1e-3], classes)
  # Black at the right in class 0, at the bottom in class 1.
  images = np.zeros((len(labels), side, side, channels), np.float32)
  images[labels == 0, :, : side // 2] = 1
  images[labels == 1, : side // 2] = 1
  path = tmp_path / "samples.png"
  figures.samples_figure(
    path,
    jnp.asarray(images),
    jnp.asarray(labels),
    jnp.asarray(sizes) if with_sizes else None,
    classes,
  )
  ink = near(imread(path), 0)
  tile = 72  # pixels of the figure
  black = ink.sum(1)  # in each of its rows
  first, second = (np.flatnonzero(black == sets * n) for n in (tile / 2, tile))
  assert (len(first), len(second)) == (tile, tile / 2)
  assert first.max() < second.min()


def test_columns_go_by_falling_step_size(tmp_path):
  sizes = np.array([1e-3, 0.1, 1e-2])
  images = np.zeros((3, 9, 9, 1), np.float32)
  for index, size in enumerate(sizes):  # larger step size, lower black line
    images[index] = 1
    images[index, int(-2 * np.log10(size))] = 0
  path = tmp_path / "samples.png"
  figures.samples_figure(path, images, np.zeros(3, int), sizes, 1)
  ink = near(imread(path), 0)
  starts = [
    np.flatnonzero(ink[:, column]).min()
    for column in np.flatnonzero(ink.sum(0) == 8)  # one line of a zoomed pixel
  ]
  assert len(starts) > 150
  assert starts == sorted(starts)
  assert len(set(starts)) == 3


def test_many_classes_and_gaps_are_thinned_out(tmp_path):
  rng = np.random.default_rng(0)
  labels = rng.integers(0, 100, 60)
  path = tmp_path / "samples.png"
  figures.samples_figure(
    path, rng.normal(size=(60, 4, 4, 3)), labels, rng.random(60), 100
  )
  height = imread(path).shape[0]
  assert height < figures.MAX_ROWS * (72 + 24) + 150


def test_curves_have_a_panel_for_each_value(tmp_path):
  def width(count):
    path = tmp_path / f"{count}.png"
    records = [
      {"stage": "synthesis", "step": step, "time": 0.0, "seconds": 1.0}
      | {f"term_{i}": [step, None, 2 * step] for i in range(count)}
      for step in (1, 2, 3)
    ]
    figures.curves_figure(path, records)
    return imread(path).shape[:2]

  one, two, four = width(1), width(2), width(4)
  assert two[1] == pytest.approx(2 * one[1], abs=2)
  assert four[0] == pytest.approx(2 * one[0], abs=2)


def test_curves_have_the_colour_of_their_stage(tmp_path):
  path = tmp_path / "curves.png"
  records = [
    {"stage": "student", "step": step, "time": 0.0, "loss": 1 / step}
    for step in range(1, 30)
  ]
  figures.curves_figure(path, records)
  image = imread(path)
  assert near(image, figures.PALETTE[5]).any()
  assert not near(image, figures.PALETTE[0]).any()


def test_no_records_are_no_error(tmp_path):
  figures.curves_figure(tmp_path / "curves.png", [])
  assert (tmp_path / "curves.png").exists()


def test_boundary_shows_both_classifiers(tmp_path):
  points = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]], np.float32)
  path = tmp_path / "boundary.png"
  figures.decision_boundary_figure(
    path,
    plane(1, 0),  # class 0 at the right
    plane(0, 1),  # a horizontal line
    points,
    np.array([1, 1, 0, 0]),
    data_points=0.5 * points,
  )
  image = imread(path)
  tints = 0.7 + 0.3 * figures.PALETTE[:2]
  right, left = (np.flatnonzero(near(image, t).any(0)) for t in tints)
  assert np.median(left) < image.shape[1] / 2 < np.median(right)
  black = near(image, 0x22 / 255)
  assert black.sum(1).max() > 0.9 * image.shape[1]  # the student's line
  assert near(image, figures.PALETTE[0]).sum() > 50  # its points


def test_a_student_without_boundary_is_drawn_too(tmp_path):
  points = np.array([[1, 1], [2, 1], [1, 2]], np.float32)
  path = tmp_path / "boundary.png"
  figures.decision_boundary_figure(
    path, plane(1, -1), plane(1, 1), points, np.zeros(3, int)
  )
  assert path.exists()


def test_what_stands_in_the_way_of_a_figure_is_named(tmp_path):
  (tmp_path / "curves.png").mkdir()
  (tmp_path / "curves.png" / "file").touch()
  with pytest.raises(
    JaxkdError, match=r"curves.png: .*move what is in its way"
  ):
    save_figure(tmp_path / "curves.png", Figure())
