"""What must hold of every compiled program of a run."""

from typing import Any

# A donated state may be laid out differently by a compiler, in part.
MIN_DONATED = 0.9


def faults(row: dict[str, Any]) -> list[str]:
  """Returns what is wrong with a compiled cell, in words.

  The rounds of CAKE are the parts `synthesis`, and the cell `cake` of
  `small_cells`, whose few images make its store the larger part.

  Args:
    row: from `compilation.compile_cell`.
  """
  if "error" in row:
    return [f"the compiler refuses it: {row['error'].splitlines()[0]}"]
  texts = []
  if row["float64"]:
    texts.append("something is computed in float64")
  if row["on_host"]:
    texts.append("the host is called")
  memory = row["memory"]
  if memory["donated"] < MIN_DONATED * memory["state"]:
    texts.append(
      f"{memory['donated']:,} of {memory['state']:,} bytes of state are donated"
    )
  in_loops = {each["opcode"] for each in row["collectives"] if each["loops"]}
  all_of_them = {each["opcode"] for each in row["collectives"]}
  if row["program"] == "epoch" and all_of_them - {"all-reduce"}:
    texts.append(f"an epoch has {', '.join(sorted(all_of_them))}")
  small = row["case"] == "cake" and row["program"] == "round"
  if (small or row["part"] == "synthesis") and in_loops:
    texts.append(f"the steps have {', '.join(sorted(in_loops))}")
  if small and memory["temporary"] > memory["state"]:
    texts.append("the temporaries are larger than the store")
  return texts
