"""The figures of a table, from the folders of its finished cells."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict
import numpy as np

from jaxkd import data
from jaxkd.config import user_code
from jaxkd.data import to_float
from jaxkd.data.labels import hard_labels
from jaxkd.runtime.finished_run import read_samples
from jaxkd.runtime.metrics import read_metrics
from jaxkd.serialization import weights
from jaxkd.tables import defense_figures, field_figures
from jaxkd.tables.defense_figures import softmax
from jaxkd.tables.records import cell_folder
from jaxkd.tables.sweeps import collect_sweeps
from jaxkd.types import Array, Classifier

TEACHER_FIGURES = ("bars", "temperature", "features")
RUN_FIGURES = ("matrix", "budgets", "samples", "synthetic")
MAX_IMAGES, BATCH_SIZE = 1000, 250


class TeacherOutputs(NamedTuple):
  """The outputs of a cell's teachers for the same test images.

  Attributes:
    logits: `[N, K]` by the name of the network.
    features: `[N, D]` penultimate features by the name of the network.
    labels: `[N]` true classes.
    published: the name of the teacher that methods ask.
  """

  logits: dict[str, np.ndarray]
  features: dict[str, np.ndarray]
  labels: np.ndarray
  published: str


def draw(
  folder: Path, config: ConfigDict, reports: dict[str, dict[str, Any]]
) -> list[Path]:
  """Draws a table's figures for which there are finished cells.

  Args:
    folder: the folder of the table, with `cells/NAME`.
    config: the config of the table.
    reports: the reports of finished cells by name, in the order of the table.

  Returns:
    The PNG files that were drawn.
  """
  names = set(config.figures)
  sweeps = collect_sweeps(reports) if "sweep" in names else {}
  outputs = None
  if names & {*TEACHER_FIGURES}:
    outputs = ask_teachers(folder, config, reports)
  paths = []
  for name in config.figures:
    path = folder / f"{name}.png"
    source = outputs if name in TEACHER_FIGURES else reports
    if not (sweeps if name == "sweep" else source):
      print(f"There is no finished cell for the figure {name}.")
      continue
    paths.append(path)
    if name == "sweep":
      defense_figures.sweep_figure(path, sweeps)
    elif name in TEACHER_FIGURES:
      draw_teacher_figure(name, path, outputs)
    else:
      draw_run_figure(name, path, folder, config, reports)
  return paths


def draw_teacher_figure(name: str, path: Path, outputs: TeacherOutputs) -> None:
  """Draws one of `TEACHER_FIGURES`."""
  if name == "features":
    defense_figures.features_figure(path, outputs.features, outputs.labels)
    return
  image = common_image(outputs)
  label = int(outputs.labels[image])
  if name == "bars":
    probs = {n: softmax(z[image]) for n, z in outputs.logits.items()}
    defense_figures.bars_figure(path, probs, label)
  else:
    defense_figures.temperature_figure(
      path, outputs.logits[outputs.published][image], label
    )


def draw_run_figure(
  name: str,
  path: Path,
  folder: Path,
  config: ConfigDict,
  reports: dict[str, dict[str, Any]],
) -> None:
  """Draws one of `RUN_FIGURES`."""
  folders = {n: folder / "cells" / cell_folder(config, n) for n in reports}
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
    samples = {row: read_images(folders[cell]) for row, cell in rows.items()}
    num_classes = 1 + max(int(labels.max()) for _, labels in samples.values())
    field_figures.samples_figure(path, samples, num_classes)
  else:
    features, labels, losses = {}, {}, {}
    for row, cell in rows.items():
      images, answers = read_images(folders[cell])
      labels[row] = answers[:MAX_IMAGES]
      student = folders[cell] / "student.safetensors"
      model = config.cells[cell].config.student.model
      _, features[row] = run_network(student, images[:MAX_IMAGES], model)
      factors = reports[cell]["config"]["synthesis"]["weights"]
      losses[row] = generator_losses(folders[cell], factors)
    field_figures.synthetic_figure(path, features, labels, losses)


def read_images(folder: Path) -> tuple[np.ndarray, np.ndarray]:
  """Reads the synthetic images of a run in [0, 1], and the teacher's labels."""
  samples = read_samples(folder)
  answers = np.asarray(hard_labels(samples.targets))
  return np.asarray(to_float(samples.images)), answers


