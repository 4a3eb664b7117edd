"""The figures that a table asks for, from what its cells left behind."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict
import numpy as np

from jaxkd import data
from jaxkd.data import to_float
from jaxkd.data.labels import hard_labels
from jaxkd.runtime.finished_run import read_samples
from jaxkd.runtime.metrics import read_metrics
from jaxkd.serialization import weights
from jaxkd.tables import defense_figures, field_figures
from jaxkd.tables.defense_figures import softmax
from jaxkd.tables.records import run_folder as home
from jaxkd.tables.sweeps import sweeps
from jaxkd.types import Array, Classifier

OF_TEACHERS = ("bars", "temperature", "features")
OF_RUNS = ("matrix", "budgets", "samples", "synthetic")
MOST_IMAGES, BATCH_SIZE = 1000, 250


class TeacherOutputs(NamedTuple):
  """What the teachers of a cell say to the same test images.

  Attributes:
    logits: `[N, K]` by the name of the network.
    features: `[N, D]` likewise, penultimate.
    labels: `[N]` true classes.
    published: name of the teacher that can be asked.
  """

  logits: dict[str, np.ndarray]
  features: dict[str, np.ndarray]
  labels: np.ndarray
  published: str


def draw(
  folder: Path, config: ConfigDict, reports: dict[str, dict[str, Any]]
) -> list[Path]:
  """Draws the figures that a table asks for, as far as its cells allow.

  Args:
    folder: of the table, with `cells/NAME`.
    config: of the table.
    reports: of the cells that are done, by name, in the order of the table.

  Returns:
    The PNG files that were drawn.
  """
  wanted = set(config.figures)
  swept = sweeps(reports) if "sweep" in wanted else {}
  asked = wanted & {*OF_TEACHERS}
  said = answers(folder, config, reports) if asked else None
  drawn = []
  for name in config.figures:
    path = folder / f"{name}.png"
    shown = {"sweep": swept}.get(name, said if name in OF_TEACHERS else reports)
    if not shown:
      print(f"No finished cell has what the figure {name} shows.")
      continue
    drawn.append(path)
    if name == "sweep":
      defense_figures.sweep_figure(path, swept)
    elif name in OF_TEACHERS:
      draw_answers(name, path, said)
    else:
      draw_runs(name, path, folder, config, reports)
  return drawn


def draw_answers(name: str, path: Path, said: TeacherOutputs) -> None:
  """A figure of what the teachers say."""
  if name == "features":
    defense_figures.features_figure(path, said.features, said.labels)
    return
  image = common_image(said)
  label = int(said.labels[image])
  if name == "bars":
    probs = {n: softmax(z[image]) for n, z in said.logits.items()}
    defense_figures.bars_figure(path, probs, label)
  else:
    defense_figures.temperature_figure(
      path, said.logits[said.published][image], label
    )


def draw_runs(
  name: str,
  path: Path,
  folder: Path,
  config: ConfigDict,
  reports: dict[str, dict[str, Any]],
) -> None:
  """A figure that holds runs against each other."""
  places = {n: folder / "cells" / home(config, n) for n in reports}
  rows = {config.cells[n].row: n for n in reports}  # the last cell of a row
  if name == "matrix":
    values = np.full((len(config.rows), len(config.columns)), np.nan)
    for cell, report in reports.items():
      row = config.rows.index(config.cells[cell].row)
      column = config.columns.index(config.cells[cell].column)
      values[row, column] = report["student"]["accuracy"]
    field_figures.matrix_figure(path, config.rows, config.columns, values)
  elif name == "budgets":
    lines: dict[str, list[tuple[int, float]]] = {}
    for cell, report in reports.items():
      point = (report["queries"]["spent"], report["student"]["accuracy"])
      lines.setdefault(config.cells[cell].column, []).append(point)
    field_figures.budgets_figure(path, lines)
  elif name == "samples":
    made = {row: images_of(places[cell]) for row, cell in rows.items()}
    most = 1 + max(int(labels.max()) for _, labels in made.values())
    field_figures.samples_figure(path, made, most)
  else:
    made = {row: images_of(places[cell]) for row, cell in rows.items()}
    features, labels, losses = {}, {}, {}
    for row, (images, answers) in made.items():
      place = places[rows[row]]
      shown = slice(MOST_IMAGES)
      labels[row] = answers[shown]
      _, features[row] = ask(place / "student.safetensors", images[shown])
      block = reports[rows[row]]["config"]["synthesis"]
      losses[row] = generator_losses(place, block["weights"])
    field_figures.synthetic_figure(path, features, labels, losses)


def images_of(place: Path) -> tuple[np.ndarray, np.ndarray]:
  """The synthetic images of a run in [0, 1], and the teacher's labels."""
  samples = read_samples(place)
  answers = np.asarray(hard_labels(samples.targets))
  return np.asarray(to_float(samples.images)), answers


