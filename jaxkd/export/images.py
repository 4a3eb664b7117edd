"""Export of the synthetic images that a student was trained on."""

from datetime import UTC, datetime
import hashlib
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from jaxkd import __version__, methods
from jaxkd.config import checks
from jaxkd.data.labels import hard_labels
from jaxkd.data.pixels import to_eight_bit
from jaxkd.errors import JaxkdError
from jaxkd.export.formats import FORMATS, SyntheticSet
from jaxkd.runtime.files import Json, atomic_folder, write_json
from jaxkd.runtime.finished_run import (
  REPORT_NAME,
  read_config,
  read_report,
  read_samples,
)
from jaxkd.serialization import weights
from jaxkd.teachers.oracles import WhiteBox
from jaxkd.types import Samples

MANIFEST = "manifest.json"


class Rounding(NamedTuple):
  """The effect of rounding the images to 8 bits.

  Attributes:
    clipped: the share of pixel values outside [0, 1], which were clipped.
    same_label: the number of images to which the teacher gives the same label
      as before; None where the run has no teacher's weights.
    asked_again: whether labels and probabilities are the teacher's answers to
      the 8-bit images; if not, they are its answers to the run's images.
  """

  clipped: float
  same_label: int | None
  asked_again: bool


def export_images(
  workdir: Path,
  out: Path,
  format: str = "png",
  count: int = 0,
  model: str = "",
) -> int:
  """Writes the synthetic images of a run, with labels and a manifest.

  Args:
    workdir: the folder of the run.
    out: the folder to write, new or empty; it appears when it is complete.
    format: one of `FORMATS`.
    count: the number of images, drawn at random by the run's seed; 0 for all.
    model: `module:function` that builds the teacher, if it is the user's own.

  Returns:
    The number of images written.

  Raises:
    JaxkdError: if the run made no images, or the format can't hold them.
  """
  checks.choice("--format", format, FORMATS)
  checks.not_negative(**{"--count": count})
  config = read_config(workdir)
  _check_synthetic(config)
  samples = _subsample(read_samples(workdir), count, config["seed"])
  if samples.images.ndim == 4:
    synthetic, rounding = _round(samples, workdir, config, model)
  elif format == "npz":
    synthetic, rounding = _add_labels(samples), None
  else:
    raise JaxkdError(
      f"--format={format} holds images, and the run made points of shape "
      f"{samples.images.shape[1:]}; choose --format=npz."
    )

  with atomic_folder(out) as folder:
    FORMATS[format](folder, synthetic)
    manifest = _provenance(workdir, config) | {
      "format": format,
      "images": len(synthetic.images),
      "shape": synthetic.images.shape[1:],
      "no_class_meant": int((samples.labels < 0).sum()),
      "eight_bit": rounding._asdict() if rounding else None,
      "files": _hash_files(folder),
    }
    write_json(folder / MANIFEST, manifest)
  return len(synthetic.images)


def _check_synthetic(config: dict[str, Json]) -> None:
  info = methods.info(config["method"])
  real = config["synthesis"].get("source") == "real"
  if real or info.source == "real images":
    raise JaxkdError(
      f"The images of this run ({config['method']}) are real; only synthetic "
      "images can be exported."
    )


def _subsample(samples: Samples, count: int, seed: int) -> Samples:
  total = len(samples.labels)
  checks.at_most("--count", count, total, "images in the run")
  if not count:
    return samples
  rows = np.sort(np.random.default_rng(seed).permutation(total)[:count])
  return samples._replace(
    images=samples.images[rows],
    labels=samples.labels[rows],
    targets=samples.targets[rows],
  )


def _add_labels(samples: Samples) -> SyntheticSet:
  answers = np.asarray(hard_labels(samples.targets), np.int32)
  soft = np.issubdtype(samples.targets.dtype, np.floating)
  return SyntheticSet(
    samples.images,
    np.where(samples.labels < 0, answers, samples.labels).astype(np.int32),
    answers,
    np.asarray(jax.nn.softmax(samples.targets, -1)) if soft else None,
  )


def _round(
  samples: Samples, workdir: Path, config: dict[str, Json], model: str
) -> tuple[SyntheticSet, Rounding]:
  """Rounds images to uint8, and asks a white-box teacher for new answers.

  Rounding changes the teacher's label of some images.
  """
  images, clipped = samples.images, 0.0
  if images.dtype != np.uint8:
    clipped = float(((images < 0) | (images > 1)).mean())
    images = to_eight_bit(images)
  path = workdir / "teacher.safetensors"
  rounded = samples._replace(images=images)
  if not path.exists():
    return _add_labels(rounded), Rounding(clipped, None, False)
  teacher = WhiteBox(weights.load_classifier(path, model)[0])
  answers = np.asarray(jax.jit(WhiteBox.answer)(teacher, images))
  before = np.asarray(hard_labels(samples.targets))
  same = int((answers.argmax(-1) == before).sum())
  # A run that asked for labels only must not export probabilities.
  again = config["teacher"]["access"] == "white_box"
  if again:
    rounded = rounded._replace(targets=answers)
  return _add_labels(rounded), Rounding(clipped, same, again)


def _provenance(workdir: Path, config: dict[str, Json]) -> dict[str, Json]:
  done = (workdir / REPORT_NAME).exists()
  report = read_report(workdir) if done else {}
  teacher = workdir / "teacher.safetensors"
  return {
    "synthetic": True,
    "method": config["method"],
    "dataset": config["dataset"],
    "teacher": {
      "model": report.get("teacher", config["teacher"])["model"],
      "sha256": _sha256(teacher) if teacher.exists() else None,
    },
    "seed": config["seed"],
    "config": config,
    "commit": report.get("commit"),
    "date": report.get("date"),
    "exported": datetime.now(UTC).isoformat(timespec="seconds"),
    "jaxkd": __version__,
  }


def _hash_files(folder: Path) -> dict[str, str]:
  files = sorted(path for path in folder.rglob("*") if path.is_file())
  return {path.relative_to(folder).as_posix(): _sha256(path) for path in files}


def _sha256(path: Path) -> str:
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()
