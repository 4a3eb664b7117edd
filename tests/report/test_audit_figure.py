"""The figure of an audit has accuracy and agreement over the queries."""

import numpy as np
from PIL import Image

from jaxkd.report import audit_figure


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


def test_intervals_are_drawn_as_a_band(tmp_path):
  curve = [
    {"queries": queries, "accuracy": 0.5, "agreement": None}
    for queries in (10, 20)
  ]
  wide = [point | {"accuracy_interval": (0.3, 0.7)} for point in curve]
  images = []
  for name, points in (("line", curve), ("band", wide)):
    audit_figure.queries_figure(tmp_path / f"{name}.png", points, None)
    image = Image.open(tmp_path / f"{name}.png").convert("RGB")
    images.append(np.asarray(image, int))
  changed = (images[0] != images[1]).any(-1).mean()
  assert 0.2 < changed < 0.45  # of the figure; the axes are most of it