def generator_losses(place: Path, weights: dict[str, float]) -> list[float]:
  """The generator's loss by round: its terms, weighted."""
  return [
    sum(w * float(np.mean(record[term])) for term, w in weights.items())
    for record in read_metrics(place)
    if record["stage"] == "synthesis"
  ]


def answers(
  folder: Path, config: ConfigDict, reports: dict[str, dict[str, Any]]
) -> TeacherOutputs | None:
  """Asks the teachers of the cell that has most of them, the first such cell.

  The mean of the logits of the published teacher and of its sequence, which is
  what the attack SCM distils, joins the networks where there is a sequence.

  Returns:
    None if no cell has any.
  """
  held = {
    name: networks(folder / "cells" / home(config, name), report)
    for name, report in reports.items()
  }
  richest = max(held, key=lambda name: len(held[name]), default=None)
  if richest is None or not held[richest]:
    return None
  files, run = held[richest], reports[richest]["config"]
  dataset = data.load(run["dataset"], image_size=run["image_size"])
  images = dataset.test_images[:MOST_IMAGES]
  said = {name: ask(path, images) for name, path in files.items()}
  logits = {name: logits for name, (logits, _) in said.items()}
  *_, published = (n for n in files if not n.startswith("Seq-"))
  sequence = [name for name in files if name.startswith("Seq-")]
  if sequence:
    members = [logits[name] for name in (published, *sequence)]
    logits["ensemble"] = np.mean(members, axis=0)
  features = {name: features for name, (_, features) in said.items()}
  labels = dataset.test_labels[:MOST_IMAGES]
  return TeacherOutputs(logits, features, labels, published)


def networks(folder: Path, report: dict[str, Any]) -> dict[str, Path]:
  """Files of the teachers in the folder of a cell, by the paper's names:
  `member2`, trained against the published teacher, is Seq-1.
  """
  defence = report.get("defense")
  published = f"{defence['name']} teacher" if defence else "teacher"
  count = len(list(folder.glob("member*.safetensors")))
  stems = {"normal teacher": "normal", published.replace("_", " "): "teacher"}
  stems |= {
    f"Seq-{index}": f"member{index + 1}" for index in range(1, count + 1)
  }
  files = {name: folder / f"{stem}.safetensors" for name, stem in stems.items()}
  return {name: path for name, path in files.items() if path.exists()}


def ask(path: Path, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Logits `[N, K]` and penultimate features `[N, D]` of a saved network."""
  classifier, _ = weights.load_classifier(path)
  logits, features = zip(
    *(
      _answer(classifier, images[start : start + BATCH_SIZE])
      for start in range(0, len(images), BATCH_SIZE)
    ),
    strict=True,
  )
  return np.concatenate(logits), np.concatenate(features)


@jax.jit
def _answer(classifier: Classifier, images: Array) -> tuple[Array, Array]:
  outputs = classifier(to_float(images))
  last = outputs.features[-1] if outputs.features else outputs.logits
  return outputs.logits, last.reshape(len(images), -1)


def common_image(said: TeacherOutputs) -> int:
  """The first test image that all networks get right, or most of them."""
  right = [logits.argmax(-1) == said.labels for logits in said.logits.values()]
  return int(np.sum(right, axis=0).argmax())
