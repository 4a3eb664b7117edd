"""Tests of the export of synthetic images."""

import csv
import hashlib
import json
from pathlib import Path
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest
import run_folders
from scipy.special import softmax
import tensorflow_datasets as tfds

from jaxkd.errors import JaxkdError
from jaxkd.export import formats
from jaxkd.export.__main__ import main
from jaxkd.export.images import export_images
from jaxkd.runtime.finished_run import read_samples
from jaxkd.serialization import bundle
from jaxkd.training import sample_store as stores

COUNT = 7


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  folder = tmp_path_factory.mktemp("run")
  run_folders.save_network(folder, "teacher", seed=0)
  run_folders.save_report(folder)
  images = run_folders.pixels(COUNT, spread=1.5)
  given = run_folders.samples(run_folders.network(0), images)
  run_folders.save_samples(folder, given, capacity=10)
  return folder


def eight_bit():
  images = run_folders.pixels(COUNT, spread=1.5)
  return np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)


def answers():
  """Returns the teacher's probabilities for the 8-bit images."""
  images = eight_bit().astype(np.float32) / 255
  return softmax(run_folders.network(0)(images).logits, -1)


def manifest(folder):
  return json.loads((folder / "manifest.json").read_text())


def test_npz_holds_images_labels_and_fresh_answers(workdir, tmp_path):
  out = tmp_path / "made"
  arguments = [f"--workdir={workdir}", f"--out={out}", "--format=npz"]
  assert main(["images", *arguments]) == 0
  with np.load(out / "synthetic-00000.npz", allow_pickle=False) as arrays:
    np.testing.assert_array_equal(arrays["images"], eight_bit())
    np.testing.assert_array_equal(arrays["labels"], np.arange(COUNT) % 3)
    np.testing.assert_allclose(arrays["probabilities"], answers(), atol=1e-6)
    np.testing.assert_array_equal(
      arrays["teacher_labels"], answers().argmax(-1)
    )
  written = manifest(out)
  images = run_folders.pixels(COUNT, spread=1.5)
  before = run_folders.network(0)(images).logits.argmax(-1)
  assert written["eight_bit"] == {
    "clipped": pytest.approx(((images < 0) | (images > 1)).mean()),
    "same_label": int((before == answers().argmax(-1)).sum()),
    "asked_again": True,
  }
  assert (
    written["synthetic"]
    and written["method"] == "cake"
    and written["seed"] == 3
  )
  for name, digest in written["files"].items():
    assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
  assert list(written["files"]) == ["synthetic-00000.npz"]


def test_shards_are_whole(workdir, tmp_path, monkeypatch):
  monkeypatch.setattr(formats, "SHARD", 3)
  export_images(workdir, tmp_path / "made", "npz")
  sizes = []
  for path in sorted((tmp_path / "made").glob("*.npz")):
    with np.load(path) as arrays:
      assert len({len(arrays[name]) for name in arrays}) == 1
      sizes.append(len(arrays["images"]))
  assert sizes == [3, 3, 1]


def test_png_folders_per_class(workdir, tmp_path):
  out = tmp_path / "made"
  export_images(workdir, out, "png")
  with (out / "labels.csv").open() as file:
    rows = list(csv.DictReader(file))
  assert len(rows) == COUNT
  for index, row in enumerate(rows):
    assert row["file"].split("/")[0] == f"{index % 3:04}"
    with Image.open(out / row["file"]) as image:
      np.testing.assert_array_equal(
        np.asarray(image), eight_bit()[index, ..., 0]
      )
    soft = [float(row[f"probability_{k}"]) for k in range(3)]
    np.testing.assert_allclose(soft, answers()[index], atol=1e-5)
    assert int(row["teacher_label"]) == answers()[index].argmax()
  assert len(manifest(out)["files"]) == COUNT + 1


def test_tfds_reads_it_back(workdir, tmp_path):
  out = tmp_path / "made"
  export_images(workdir, out, "tfds")
  source = tfds.builder_from_directory(
    out / "synthetic" / "1.0.0"
  ).as_data_source("train")
  assert len(source) == COUNT
  by_image = {example["image"].tobytes(): example for example in source}
  for index, image in enumerate(eight_bit()):
    example = by_image[image.tobytes()]
    assert example["label"] == index % 3
    assert example["teacher_label"] == answers()[index].argmax()
    np.testing.assert_allclose(
      example["probabilities"], answers()[index], atol=1e-6
    )


def test_the_lines_that_are_printed_read_it(workdir, tmp_path, capsys):
  out = tmp_path / "made"
  command = ["images", f"--workdir={workdir}", f"--out={out}", "--format=tfds"]
  assert main(command) == 0
  lines = capsys.readouterr().out.splitlines()[-3:]
  names = {}
  exec("\n".join(lines), names)
  assert names["images"][0]["image"].shape == eight_bit().shape[1:]
  readme = Path(bundle.__file__).with_name("README.md").read_text()
  assert "\n".join(lines).replace(str(out), "images") in readme


