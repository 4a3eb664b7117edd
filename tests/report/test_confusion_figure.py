"""The figure of confused classes has a dark cell where many images are."""

from matplotlib.image import imread
import numpy as np

from jaxkd.report.confusion_figure import confusion_figure


def test_rows_are_the_teachers_classes(tmp_path):
  classes = 40  # too many for numbers in the cells
  counts = np.zeros((classes, classes), int)
  counts[3, 30] = 900
  counts[35, 35] = 1
  path = tmp_path / "confusion.png"
  confusion_figure(path, counts.tolist())
  image = imread(path)[..., :3]
  # The map's dark blue; a row counts by its shares, so both cells have it.
  dark = np.argwhere((image[..., 2] > 0.55) & (image[..., 0] < 0.35))
  top = dark[dark[:, 0] < len(image) / 2]
  bottom = dark[dark[:, 0] > len(image) / 2]
  assert len(top) and len(bottom)
  assert (top[:, 1] > image.shape[1] / 2).all()
  assert (bottom[:, 1] > top[:, 1].max()).all()


def test_few_classes_have_numbers(tmp_path):
  for name, count in (("few", 12), ("none", 0)):
    confusion_figure(tmp_path / f"{name}.png", [[count, 0], [0, count]])
  few, none = (imread(tmp_path / f"{n}.png") for n in ("few", "none"))
  assert (few[..., :3].max(-1) < 0.2).sum() > (
    none[..., :3].max(-1) < 0.2
  ).sum()
