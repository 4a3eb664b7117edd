"""Tests of predictions for images on disk."""

import csv

import jax
import numpy as np
from PIL import Image
import pytest
import run_folders

from jaxkd.export import prediction
from jaxkd.export.__main__ import main
from jaxkd.serialization import bundle
from jaxkd.serialization.model_card import ModelCard
from jaxkd.serialization.probe import Probe

NAMES = ("ant", "bee", "cat")


@pytest.fixture(scope="module")
def student(tmp_path_factory):
  folder = tmp_path_factory.mktemp("bundle") / "student"
  network, spec = run_folders.network(1), run_folders.SPEC
  images = bundle.probe_images(spec)
  card = ModelCard("ideal_lenet", spec, NAMES)
  probe = Probe(images, np.asarray(network(images).logits))
  bundle.write(folder, "student", network, card, probe)
  return folder


def pixels(count):
  return np.rint(run_folders.pixels(count) * 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
  folder = tmp_path / "images"
  (folder / "more").mkdir(parents=True)
  for index, image in enumerate(pixels(5)):
    below = folder / ("more" if index % 2 else ".") / f"{index}.png"
    Image.fromarray(image[..., 0]).save(below)
  return folder


def predicted(student, source, *arguments):
  out = source.parent / "predictions.csv"
  command = ["predict", f"--student={student}", str(source), f"--out={out}"]
  status = main([*command, *arguments])
  with out.open() as file:
    return status, list(csv.DictReader(file))


def probabilities(images):
  logits = run_folders.network(1)(images.astype(np.float32) / 255).logits
  return np.asarray(jax.nn.softmax(logits))


def test_a_folder_with_its_subfolders(student, folder, monkeypatch, capsys):
  monkeypatch.setattr(prediction, "BATCH", 2)
  status, rows = predicted(student, folder)
  assert status == 0 and len(rows) == 5
  expected = probabilities(pixels(5))
  for row in rows:
    index = int(row["file"].split("/")[-1].removesuffix(".png"))
    assert row["label"] == NAMES[expected[index].argmax()]
    assert float(row["probability"]) == pytest.approx(
      expected[index].max(), abs=1e-5
    )
  assert "converted" not in capsys.readouterr().out


def test_one_image_and_its_likeliest_classes(student, folder):
  status, rows = predicted(student, folder / "0.png", "--top=3")
  assert status == 0
  assert [row["file"] for row in rows] == ["0.png"] * 3
  scores = [float(row["probability"]) for row in rows]
  assert scores == sorted(scores, reverse=True)
  assert sum(scores) == pytest.approx(1, abs=1e-4)
  assert {row["label"] for row in rows} == set(NAMES)


def test_other_sizes_and_colours_are_converted_and_counted(
  student, tmp_path, capsys
):
  grey = np.repeat(np.repeat(pixels(1)[0], 3, 0), 3, 1)
  Image.fromarray(np.repeat(grey, 3, -1)).save(tmp_path / "a.png")
  source = tmp_path / "a.png"
  _, rows = predicted(student, source)
  assert (
    "1 images were converted from 24x24 RGB to 8x8 L" in capsys.readouterr().out
  )
  small = Image.fromarray(grey[..., 0]).resize((8, 8), Image.BILINEAR)
  expected = probabilities(np.asarray(small)[None, ..., None])
  assert float(rows[0]["probability"]) == pytest.approx(
    expected.max(), abs=1e-5
  )


def test_unreadable_images_are_named_and_left_out(student, folder, capsys):
  (folder / "broken.png").write_bytes(b"no image")
  whole = (folder / "0.png").read_bytes()
  (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
  Image.fromarray(np.zeros((8, 8), np.int32)).save(folder / "deep.tif")
  Image.new("LA", (8, 8)).save(folder / "clear.png")
  status, rows = predicted(student, folder)
  assert status == 1 and len(rows) == 5
  errors = capsys.readouterr().err
  assert all(name in errors for name in ("broken.png", "cut.png", "deep.tif"))
  assert "clear.png has transparent pixels; say" in errors
  assert "--background=white" in errors
  assert "4 images could not be read" in errors


def test_deep_turned_and_transparent_images(student, tmp_path, capsys):
  grey, exif = pixels(1)[0, ..., 0], Image.Exif()
  exif[0x0112] = 6  # turned to the right by a viewer
  turned = Image.fromarray(np.rot90(grey).copy())
  turned.save(tmp_path / "turned.png", exif=exif)
  Image.fromarray(grey * np.uint16(257)).save(tmp_path / "deep.png")
  clear = np.stack([np.full_like(grey, 77), np.zeros_like(grey)], -1)
  Image.fromarray(clear).save(tmp_path / "clear.png")
  status, rows = predicted(student, tmp_path, "--background=white")
  assert status == 0
  assert "8x8 I;16 with 16 bits to 8x8 L" in capsys.readouterr().out.replace(
    "8x8 L with", "8x8 I;16 with"
  )
  scores = [float(row["probability"]) for row in rows]
  white = np.full((1, 8, 8, 1), 255)
  expected = [probabilities(each).max() for each in (white, pixels(1))]
  assert scores == pytest.approx([*expected, expected[1]], abs=1e-5)


@pytest.mark.parametrize("top", [0, 4])
def test_top_is_at_most_the_number_of_classes(student, folder, top, capsys):
  with pytest.raises(SystemExit) as exit:
    predicted(student, folder, f"--top={top}")
  assert exit.value.code == 2
  assert "--top" in capsys.readouterr().err


def test_a_folder_without_images(student, tmp_path, capsys):
  with pytest.raises(SystemExit) as exit:
    predicted(student, tmp_path)
  assert exit.value.code == 2
  assert "There is no image" in capsys.readouterr().err
