"""Tests of the sheets of procedural images."""

import jax
import numpy as np
from PIL import Image
import pytest

from jaxkd.export.__main__ import main
from jaxkd.synthesis import procedural


def test_a_sheet_shows_the_images_in_order(tmp_path):
  out = tmp_path / "sheets" / "leaves.png"
  arguments = ["--name=leaves", "--count=5", f"--out={out}", "--size=16"]
  assert main(["source", *arguments, "--channels=3", "--seed=1"]) == 0
  with Image.open(out) as picture:
    sheet = np.asarray(picture)
  assert sheet.shape == (2 * 17 + 1, 3 * 17 + 1, 3)
  images = procedural.draw("leaves", jax.random.key(1), 5, (16, 16, 3))
  np.testing.assert_array_equal(sheet[1:17, 18:34], images[1])
  np.testing.assert_array_equal(sheet[18:34, 18:34], images[4])
  assert (sheet[18:, 35:] == 128).all()


@pytest.mark.slow  # a README has one by default
def test_a_mixture_has_a_sheet(tmp_path):
  out = tmp_path / "mixture.png"
  arguments = ["--name=mixture", "--count=6", f"--out={out}", "--size=8"]
  assert main(["source", *arguments]) == 0
  with Image.open(out) as sheet:
    assert sheet.mode == "L"


@pytest.mark.parametrize(
  "option, message",
  [
    ("--name=stroke", "--name 'stroke'. Did you mean strokes?"),
    ("--count=0", "--count=0: it must be above 0."),
    ("--size=-1", "--size=-1: it must be above 0."),
    ("--channels=2", "--channels=2: a PNG file has 1 or 3."),
  ],
)
def test_wrong_options_are_named(option, message, tmp_path, capsys):
  out = tmp_path / "sheet.png"
  with pytest.raises(SystemExit, match="2"):
    main(["source", "--name=leaves", f"--out={out}", option])
  assert message in capsys.readouterr().err
  assert not out.exists()
