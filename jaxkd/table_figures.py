"""The figures that a table asks for, from what its cells left behind."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict
import numpy as np

from jaxkd import data, defense_figures, weights
from jaxkd.data import to_float
from jaxkd.defense_figures import Sweep, softmax
from jaxkd.table_records import home
from jaxkd.types import Array, Classifier

FIGURES = ("bars", "temperature", "sweep", "features")
MOST_IMAGES, BATCH_SIZE = 1000, 250


class Answers(NamedTuple):
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
  said = answers(folder, config, reports) if wanted - {"sweep"} else None
  drawn = []
  for name in config.figures:
    path = folder / f"{name}.png"
    if not (swept if name == "sweep" else said):
      print(f"No finished cell has what the figure {name} shows.")
      continue
    drawn.append(path)
    if name == "sweep":
      defense_figures.sweep_figure(path, swept)
    elif name == "features":
      defense_figures.features_figure(path, said.features, said.labels)
    else:
      image = common_image(said)
      label = int(said.labels[image])
      if name == "bars":
        probs = {n: softmax(z[image]) for n, z in said.logits.items()}
        defense_figures.bars_figure(path, probs, label)
      else:
        defense_figures.temperature_figure(
          path, said.logits[said.published][image], label
        )
  return drawn


def answers(
  folder: Path, config: ConfigDict, reports: dict[str, dict[str, Any]]
) -> Answers | None:
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
  return Answers(logits, features, labels, published)


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


def common_image(said: Answers) -> int:
  """The first test image that all networks get right, or most of them."""
  right = [logits.argmax(-1) == said.labels for logits in said.logits.values()]
  return int(np.sum(right, axis=0).argmax())


def sweeps(reports: dict[str, dict[str, Any]]) -> dict[str, Sweep]:
  """What cells say of hyper-parameters and of the amount of data.

  Cells with the same data set and networks go together, and are a line where
  they have a grid or differ in `synthesis.fraction`. Others are to compare
  with.
  """
  found: dict[str, Sweep] = {}
  shares: dict[tuple[str, str], list[tuple[float, float]]] = {}
  with_grid = set()
  for report in reports.values():
    teacher, student = report["teacher"]["model"], report["student"]["model"]
    title, line = f"{report['dataset']}: {teacher} → {student}", attack(report)
    panels, _ = found.setdefault(title, Sweep({}, {}))
    fraction = report["config"]["synthesis"].get("fraction", 1.0)
    point = (fraction, report["student"]["accuracy"])
    shares.setdefault((title, line), []).append(point)
    if report.get("grid"):
      with_grid.add((title, line))
      for varied, held, points in slices(report["grid"]):
        panels.setdefault(varied, {})[f"{line}, {held}"] = points
  for (title, line), points in shares.items():
    panels, references = found[title]
    if len(dict(points)) > 1:
      panels.setdefault("share of the training data", {})[line] = sorted(points)
    elif (title, line) not in with_grid:
      references[line] = float(np.mean([accuracy for _, accuracy in points]))
  return {title: sweep for title, sweep in found.items() if sweep.panels}


def attack(report: dict[str, Any]) -> str:
  """What was done to which teacher, in a few words."""
  words, objective = report["method"], report["config"].get("objective")
  if objective:
    words += f" + {objective}"
  if report.get("defense"):
    words += f" against {report['defense']['name'].replace('_', ' ')}"
  return words


def slices(
  grid: dict[str, Any],
) -> Iterator[tuple[str, str, list[tuple[float, float]]]]:
  """Lines through the chosen point of a grid, along each of its directions:
  what is varied, what is held, and the points `(value, accuracy)`.
  """
  chosen = grid["points"][grid["chosen"]]
  for varied in grid["names"]:
    held = [name for name in grid["names"] if name != varied]
    points = sorted(
      (point[varied], point["accuracy"])
      for point in grid["points"]
      if all(point[name] == chosen[name] for name in held)
    )
    if len(points) > 1:
      yield varied, ", ".join(f"{n} {chosen[n]:g}" for n in held), points
