"""Cells are compiled once, and rendered as a table."""

import pytest

from jaxkd.bench.aot import command, tables
from jaxkd.bench.aot.cells import CELLS
from jaxkd.bench.aot.targets import describe
from jaxkd.types import JaxkdError

ROW = {
  "case": "cake", "part": "synthesis", "program": "round", "note": "one set",
  "compile_seconds": 12.3, "steps": 4, "images_per_device": 10,
  "memory": {
    "arguments": 10**9, "temporary": 2 * 10**7, "output": 10**9,
    "donated": 10**9, "state": 10**9, "share_of_device": 0.5,
  },
  "step": {
    "flop": 1e12, "bytes": 1e9,
    "roofline": {"seconds": 2e-3, "binds": "memory"},
  },
  "cycles": {
    "program": 1000, "per_image_step": 1234.5, "seconds": 0.1,
    "share_of_peak": 0.53,
  },
  "estimate": {"bytes": 10**8, "seconds": 0.2},
  "collectives": [{"opcode": "all-gather", "num_bytes": 10**6, "loops": 0}],
  "dearest": [
    {"name": "fusion one", "cycles": 250, "num_bytes": 10, "times": 1}
  ],
  "float64": False, "on_host": False,
}  # fmt: skip


def test_a_command_that_was_stopped_goes_on(tmp_path, monkeypatch):
  compiled = []

  def compile_cell(cell, target, dtype):
    if len(compiled) == 1:
      compiled.append("stop")
      raise KeyboardInterrupt
    compiled.append(cell.name)
    return {**ROW, "case": cell.case, "part": cell.part}

  monkeypatch.setattr(command, "compile_cell", compile_cell)
  names = ("lenet5-synthesis", "vit8-student")

  def run():
    return command.compile_all("cpu-2", CELLS, names, "float32", tmp_path)

  with pytest.raises(KeyboardInterrupt):
    run()
  text = run()
  assert run() == text
  assert compiled == ["lenet5-synthesis", "stop", "vit8-student"]
  assert "not there; nothing was run" in text
  assert (tmp_path / "cpu-2" / "float32.md").read_text() == text


def test_every_row_has_all_columns():
  refused = {key: ROW[key] for key in ("case", "part", "program", "note")}
  rows = [
    {**ROW, "commit": "0123456789"},
    {**refused, "error": "out of memory\nmore", "commit": None},
    {
      **ROW, "commit": None, "cycles": None,
      "step": {**ROW["step"], "roofline": None},
    },
  ]  # fmt: skip
  text = tables.markdown(rows, ["About."])
  lines = [line for line in text.splitlines() if line.startswith("|")]
  assert {line.count("|") for line in lines} == {len(tables.COLUMNS) + 1}
  assert "| 1,234 | 53% |" in lines[2]
  assert "the compiler refuses it: out of memory" in lines[3]
  assert "- cake synthesis: 25% fusion one" in text
  assert "100 MB, compiled 20 MB of temporaries, 50% of the device" in text


@pytest.mark.parametrize(
  ("target", "message"),
  [
    ("v5f-8", "Did you mean v5e"),
    ("v5e-3", "target=v5e-3: the number of devices"),
    ("h100-x", "target=h100-x: the number of devices"),
  ],
)
def test_a_target_that_there_is_not_is_refused(target, message):
  with pytest.raises(JaxkdError, match=message):
    describe(target)
