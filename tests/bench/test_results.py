"""Tests of the benchmark's table, JSON and command line."""

import json
import time

import pytest

from jaxkd.bench import (
  __main__ as command_line,
  cases,
  comparison,
  gpu,
  results,
  timing,
)
from jaxkd.bench.cases import Size
from jaxkd.bench.comparison import BenchConfig
from jaxkd.bench.results import COLUMNS, OURS, TORCH_MODES, Row
from jaxkd.bench.roofline import Roofline, measure


def row(program, seconds, rate=None, at_once=500, dtype="float32", **more):
  return Row(
    "lenet5", "synthesis", program, dtype, at_once, rate, "image-steps",
    seconds, **more,
  )  # fmt: skip


EAGER = TORCH_MODES["eager"]


def test_ratios_are_to_eager_pytorch_at_the_published_batch():
  rows = [
    row(OURS, 1.0, 60.0),
    row(EAGER, 1.0, 20.0, at_once=1_000),
    row(EAGER, 1.0, 10.0),
    row(EAGER, 1.0, 30.0, dtype="bfloat16", at_once=10),
    row(TORCH_MODES["compile"], None, note="not compiled"),
  ]
  result = [results.ratio(each, rows) for each in rows]
  assert result == [6.0, 2.0, 1.0, 3.0, None]
  assert results.ratio(rows[0], rows[:1]) is None


def test_times_without_a_rate_are_compared_as_times():
  rows = [row(OURS, 2.0), row(EAGER, 10.0)]
  assert results.ratio(rows[0], rows) == 5.0


def test_pytorch_trains_on_as_many_images_as_we_do(monkeypatch):
  """The size of the epoch in which its rate was measured does not matter."""
  size = Size(
    sets=4, set_size=50, steps=10, samples=999, batch_size=64, epochs=2
  )
  monkeypatch.setattr(
    comparison.contenders, "our_end_to_end", lambda *_: row(OURS, 1.0)
  )
  rates = [
    row(EAGER, 1.0, 100.0),
    row(EAGER, 1.0, 48.0)._replace(part="student"),
  ]
  torch_row = comparison.MEASURES["end_to_end"](
    cases.find("lenet5"), size, BenchConfig(("float32",), ("eager",), 1), rates
  )[-1]
  assert torch_row.seconds == 4 * 50 * 10 / 100 + 2 * 3 * 64 / 48


def test_short_runs_are_repeated_within_a_turn():
  turns = []
  taken = timing.seconds(lambda: turns.append(time.sleep(0.01)), shortest=0.1)
  assert 2 <= len(turns) <= 10
  assert 0.01 <= taken < 0.1
  timing.seconds(turns.clear)
  assert not turns


def test_writes_a_table_and_json(tmp_path):
  rows = [row(OURS, 2.0, 5e4, matrix_share=0.412, note="10 steps")]
  roofline = Roofline({"float32": 5.9e10}, 2.5e9)
  text = results.write(tmp_path, "lenet5", rows, roofline, minutes=3)
  assert (tmp_path / "lenet5.md").read_text() == text
  head, rule, line = text.splitlines()[-3:]
  assert head == f"| {' | '.join(COLUMNS)} |"
  assert line.count("|") == head.count("|") == rule.count("|")
  assert "50,000 image-steps/s" in line and "41.2%" in line
  result = json.loads((tmp_path / "lenet5.json").read_text())
  assert {"versions", "devices", "commit", "date", "rows"} <= result.keys()
  assert result["roofline"] == {"flops": {"float32": 5.9e10}, "bytes": 2.5e9}
  assert result["rows"][0]["rate"] == 5e4 and result["minutes"] == 3
  assert set(result["rows"][0]) == {*Row._fields, "ratio"}


def test_measurements_that_fail_or_come_too_late_have_a_row(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(gpu.roofline, "measure", lambda *_: None)

  def fails():
    raise RuntimeError("RESOURCE_EXHAUSTED: out of memory\nmore of it")

  def breaks():
    raise TypeError

  measurements = {
    "engines": breaks,
    "grid": lambda: [row(OURS, 1.0)],
    "vit8 student": fails,
  }
  monkeypatch.setattr(gpu, "_measurements", lambda *_: measurements)
  text = gpu.measure(tmp_path, "small", (), ("float32",), minutes=1)
  assert "| vit8 | student |" in text and "not measured: RESOURCE" in text
  assert len(json.loads((tmp_path / "gpu.json").read_text())["rows"]) == 3
  assert "not measured: TypeError()" in text
  text = gpu.measure(tmp_path, "small", (), ("float32",), minutes=-1)
  assert text.count("not measured: -1 minutes were over") == 3


def test_rates_of_the_device_are_positive():
  result = measure(("float32", "bfloat16"), repeats=1, scale=0.02)
  assert set(result.flops) == {"float32", "bfloat16"}
  assert min(*result.flops.values(), result.bytes) > 0


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["lenet"], "Unknown case 'lenet'. Did you mean lenet5,"),
    (["lenet5", "--part=students"], "Did you mean student"),
    (["lenet5", "--torch=eagre"], "Did you mean eager"),
    (["lenet5", "--size=huge"], "Unknown size 'huge'"),
    (["lenet5", "--repeats=0"], "repeats=0: it must be above 0."),
  ],
)
def test_wrong_arguments_give_one_line(arguments, message, capsys):
  with pytest.raises(SystemExit) as ended:
    command_line.main(arguments)
  assert ended.value.code == 2
  error = capsys.readouterr().err
  assert message in error and error.count("\n") == 1
