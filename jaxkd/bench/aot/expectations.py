"""What must hold of every compiled program of a run."""

from typing import Any

# A donated state may be laid out differently by a compiler, in part.
MIN_DONATED = 0.9


def faults(row: dict[str, Any]) -> list[str]:
  """Returns what is wrong with a compiled cell, in words.

  Args:
    row: from `compilation.compile_cell`.
  """
  if "error" in row:
    return [f"the compiler refuses it: {row['error'].splitlines()[0]}"]
  found = []
  if row["float64"]:
    found.append("something is computed in float64")
  if row["on_host"]:
    found.append("the host is called")
  memory = row["memory"]
  if memory["donated"] < MIN_DONATED * memory["state"]:
    found.append(
      f"{memory['donated']:,} of {memory['state']:,} bytes of state are donated"
    )
  in_loops = {each["opcode"] for each in row["collectives"] if each["loops"]}
  all_of_them = {each["opcode"] for each in row["collectives"]}
  if row["program"] == "epoch" and all_of_them - {"all-reduce"}:
    found.append(f"an epoch has {', '.join(sorted(all_of_them))}")
  if row["case"] == "cake" and row["program"] == "round":
    if in_loops:
      found.append(f"the steps have {', '.join(sorted(in_loops))}")
    if memory["temporary"] > memory["state"]:
      found.append("the temporaries are larger than the store")
  return found