def generator_losses(folder: Path, weights: dict[str, float]) -> list[float]:
  """Returns the generator's loss in each round: the weighted sum of terms."""
  return [
    sum(w * float(np.mean(record[term])) for term, w in weights.items())
    for record in read_metrics(folder)
    if record["stage"] == "synthesis"
  ]


def ask_teachers(
  folder: Path, config: ConfigDict, reports: dict[str, dict[str, Any]]
) -> TeacherOutputs | None:
  """Runs all teachers of one cell, the first with the largest number of them.

  If the attack SCM trained a sequence, the outputs include the `ensemble`: the
  mean of the logits of the published teacher and the sequence.

  Returns:
    The outputs; None if no cell has a teacher's weights.
  """
  files_of = {
    name: teacher_files(folder / "cells" / cell_folder(config, name), report)
    for name, report in reports.items()
  }
  cell = max(files_of, key=lambda name: len(files_of[name]), default=None)
  if cell is None or not files_of[cell]:
    return None
  files, block = files_of[cell], config.cells[cell].config
  dataset = data.find(
    block.dataset, image_size=block.image_size, background=block.background
  )
  images = dataset.test_images[:MAX_IMAGES]
  models = {
    name: (name.startswith("Seq-") and block.synthesis.get("member"))
    or block.teacher.model
    for name in files
  }
  outputs = {
    name: run_network(path, images, models[name])
    for name, path in files.items()
  }
  logits = {name: logits for name, (logits, _) in outputs.items()}
  *_, published = (n for n in files if not n.startswith("Seq-"))
  sequence = [name for name in files if name.startswith("Seq-")]
  if sequence:
    members = [logits[name] for name in (published, *sequence)]
    logits["ensemble"] = np.mean(members, axis=0)
  features = {name: features for name, (_, features) in outputs.items()}
  labels = dataset.test_labels[:MAX_IMAGES]
  return TeacherOutputs(logits, features, labels, published)


def teacher_files(folder: Path, report: dict[str, Any]) -> dict[str, Path]:
  """Returns the weights of a cell's teachers, by the names in the paper.

  `member2`, which is trained against the published teacher, is Seq-1. A defence
  that changes answers trains nothing: `teacher` is the network behind it.
  """
  defence = report.get("defense")
  published = "teacher"
  if defence and not defence.get("changes_answers"):
    published = f"{defence['name']} teacher"
  count = len(list(folder.glob("member*.safetensors")))
  stems = {
    "undefended teacher": "normal",
    published.replace("_", " "): "teacher",
  }
  stems |= {
    f"Seq-{index}": f"member{index + 1}" for index in range(1, count + 1)
  }
  files = {name: folder / f"{stem}.safetensors" for name, stem in stems.items()}
  return {name: path for name, path in files.items() if path.exists()}


def run_network(
  path: Path, images: np.ndarray, model: str
) -> tuple[np.ndarray, np.ndarray]:
  """Computes logits `[N, K]` and penultimate features `[N, D]`.

  Args:
    path: the weights.
    images: `[N, H, W, C]`.
    model: the network's name in the config.
  """
  classifier, _ = weights.load_classifier(path, user_code.user_function(model))
  logits, features = zip(
    *(
      _forward(classifier, images[start : start + BATCH_SIZE])
      for start in range(0, len(images), BATCH_SIZE)
    ),
    strict=True,
  )
  return np.concatenate(logits), np.concatenate(features)


@jax.jit
def _forward(classifier: Classifier, images: Array) -> tuple[Array, Array]:
  outputs = classifier(to_float(images))
  last = outputs.features[-1] if outputs.features else outputs.logits
  return outputs.logits, last.reshape(len(images), -1)


def common_image(outputs: TeacherOutputs) -> int:
  """Returns the first image that the largest number of networks gets right."""
  correct = [
    logits.argmax(-1) == outputs.labels for logits in outputs.logits.values()
  ]
  return int(np.sum(correct, axis=0).argmax())