def test_a_random_few(workdir, tmp_path):
  export_images(workdir, tmp_path / "a", "npz", count=3)
  export_images(workdir, tmp_path / "b", "npz", count=3)
  with np.load(tmp_path / "a/synthetic-00000.npz") as a:
    images = a["images"]
    with np.load(tmp_path / "b/synthetic-00000.npz") as b:
      np.testing.assert_array_equal(images, b["images"])
  assert len(images) == 3
  everything = {image.tobytes() for image in eight_bit()}
  assert {image.tobytes() for image in images} < everything


def test_a_run_with_labels_only_exports_no_probabilities(tmp_path):
  run = tmp_path / "run"
  run_folders.save_network(run, "teacher", seed=0)
  run_folders.save_report(run, "ideal", "label", source="generator")
  given = run_folders.samples(
    run_folders.network(0), eight_bit() / 255, meant=False, soft=False
  )
  given = given._replace(images=jnp.asarray(eight_bit()))
  run_folders.save_samples(run, given, capacity=COUNT)
  export_images(run, tmp_path / "made", "npz")
  with np.load(tmp_path / "made/synthetic-00000.npz") as arrays:
    assert "probabilities" not in arrays
    np.testing.assert_array_equal(arrays["images"], eight_bit())
    np.testing.assert_array_equal(arrays["labels"], answers().argmax(-1))
  written = manifest(tmp_path / "made")
  assert written["no_class_meant"] == COUNT
  assert written["eight_bit"] == {
    "clipped": 0,
    "same_label": COUNT,
    "asked_again": False,
  }


def test_points_stay_floats(tmp_path):
  run = tmp_path / "run"
  run.mkdir()
  run_folders.save_report(run)
  points = stores.unlabelled(jnp.linspace(-1, 1, 8).reshape(4, 2))
  points = points._replace(targets=jnp.log(jnp.full((4, 2), 0.5)))
  run_folders.save_samples(run, points, capacity=4)
  for name in ("png", "tfds"):
    with pytest.raises(JaxkdError, match="choose --format=npz"):
      export_images(run, tmp_path / "made", name)
  export_images(run, tmp_path / "made", "npz")
  with np.load(tmp_path / "made/synthetic-00000.npz") as arrays:
    np.testing.assert_array_equal(arrays["images"], points.images)
  assert manifest(tmp_path / "made")["eight_bit"] is None


def test_a_full_store_gives_what_it_holds(tmp_path):
  images = run_folders.pixels(4)
  given = run_folders.samples(run_folders.network(0), images)
  run_folders.save_samples(tmp_path, given, capacity=4)
  samples = read_samples(tmp_path)
  np.testing.assert_array_equal(samples.images, images)
  assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(samples))


def test_a_run_on_two_devices_is_read_on_one(workdir):
  assert jax.device_count() == 2
  code = (
    "import jax, pathlib, sys; from jaxkd.runtime import finished_run;"
    "assert jax.device_count() == 1;"
    "samples = finished_run.read_samples(pathlib.Path(sys.argv[1]));"
    f"assert len(samples.labels) == {COUNT}"
  )
  subprocess.run(
    [sys.executable, "-c", code, workdir],
    check=True,
    env={"JAX_PLATFORMS": "cpu", "PYTHONPATH": ":".join(sys.path)},
  )


def test_real_images_are_not_exported(tmp_path):
  for method, source in (("kd", "train"), ("ideal", "real")):
    run = tmp_path / method
    run.mkdir()
    run_folders.save_report(run, method, source=source)
    with pytest.raises(JaxkdError, match="are real"):
      export_images(run, tmp_path / "made")


def test_wrong_arguments_leave_no_files(workdir, tmp_path, capsys):
  full = tmp_path / "full"
  full.mkdir()
  (full / "mine").touch()
  for arguments, words in (
    ([f"--out={full}"], "exists and is not an empty folder"),
    ([f"--out={tmp_path / 'new'}", "--format=pgn"], "Did you mean png"),
    ([f"--out={tmp_path / 'new'}", "--count=8"], "only 7 images"),
  ):
    with pytest.raises(SystemExit) as exit:
      main(["images", f"--workdir={workdir}", *arguments])
    assert exit.value.code == 2
    assert words in capsys.readouterr().err
  assert [path.name for path in tmp_path.iterdir()] == ["full"]
  assert [path.name for path in full.iterdir()] == ["mine"]


def test_a_damaged_checkpoint_is_an_error(tmp_path):
  with pytest.raises(JaxkdError, match="no checkpoint"):
    read_samples(tmp_path)
  given = run_folders.samples(run_folders.network(0), run_folders.pixels(3))
  run_folders.save_samples(tmp_path, given, capacity=3)
  (tmp_path / "checkpoints/synthesis/1/default/_METADATA").write_text("{")
  with pytest.raises(JaxkdError, match="cannot be read"):
    read_samples(tmp_path)
