"""Tests of the export to ONNX, with jax2onnx and without."""

import sys

import jax
import numpy as np
import pytest

from jaxkd import models
from jaxkd.export.__main__ import main
from jaxkd.serialization import bundle
from jaxkd.serialization.model_card import ModelCard
from jaxkd.serialization.probe import Probe
from jaxkd.types import DataSpec


def written(folder, name, spec):
  network = models.init(name, jax.random.key(0), spec)
  images = bundle.probe_images(spec)
  probe = Probe(images, np.asarray(network(images).logits))
  bundle.write(folder, "student", network, ModelCard(name, spec), probe)


def test_a_missing_package_gives_the_command_to_install_it(
  tmp_path, monkeypatch, capsys
):
  monkeypatch.setitem(sys.modules, "jax2onnx", None)
  out = tmp_path / "student.onnx"
  with pytest.raises(SystemExit) as exit:
    main(["onnx", f"--student={tmp_path}", f"--out={out}"])
  assert exit.value.code == 2
  assert (
    "pip install jaxkd jax2onnx==0.17.1 onnxruntime" in capsys.readouterr().err
  )


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # theirs
@pytest.mark.parametrize("name", ["ideal_lenet", "lenet5", "resnet18"])
def test_onnx_runtime_gives_the_same_logits(name, tmp_path, capsys):
  pytest.importorskip("jax2onnx")
  pytest.importorskip("onnxruntime")
  written(tmp_path / "in", name, DataSpec("grey", (32, 32, 1), 10, (0,), (1,)))
  out = tmp_path / "student.onnx"
  assert main(["onnx", f"--student={tmp_path / 'in'}", f"--out={out}"]) == 0
  assert out.exists() and "differ by at most" in capsys.readouterr().out
