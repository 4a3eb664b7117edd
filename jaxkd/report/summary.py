"""Sentences and lines that summarize a run, for the terminal and the page."""

from collections.abc import Callable
from typing import Any

from jaxkd.report import classes
from jaxkd.runtime.formatting import (
  comparison,
  count,
  count_names,
  duration,
  number,
  percent,
  percent_within,
  scaled,
)


def method_name(report: dict[str, Any]) -> str:
  """Returns the method's name, with its adaptation to labels if it has one."""
  adaptation = report["adaptation"]
  return report["method"] + (f" ({adaptation})" if adaptation else "")


def summary(report: dict[str, Any]) -> str:
  """Summarizes a run in a few lines, for the terminal."""
  teacher, student = report["teacher"], report["student"]
  synthesis, seconds = report["synthesis"], report["seconds"]

  def compare(field: str, show: Callable[[float | None], str]) -> str:
    before, after = teacher[field], student[field]
    return f"{show(before)} -> {show(after)}, {comparison(after, before)}"

  stages = ("teacher", "synthesis", "student")
  lines = {
    "run": f"{method_name(report)} on {report['dataset']}: "
    f"{teacher['model']} -> {student['model']}",
    "accuracy": f"teacher {accuracy_within(teacher)}, "
    f"student {accuracy_with_deviation(student)}",
    "agreement": f"{agreement_within(student)} on the test data",
    "parameters": compare("parameters", count),
    "work": compare("flops", lambda flops: scaled(flops, "FLOP")),
    "images": image_counts(synthesis),
    "queries": query_counts(report["queries"]),
    "time": f"{duration(seconds['total'])}: "
    + ", ".join(f"{stage} {duration(seconds[stage])}" for stage in stages),
    "devices": count_names(report["devices"]),
  }
  if per_class := report.get("classes"):
    lines["classes"] = classes.summary(per_class)
  if memory := report.get("memory"):
    lines["memory"] = memory_peaks(memory)
  if metrics := report.get("data_free"):
    lines["data-free"] = data_free_metrics(metrics)
  lines |= optional_results(report)
  if student["accuracy"] is None:
    lines |= {"accuracy": "unknown: there is no test data"}
    del lines["agreement"]
  if report["queries"]["ended"]:
    lines["queries"] += f". {report['queries']['ended']}"
  text = "\n".join(f"{name:11} {text}" for name, text in lines.items())
  warnings = [f"warning     {line}" for line in report.get("warnings", ())]
  return "\n".join([text, *warnings])


def image_counts(synthesis: dict[str, Any]) -> str:
  """Says how many images were made, in how many steps and how fast."""
  images = count(synthesis["images"])
  if not synthesis["steps"]:  # made by a generator, drawn, or real
    return images
  rate = count(synthesis["image_steps_per_s"])
  return f"{images} in {count(synthesis['steps'])} steps, {rate} image-steps/s"


def memory_peaks(memory: dict[str, Any]) -> str:
  """Lists the peak memory by the end of each stage."""
  scope = {"device": "the device with the largest", "process": "the process"}
  stages = ("teacher", "synthesis", "student")
  peaks = ", ".join(
    f"{stage} {scaled(memory[stage], 'B')}" for stage in stages if memory[stage]
  )
  return f"peak of {scope[memory['of']]} by the end of each stage: {peaks}"


