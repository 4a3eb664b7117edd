"""Tests of the report: measurements, JSON, page and summary."""

import base64
from html.parser import HTMLParser
import json
import re
import subprocess
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.evaluation.network_costs import count_flops, measure
from jaxkd.report import writer as reports
from jaxkd.runtime.environment import commit, environment
from jaxkd.runtime.metrics import MetricsWriter
from jaxkd.teachers.records import QUERY_KINDS
from jaxkd.types import Classifier, DataSpec, Outputs, Samples

SPEC = DataSpec("digits", (2, 3, 1), 4, (0.5,), (0.5,))
VOID = {"meta", "img", "br", "link", "input"}


def linear(spec=SPEC, name="linear"):
  def apply(variables, images, *, train=False, rng=None):
    flat = images.reshape(len(images), -1) - variables["batch_stats"]["mean"]
    return Outputs(flat @ variables["params"]["kernel"]), {}

  size = int(np.prod(spec.shape))
  variables = {
    "params": {"kernel": jnp.ones((size, spec.num_classes))},
    "batch_stats": {"mean": jnp.zeros(size)},
  }
  return Classifier(variables, apply, name)


def a_report(**changes):
  network = {"parameters": 400, "bytes": 1600, "flops": 8e5, "latency_ms": 0.4}
  report = {
    "method": "cake",
    "adaptation": "",
    "dataset": "mnist",
    "teacher": {**network, "model": "lenet5", "accuracy": 0.8},
    "student": {
      "model": "<half & half>",
      "accuracy": 0.6,
      "accuracy_std": 0.012,
      "agreement": 0.7,
      "kl": 0.25,
      "parameters": 100,
      "bytes": 400,
      "flops": 2e5,
      "latency_ms": 0.2,
      "seeds": 3,
    },
    "data_free": {
      "samples": 200,
      "agreement": 0.92,
      "kl": 0.31,
      "calibration_error": 0.04,
      "teacher_coverage": 1.0,
      "student_coverage": 0.9,
      "answer_entropy": 2.2,
      "answer_entropy_share": 0.955,
      "sample_entropy": 0.81,
      "diversity": 0.77,
      "duplicates": 0.005,
      "predicted": {
        "estimate": 0.92,
        "agreement": 0.7,
        "gap": 0.22,
        "rank_correlation": 0.5,
      },
    },
    "synthesis": {
      "images": 2000,
      "steps": 256,
      "image_steps_per_s": 12345.6,
      "seconds": 41.5,
    },
    "queries": {
      "access": "label",
      "authorization": "the owner",
      "spent": 2500,
      "sent": 2600,
      "answered": 2500,
      "unknown": 0,
      "refused": 100,
      "budget": 25000,
      "by_class": dict.fromkeys(QUERY_KINDS, 0)
      | {"train": 2000, "evaluate": 500},
      "price": 3.75,
      "price_per_1000": 1.5,
      "curve": [],
      "ended": None,
    },
    "seconds": {
      "teacher": 20.0,
      "synthesis": 41.5,
      "student": 80.0,
      "total": 141.5,
    },
    "config": {"seed": 0, "teacher": {"url": "<script>alert(1)</script>"}},
    "versions": {"jax": "0.10.2"},
    "devices": ["cpu", "cpu"],
    "commit": None,
    "date": "2024-01-02T03:04:05+00:00",
  }
  for path, value in changes.items():
    block, _, field = path.partition("__")
    if field:
      report[block] = {**report[block], field: value}
    else:
      report[block] = value
  return report


UNKNOWN = {
  "teacher__accuracy": None,
  "teacher__parameters": None,
  "teacher__bytes": None,
  "teacher__flops": None,
  "teacher__latency_ms": None,
  "student__accuracy": None,
  "student__accuracy_std": None,
  "student__agreement": None,
  "student__kl": None,
  "student__seeds": 1,
  "queries__budget": None,
  "data_free__predicted": None,
  "data_free__kl": None,
  "data_free__sample_entropy": None,
}


