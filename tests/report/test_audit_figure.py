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
