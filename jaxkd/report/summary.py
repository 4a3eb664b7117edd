"""A run in words, for the terminal and for the page."""

from collections.abc import Callable
from typing import Any

from jaxkd.runtime.formatting import (
  comparison,
  count,
  count_names,
  duration,
  number,
  percent,
  scaled,
)


def system(report: dict[str, Any]) -> str:
  """The method, and how it was adapted to labels if it was."""
  adaptation = report["adaptation"]
  return report["method"] + (f" ({adaptation})" if adaptation else "")


def summary(report: dict[str, Any]) -> str:
  """A run in a few lines, for the terminal."""
  teacher, student = report["teacher"], report["student"]
  synthesis, seconds = report["synthesis"], report["seconds"]

  def pair(field: str, show: Callable[[Any], str]) -> str:
    before, after = teacher[field], student[field]
    return f"{show(before)} -> {show(after)}, {comparison(after, before)}"

  stages = ("teacher", "synthesis", "student")
  lines = {
    "run": f"{system(report)} on {report['dataset']}: "
    f"{teacher['model']} -> {student['model']}",
    "accuracy": f"teacher {percent(teacher['accuracy'])}, "
    f"student {accuracy(student)}",
    "agreement": f"{percent(student['agreement'])} of the test data",
    "parameters": pair("parameters", count),
    "work": pair("flops", lambda flops: scaled(flops, "FLOP")),
    "images": f"{count(synthesis['images'])} in {count(synthesis['steps'])} "
    f"steps, {count(synthesis['image_steps_per_s'])} image-steps/s",
    "queries": queries(report["queries"]),
    "time": f"{duration(seconds['total'])}: "
    + ", ".join(f"{stage} {duration(seconds[stage])}" for stage in stages),
    "devices": count_names(report["devices"]),
  }
  if memory := report.get("memory"):
    lines["memory"] = peaks(memory)
  if signs := report.get("data_free"):
    lines["data-free"] = data_free(signs)
  lines |= extras(report)
  if student["accuracy"] is None:
    lines |= {"accuracy": "unknown: there is no test data"}
    del lines["agreement"]
  if report["queries"]["ended"]:
    lines["queries"] += f". {report['queries']['ended']}"
  return "\n".join(f"{name:11} {text}" for name, text in lines.items())


def peaks(memory: dict[str, Any]) -> str:
  """The most memory that was in use by the end of each stage."""
  owner = {"device": "the fullest device", "process": "the process"}
  stages = ("teacher", "synthesis", "student")
  listed = ", ".join(
    f"{stage} {scaled(memory[stage], 'B')}" for stage in stages if memory[stage]
  )
  return f"peak of {owner[memory['of']]} by the end of each stage: {listed}"


def extras(report: dict[str, Any]) -> dict[str, str]:
  """What only some runs have: a defence, a guide, a grid."""
  lines = {}
  if defense := report.get("defense"):
    lines["defence"] = (
      f"{defense['name']}: the normal teacher has "
      f"{percent(defense['normal_accuracy'])}, KL(teacher ‖ normal) "
      f"{number(defense['kl_to_normal'], 'nat')}"
    )
  if guide := report.get("guide"):
    lines["guide"] = (
      f"{guide['name']}: {percent(guide['accuracy'])}, KL(guide ‖ normal) "
      f"{number(guide['kl_to_normal'], 'nat')}"
    )
  if grid := report.get("grid"):
    chosen = grid["points"][grid["chosen"]]
    said = ", ".join(f"{name} {chosen[name]:g}" for name in grid["names"])
    lines["grid"] = f"{said}, chosen of {len(grid['points'])} on held-out data"
    if grid["oracle"] is not None:
      best = grid["points"][grid["oracle"]]["accuracy"]
      lines["grid"] += f"; the best on test data has {percent(best)}"
  return lines


def data_free(signs: dict[str, Any]) -> str:
  """What is known without data, and how near it came to test data."""
  if not signs["samples"]:
    return "unknown: no samples were held out"
  text = (
    f"{percent(signs['agreement'])} agreement on {count(signs['samples'])} "
    "held-out samples"
  )
  if (predicted := signs["predicted"]) and predicted["gap"] is not None:
    text += f" ({percent(predicted['agreement'])} on test data)"
  return (
    f"{text}, {percent(signs['teacher_coverage'])} of the classes, calibration "
    f"error {percent(signs['calibration_error'])}"
  )


def title(report: dict[str, Any]) -> str:
  """What was kept, and at what size, in one sentence."""
  teacher, student = report["teacher"], report["student"]
  size = ""
  if teacher["parameters"] and student["parameters"]:
    share = student["parameters"] / teacher["parameters"]
    size = f" at {percent(share)} of its size"
  if teacher["accuracy"] is None or student["accuracy"] is None:
    return f"A copy of the teacher{size}, with no test data to judge it"
  ratio = accuracy_ratio(report)
  return f"The student keeps {ratio} of the teacher's accuracy{size}"


def accuracy_ratio(report: dict[str, Any]) -> str:
  """The student's accuracy as a share of the teacher's."""
  before, after = report["teacher"]["accuracy"], report["student"]["accuracy"]
  return percent(after / before if before and after is not None else None)


def accuracy(student: dict[str, Any]) -> str:
  """The student's accuracy, with its standard deviation over the seeds."""
  text = percent(student["accuracy"])
  if student["accuracy_std"] is not None:
    text += f" ± {percent(student['accuracy_std'])} ({student['seeds']} seeds)"
  return text


def queries(spent: dict[str, Any]) -> str:
  """Images that a black box was asked about, of the budget, by class."""
  limit = spent["budget"]
  text = f"{count(spent['spent'])} spent, " + (
    "no budget" if limit is None else f"budget {count(limit)}"
  )
  classes = [f"{name} {count(n)}" for name, n in spent["by_class"].items() if n]
  return f"{text}: {', '.join(classes)}" if classes else text