class Page(HTMLParser):
  """Parses a page's text and attributes, and checks that its tags match."""

  def __init__(self, html):
    super().__init__()
    self.open, self.texts, self.attributes = [], [], []
    self.feed(html)
    self.close()
    assert self.open == []

  @property
  def text(self):
    return " ".join(self.texts)

  def handle_starttag(self, tag, attrs):
    self.attributes += attrs
    if tag not in VOID:
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    if self.open and self.open[-1] not in ("style", "script"):
      self.texts.append(data.strip())
    assert "script" not in self.open


def page_of(report, tmp_path, figures=()):
  path = tmp_path / "report.html"
  reports.write_html(path, report, figures)
  return Page(path.read_text(encoding="utf-8"))


def test_measure_counts_parameters_bytes_and_flops():
  result = measure(linear(), SPEC)
  latency = result.pop("latency_ms")
  assert 0 < latency < 1000
  flops = result.pop("flops")
  assert 2 * 6 * 4 <= flops <= 2 * 6 * 4 + 6
  assert result == {"model": "linear", "parameters": 24, "bytes": 4 * (24 + 6)}


def test_measure_takes_any_tree_of_variables():
  def apply(variables, images, *, train=False, rng=None):
    return Outputs(images.reshape(1, -1) @ variables[0]), {}

  classifier = Classifier([jnp.ones((6, 4), jnp.bfloat16)], apply)
  result = measure(classifier, SPEC)
  assert (result["parameters"], result["bytes"]) == (24, 48)


def test_flops_are_counted_on_the_cpu_wherever_the_network_lies(monkeypatch):
  """FLOP are counted by the CPU's client; without it they are unknown."""
  backends = []
  monkeypatch.setattr(
    jax,
    "local_devices",
    lambda backend: backends.append(backend) or jax.devices(),
  )
  product = jnp.ones((2, 3))
  assert count_flops(jnp.matmul, product, product.T) == 2 * 2 * 3 * 2
  assert backends == ["cpu"]

  def gone(backend):
    raise RuntimeError(f"Unknown backend {backend}")

  monkeypatch.setattr(jax, "local_devices", gone)
  assert count_flops(jnp.matmul, product, product.T) is None


def test_environment_names_what_ran():
  result = environment()
  assert result.keys() == {"versions", "devices", "commit", "date"}
  assert {"jax", "jaxlib", "flax", "optax", "orbax", "numpy", "python"} < (
    result["versions"].keys()
  )
  assert re.match(r"\d{4}-\d\d-\d\dT.*\+00:00$", result["date"])
  assert result["devices"]


def test_commit_is_that_of_the_package_alone(tmp_path):
  def git(*arguments):
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", "-C", tmp_path, *who, *arguments], check=True)

  package = tmp_path / "package"
  package.mkdir()
  (package / "__init__.py").write_text("")
  assert commit(package) is None
  git("init", "-q")
  assert commit(package) is None  # installed in another's checkout
  git("add", ".")
  git("commit", "-q", "-m", "first")
  assert re.fullmatch("[0-9a-f]{40}", commit(package))
  (package / "__init__.py").write_text("changed = True\n")
  assert commit(package).endswith("-dirty")


def test_page_tells_the_result(tmp_path):
  text = page_of(a_report(), tmp_path).text
  assert "keeps 75.0 % of the teacher's accuracy at 25.0 % of its size" in text
  assert "60.0 % ± 1.2 % (3 seeds)" in text
  assert "4.0 × less" in text
  assert "2,500 spent, budget 25,000: train 2,000, evaluate 500" in text
  assert "2 × cpu" in text
  assert "1 min 20 s" in text


def test_page_is_self_contained_and_escaped(tmp_path):
  figure = tmp_path / "my_plot.png"
  figure.write_bytes(b"\x89PNG bytes")
  page = page_of(a_report(), tmp_path, [figure])
  assert "<half & half>" in page.text
  assert '"<script>alert(1)</script>"' in page.text
  sources = [v for k, v in page.attributes if k in ("src", "href")]
  (source,) = sources
  kind, _, content = source.partition(",")
  assert kind == "data:image/png;base64"
  assert base64.b64decode(content) == b"\x89PNG bytes"
  assert "my plot" in page.text
  html = (tmp_path / "report.html").read_text()
  assert not re.search(r"https?:|url\(|@import", html)


