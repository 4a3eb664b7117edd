"""A report is written as JSON, as a page and as figures, and printed."""

import json
from types import SimpleNamespace

import jax.numpy as jnp
from linear_network import SPEC, linear
import numpy as np
import pytest
from report_example import a_report

from jaxkd.report import writer
from jaxkd.runtime.metrics import MetricsWriter
from jaxkd.types import Samples


@pytest.mark.parametrize("shape", [(2,), (4, 4, 1)])
def test_write_report_writes_all_forms(tmp_path, capsys, shape):
  spec = SPEC._replace(shape=shape)
  rng = np.random.default_rng(0)
  inputs = jnp.asarray(rng.normal(size=(12, *shape)), jnp.float32)
  labels = jnp.arange(12) % spec.num_classes
  dataset = SimpleNamespace(spec=spec, test_images=inputs, test_labels=labels)
  with MetricsWriter(tmp_path) as metrics:
    metrics.write("student", 1, loss=0.5)
  writer.write_report(
    tmp_path,
    a_report(),
    dataset,
    linear(spec),
    linear(spec),
    Samples(inputs, labels, labels),
  )
  names = {path.stem for path in tmp_path.glob("*.png")}
  first = "decision_boundary" if shape == (2,) else "samples"
  assert names == {first, "curves", "confusion"}
  assert (
    json.loads((tmp_path / "report.json").read_text())["dataset"] == "mnist"
  )
  html = (tmp_path / "report.html").read_text()
  assert html.count("data:image/png") == 3
  out = capsys.readouterr().out
  assert "report.html" in out
  assert "cake on mnist" in out
