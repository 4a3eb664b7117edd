"""The table of compiled cells."""

from collections.abc import Sequence
from typing import Any

from jaxkd.bench.aot.expectations import faults

COLUMNS = (
  "case", "part", "compiled in s", "arguments MB", "temporaries MB",
  "donated MB", "of the device", "GFLOP a step", "MB a step",
  "roofline ms a step", "binds", "cycles an image-step", "share of peak",
  "collectives in loops", "other collectives", "faults", "sizes", "commit",
)  # fmt: skip


ESTIMATES = (
  "What a run expects when it chooses `sets_per_round`, bytes kept for the "
  "backward pass or, if they are more, copied from all devices, and seconds of "
  "a dispatch, and what the compiler says:"
)
RUNS = (
  "Rounds or epochs of the whole run, by the cycles or, where there are none, "
  "by the roofline, and beside it what the collectives take at the rate of the "
  "data sheet, without latency:"
)


def markdown(rows: Sequence[dict[str, Any]], about: Sequence[str]) -> str:
  """Renders the cells as a table with the dearest operations below it.

  Args:
    rows: from `compilation.compile_cell`.
    about: paragraphs above the table.
  """
  lines = [COLUMNS, ("---",) * len(COLUMNS), *map(_cells, rows)]
  table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
  dearest = "\n".join(
    f"- {row['case']} {row['part']}: {_dearest(row)}"
    for row in rows
    if "error" not in row
  )
  head = (
    "The five dearest operations, by share of the estimated cycles, or of the "
    "bytes where the compiler estimates no cycles:"
  )
  parts = [*about, table, head, dearest]
  whole = [row for row in rows if row.get("transfers")]
  if whole:
    parts += [RUNS, "\n".join(map(_whole_run, whole))]
  estimated = [
    row for row in rows if row.get("estimate") and row["program"] == "round"
  ]
  if estimated:
    parts += [ESTIMATES, "\n".join(map(_estimate, estimated))]
  return "\n\n".join(parts) + "\n"


def _whole_run(row: dict[str, Any]) -> str:
  count, steps = row["dispatches"], row["steps"]
  computed = _seconds(row)
  sent = row["transfers"]["seconds"]
  return (
    f"- {row['case']} {row['part']}: {count:,} of {steps:,} steps, "
    f"{1e3 * computed / steps:.3g} ms a step and "
    f"{1e3 * sent / steps:.3g} ms of collectives; "
    f"{count * computed / 60:.3g} min and {count * sent / 60:.3g} min"
  )


def _seconds(row: dict[str, Any]) -> float:
  if row["cycles"]:
    return row["cycles"]["seconds"]
  return row["steps"] * row["step"]["roofline"]["seconds"]


def _estimate(row: dict[str, Any]) -> str:
  expected, memory, cycles = row["estimate"], row["memory"], row["cycles"]
  seconds = f"{cycles['seconds']:.3g}" if cycles else "not estimated"
  return (
    f"- {row['case']} {row['part']}: {_mega(expected['bytes'])} MB, compiled "
    f"{_mega(memory['temporary'])} MB of temporaries, "
    f"{memory['share_of_device']:.0%} of the device with all; "
    f"{expected['seconds']:.3g} s, compiled {seconds}"
  )


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
  if "error" in row:
    blank = [""] * (len(COLUMNS) - 6)
    reason = faults(row)[0].replace("|", "/")
    sizes = row["note"], _commit(row)
    return row["case"], row["part"], "", *blank, reason, *sizes
  memory, step, cycles = row["memory"], row["step"], row["cycles"]
  roofline = step["roofline"]
  inside = [each for each in row["collectives"] if each["loops"]]
  outside = [each for each in row["collectives"] if not each["loops"]]
  return (
    row["case"],
    row["part"],
    f"{row['compile_seconds']:.0f}",
    _mega(memory["arguments"]),
    _mega(memory["temporary"]),
    _mega(memory["donated"]),
    f"{memory['share_of_device']:.0%}",
    f"{step['flop'] / 1e9:,.3g}",
    _mega(step["bytes"]),
    f"{1e3 * roofline['seconds']:.3g}" if roofline else "",
    roofline["binds"] if roofline else "",
    f"{cycles['per_image_step']:,.0f}" if cycles else "",
    f"{cycles['share_of_peak']:.1%}" if cycles else "",
    _collectives(inside),
    _collectives(outside),
    "; ".join(faults(row)),
    row["note"],
    _commit(row),
  )


def _commit(row: dict[str, Any]) -> str:
  return (row["commit"] or "unknown")[:7]


def _mega(num_bytes: float) -> str:
  return (
    f"{num_bytes / 1e6:,.0f}" if num_bytes >= 1e7 else f"{num_bytes / 1e6:.2g}"
  )


def _collectives(collectives: Sequence[dict[str, Any]]) -> str:
  """Bytes of one execution of each kind, added up.

  >>> _collectives([{"opcode": "all-reduce", "num_bytes": 2_000_000}])
  'all-reduce 2 MB'
  """
  total: dict[str, int] = {}
  for each in collectives:
    name = each["opcode"]
    total[name] = total.get(name, 0) + each["num_bytes"]
  return ", ".join(f"{name} {_mega(size)} MB" for name, size in total.items())


def _dearest(row: dict[str, Any]) -> str:
  cycles = row["cycles"]
  if cycles:
    parts = [
      (each["cycles"] or 0) / cycles["program"] for each in row["dearest"]
    ]
  else:
    total = row["step"]["bytes"] * row["steps"]
    parts = [each["num_bytes"] / total for each in row["dearest"]]
  return "; ".join(
    f"{part:.0%} {each['name']}"
    for part, each in zip(parts, row["dearest"], strict=True)
  )