def test_page_shows_unknown_values(tmp_path):
  text = page_of(a_report(**UNKNOWN), tmp_path).text
  assert "no test data to evaluate it" in text
  assert "no budget" in text
  assert "None" not in text
  assert "±" not in text


def test_summary_is_a_few_lines():
  lines = reports.summary(a_report()).splitlines()
  assert 6 <= len(lines) <= 11
  assert lines[0].split() == (
    ["run", "cake", "on", "mnist:", "lenet5", "->", "<half", "&", "half>"]
  )
  text = "\n".join(lines)
  assert "teacher 80.0 %, student 60.0 % ± 1.2 % (3 seeds)" in text
  assert "400 -> 100, 4.0 × less" in text
  assert "12,346 image-steps/s" in text


def test_summary_shows_unknown_values():
  text = reports.summary(a_report(**UNKNOWN))
  assert 6 <= len(text.splitlines()) <= 11
  assert "None" not in text
  assert "no test data" in text


def test_data_free_metrics_are_in_summary_and_page(tmp_path):
  line = (
    "92.0 % agreement on 200 held-out samples (70.0 % on test data), "
    "100.0 % of the classes, calibration error 4.0 %"
  )
  assert f"data-free   {line}" in reports.summary(a_report())
  text = page_of(a_report(), tmp_path).text
  for part in (line, "77.0 %", "0.31 nat", "2.2 nat", "95.5 %", "22.0 %"):
    assert part in text, part
  assert "on test data)" not in reports.summary(a_report(**UNKNOWN))
  assert "predicted" not in page_of(a_report(**UNKNOWN), tmp_path).text


def test_a_run_without_held_out_samples_says_so(tmp_path):
  nothing = {"samples": 0, "agreement": None, "predicted": None}
  text = reports.summary(a_report(data_free=nothing))
  assert "data-free   unknown: no samples were held out" in text
  page = page_of(a_report(data_free=nothing), tmp_path)
  assert "unknown: no samples were held out." in page.text


@pytest.mark.parametrize("shape", [(2,), (4, 4, 1)])
def test_write_report_writes_all_forms(tmp_path, capsys, shape):
  spec = SPEC._replace(shape=shape)
  rng = np.random.default_rng(0)
  inputs = jnp.asarray(rng.normal(size=(12, *shape)), jnp.float32)
  labels = jnp.arange(12) % spec.num_classes
  dataset = SimpleNamespace(spec=spec, test_images=inputs, test_labels=labels)
  with MetricsWriter(tmp_path) as metrics:
    metrics.write("student", 1, loss=0.5)
  reports.write_report(
    tmp_path,
    a_report(),
    dataset,
    linear(spec),
    linear(spec),
    Samples(inputs, labels, labels),
  )
  names = {path.stem for path in tmp_path.glob("*.png")}
  first = "decision_boundary" if shape == (2,) else "samples"
  assert names == {first, "curves"}
  assert (
    json.loads((tmp_path / "report.json").read_text())["dataset"] == "mnist"
  )
  html = (tmp_path / "report.html").read_text()
  assert html.count("data:image/png") == 2
  out = capsys.readouterr().out
  assert "report.html" in out
  assert "cake on mnist" in out


def test_flops_are_those_of_the_definition():
  from jaxkd import models
  from jaxkd.types import DataSpec

  spec = DataSpec("x", (32, 32, 1), 10, (0.5,), (0.5,))
  teacher = models.init("lenet5", jax.random.key(0), spec)
  # Two per multiplication in the layers, and a few more for the rest.
  convolutions = 28 * 28 * 6 * 25 + 10 * 10 * 16 * 150 + 120 * 400
  exact = 2 * (convolutions + 120 * 84 + 84 * 10)
  assert exact < measure(teacher, spec)["flops"] < 1.05 * exact


def test_the_page_has_queries_price_and_agreement(tmp_path):
  page = page_of(a_report(student__agreement=0.93), tmp_path)
  for part in ("the owner", "2,600", "3.75", "vulnerable", "93.0 %"):
    assert part in page.text, part
  page = page_of(a_report(queries__ended="<b>No money</b>"), tmp_path)
  assert "<b>No money</b>" in page.text
