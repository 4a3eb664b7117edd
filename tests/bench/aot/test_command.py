"""Cells are compiled once, and rendered as a table."""

import os

import pytest

from jaxkd.bench.aot import command, tables
from jaxkd.bench.aot.cells import CELLS
from jaxkd.bench.aot.targets import describe
from jaxkd.types import JaxkdError

ROW = {
  "case": "cake", "part": "synthesis", "program": "round", "note": "one set",
  "compile_seconds": 12.3, "steps": 4, "images_per_device": 10,
  "dispatches": 30, "transfers": {"seconds": 1e-3},
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

  def compile_apart(cell, target_name, dtype):
    if len(compiled) == 1:
      compiled.append("stop")
      raise KeyboardInterrupt
    compiled.append(cell.name)
    return {**ROW, "case": cell.case, "part": cell.part}

  monkeypatch.setattr(command, "compile_apart", compile_apart)
  names = ("lenet5-synthesis", "vit8-student")

  def run():
    return command.compile_all("cpu-2", CELLS, names, "float32", tmp_path)

  with pytest.raises(KeyboardInterrupt):
    run()
  text = run()
  table = text.index("|")  # behind the date
  assert run()[table:] == text[table:]
  assert compiled == ["lenet5-synthesis", "stop", "vit8-student"]
  assert "not there; nothing was run" in text
  written = (tmp_path / "cpu-2" / "float32.md").read_text()
  assert written[table:] == text[table:]


def abort(cell, target_name, dtype):
  os.abort()


@pytest.mark.slow
def test_an_abort_of_the_compiler_is_a_row(monkeypatch):
  monkeypatch.setattr(command, "_compile_here", abort)
  cell = CELLS["lenet5-student"]
  row = command.compile_apart(cell, "cpu-2", "float32")
  assert "it aborted" in row["error"]
  assert tables.markdown([{**row, "commit": None}], [])


def test_every_row_has_all_columns():
  refused = {key: ROW[key] for key in ("case", "part", "program", "note")}
  rows = [
    {**ROW, "commit": "0123456789"},
    {**refused, "error": "out of memory\nmore", "commit": None},
    {
      **ROW, "commit": None, "cycles": None, "transfers": None,
      "step": {**ROW["step"], "roofline": None},
    },
    {**ROW, "part": "round", "commit": None, "cycles": None},
  ]  # fmt: skip
  text = tables.markdown(rows, ["About."])
  lines = [line for line in text.splitlines() if line.startswith("|")]
  assert {line.count("|") for line in lines} == {len(tables.COLUMNS) + 1}
  assert "| 1,234 | 53.0% |" in lines[2]
  assert "the compiler refuses it: out of memory" in lines[3]
  assert "- cake synthesis: 25% fusion one" in text
  assert "100 MB, compiled 20 MB of temporaries, 50% of the device" in text
  assert (
    "- cake synthesis: 30 of 4 steps, 25 ms a step and 0.25 ms of collectives; "
    "0.05 min and 0.0005 min"
  ) in text
  assert "- cake round: 30 of 4 steps, 2 ms a step" in text  # of the roofline


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
