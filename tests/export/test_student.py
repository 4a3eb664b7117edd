"""Tests of the export of a student, and of reading it with JAX only."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest
import run_folders

from jaxkd.export.__main__ import main
from jaxkd.serialization import bundle, weights
from jaxkd.serialization.stablehlo import from_export

ALONE = """
import sys
for name in ("flax", "jaxkd", "optax", "orbax"):
  sys.modules[name] = None
import numpy as np
from jax import export
with open(sys.argv[1], "rb") as file:
  student = export.deserialize(bytearray(file.read()))
images = np.load(sys.argv[2])
np.save(sys.argv[3], np.concatenate([student.call(images[:1]),
  student.call(images[1:])]))
"""


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  folder = tmp_path_factory.mktemp("run")
  run_folders.save_network(folder, "student", seed=1)
  run_folders.save_report(folder)
  return folder


@pytest.fixture(scope="module")
def out(workdir, tmp_path_factory):
  folder = tmp_path_factory.mktemp("out") / "student"
  assert main(["student", f"--workdir={workdir}", f"--out={folder}"]) == 0
  return folder


def test_the_bundle_is_the_student(out):
  loaded = bundle.read(out)
  images = run_folders.pixels(3)
  np.testing.assert_allclose(
    loaded.classifier(images).logits,
    run_folders.network(1)(images).logits,
    atol=1e-6,
  )
  assert loaded.spec == run_folders.SPEC
  assert loaded.card.architecture == "ideal_lenet"


def test_the_card_says_where_it_is_from_and_how_long_it_loads(out):
  card = json.loads((out / "student.json").read_text())
  provenance = card["provenance"]
  assert provenance["method"] == "cake"
  assert provenance["accuracy"] == run_folders.ACCURACY
  note = provenance["stablehlo"]
  assert note["jax"] == jax.__version__
  assert note["loads_until"] > note["written"]


def test_a_process_with_jax_alone_gets_the_same_logits(out, tmp_path):
  images = run_folders.pixels(5)
  np.save(tmp_path / "images.npy", images)
  subprocess.run(
    [
      *(sys.executable, "-c", ALONE, out / "student.stablehlo"),
      *(tmp_path / "images.npy", tmp_path / "logits.npy"),
    ],
    check=True,
  )
  np.testing.assert_allclose(
    np.load(tmp_path / "logits.npy"),
    run_folders.network(1)(images).logits,
    atol=1e-5,
    rtol=0,
  )


def test_the_artefact_is_for_three_platforms_and_has_a_gradient(out):
  blob = (out / "student.stablehlo").read_bytes()
  assert jax.export.deserialize(bytearray(blob)).platforms == (
    "cpu",
    "cuda",
    "tpu",
  )
  images = run_folders.pixels(2)
  gradient = jax.grad(lambda x, network: network(x).logits[:, 0].sum())
  np.testing.assert_allclose(
    gradient(images, from_export(blob, run_folders.SPEC)),
    gradient(images, run_folders.network(1)),
    atol=1e-6,
  )


def test_a_checkpoint_without_a_run_is_exported(workdir, tmp_path):
  out = tmp_path / "student"
  checkpoint = workdir / "student.safetensors"
  assert main(["student", f"--checkpoint={checkpoint}", f"--out={out}"]) == 0
  loaded = bundle.read(out)
  assert loaded.card.provenance["accuracy"] is None
  assert weights.digest(loaded.classifier) == weights.digest(
    run_folders.network(1)
  )


@pytest.mark.parametrize(
  "arguments, words",
  [
    (["--workdir=nowhere"], "nowhere/report.json does not exist"),
    (["--checkpoint=nowhere"], "There is no checkpoint nowhere"),
  ],
)
def test_a_missing_file_gives_one_line(
  arguments, words, tmp_path, monkeypatch, capsys
):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(SystemExit) as exit:
    main(["student", *arguments, "--out=out"])
  assert exit.value.code == 2
  error = capsys.readouterr().err
  assert words in error and error.count("\n") == 1
  assert not list(tmp_path.iterdir())