def optional_results(report: dict[str, Any]) -> dict[str, str]:
  """Describes what not every run has, such as a defence or a grid."""
  lines = {}
  if scale := report["teacher"].get("scale"):
    wanted = report["config"]["teacher"]["logit_std"]
    lines["scale"] = (
      f"the teacher's logits had a standard deviation of "
      f"{scale['logit_std']:.3g} on procedural images (entropy "
      f"{number(scale['entropy'], 'nat')}, {percent(scale['class_share'])} in "
      f"one class), and were brought to {wanted:g}"
    )
  if report["student"].get("start") == "teacher":
    lines["start"] = (
      "before it was trained the student had the teacher's weights, for fewer "
      "channels"
    )
  if defense := report.get("defense"):
    lines["defence"] = (
      f"{defense['name']}: the undefended teacher has accuracy "
      f"{percent(defense['normal_accuracy'])} and calibration error "
      f"{percent(defense['normal_calibration_error'])}, honest users get "
      f"{percent(report['teacher']['accuracy'])} and "
      f"{percent(report['teacher']['calibration_error'])}; KL(teacher ‖ "
      f"undefended) {number(defense['kl_to_normal'], 'nat')}"
    )
  if ensemble := report.get("guide"):
    lines["ensemble"] = (
      f"{ensemble['name']} in the teacher's place: accuracy "
      f"{percent(ensemble['accuracy'])}, KL(ensemble ‖ undefended) "
      f"{number(ensemble['kl_to_normal'], 'nat')}"
    )
  if grid := report.get("grid"):
    chosen = grid["points"][grid["chosen"]]
    values = ", ".join(f"{name} {chosen[name]:g}" for name in grid["names"])
    lines["grid"] = (
      f"{values}, chosen of {len(grid['points'])} points on held-out data"
    )
    if grid["oracle"] is not None:
      best = grid["points"][grid["oracle"]]["accuracy"]
      lines["grid"] += f"; the best point on test data has {percent(best)}"
  return lines


def data_free_metrics(metrics: dict[str, Any]) -> str:
  """Lists the metrics on held-out samples, beside agreement on test data."""
  if not metrics["samples"]:
    return "unknown: no samples were held out"
  text = (
    f"{percent(metrics['agreement'])} agreement on {count(metrics['samples'])} "
    "held-out samples"
  )
  if (predicted := metrics["predicted"]) and predicted["gap"] is not None:
    text += f" ({percent(predicted['agreement'])} on test data)"
  return (
    f"{text}, {percent(metrics['teacher_coverage'])} of the classes, "
    f"calibration error {percent(metrics['calibration_error'])}"
  )


def title(report: dict[str, Any]) -> str:
  """Returns the page's title: the accuracy and size relative to the teacher."""
  teacher, student = report["teacher"], report["student"]
  size = ""
  if teacher["parameters"] and student["parameters"]:
    share = student["parameters"] / teacher["parameters"]
    size = f" at {percent(share)} of its size"
  if teacher["accuracy"] is None or student["accuracy"] is None:
    return f"A copy of the teacher{size}, with no test data to evaluate it"
  ratio = accuracy_ratio(report)
  return f"The student keeps {ratio} of the teacher's accuracy{size}"


def accuracy_ratio(report: dict[str, Any]) -> str:
  """Returns the student's accuracy as a share of the teacher's."""
  before, after = report["teacher"]["accuracy"], report["student"]["accuracy"]
  return percent(after / before if before and after is not None else None)


def accuracy_within(network: dict[str, Any]) -> str:
  """Returns an accuracy with its 95 % interval, if the report has that."""
  return percent_within(network["accuracy"], network.get("accuracy_interval"))


def agreement_within(student: dict[str, Any]) -> str:
  """Returns the agreement with its 95 % interval, if the report has that."""
  return percent_within(student["agreement"], student.get("agreement_interval"))


def accuracy_with_deviation(student: dict[str, Any]) -> str:
  """Returns the accuracy with interval and deviation over the seeds."""
  text = accuracy_within(student)
  if student["accuracy_std"] is not None:
    text += f" ± {percent(student['accuracy_std'])} ({student['seeds']} seeds)"
  return text


def query_counts(queries: dict[str, Any]) -> str:
  """Lists the images that a black box was asked about, by kind of query."""
  budget = queries["budget"]
  text = f"{count(queries['spent'])} spent, " + (
    "no budget" if budget is None else f"budget {count(budget)}"
  )
  kinds = [f"{kind} {count(n)}" for kind, n in queries["by_class"].items() if n]
  text = f"{text}: {', '.join(kinds)}" if kinds else text
  for name, words in {
    "wrong": "answers that were not valid, whose images are left out",
    "renormalised": "answers that did not sum to 1, and were normalised",
  }.items():
    if queries.get(name):
      text += f"; {count(queries[name])} {words}"
  return text
