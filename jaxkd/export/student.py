"""Export of a student as a bundle: weights, model card, probe and StableHLO."""

from pathlib import Path

from jaxkd import __version__
from jaxkd.export import stablehlo
from jaxkd.runtime.files import Json, atomic_folder
from jaxkd.runtime.finished_run import read_config, read_report
from jaxkd.serialization import bundle, model_card, probe, weights
from jaxkd.serialization.model_card import ModelCard
from jaxkd.serialization.probe import Probe
from jaxkd.serialization.stablehlo import from_export

NAME = "student"
# Fields of the report that a model card repeats.
_FIELDS = (
  "method", "dataset", "student.accuracies", "teacher.model", "commit", "date",
  "versions.jaxkd",
)  # fmt: skip


def export_run(workdir: Path, out: Path, model: str = "") -> None:
  """Writes the student of a run as a bundle.

  Args:
    workdir: the folder of the run.
    out: the folder to write.
    model: `module:function` that builds the network, if it is the user's own.

  Raises:
    JaxkdError: if the run is not finished, or `out` can't be written.
  """
  report = read_report(workdir, _FIELDS)
  config = read_config(workdir)
  provenance = {
    "method": report["method"],
    "dataset": report["dataset"],
    "accuracy": report["student"]["accuracies"][0],
    "teacher": report["teacher"]["model"],
    "seed": config["seed"],
    "commit": report["commit"],
    "jaxkd": report["versions"]["jaxkd"],
    "date": report["date"],
  }
  checkpoint = workdir / f"{NAME}.safetensors"
  _write(checkpoint, out, provenance, _class_names(config), model)


def export_checkpoint(checkpoint: Path, out: Path, model: str = "") -> None:
  """Writes a file of weights as a bundle, without the run that made it.

  Args:
    checkpoint: the file.
    out: the folder to write.
    model: `module:function` that builds the network, if it is the user's own.

  Raises:
    JaxkdError: if the file can't be read, or `out` can't be written.
  """
  unknown = dict.fromkeys(("method", "dataset", "accuracy", "date"))
  _write(checkpoint, out, unknown | {"jaxkd": __version__}, (), model)


def _class_names(config: dict[str, Json]) -> tuple[str, ...]:
  # A teacher that was a bundle names its classes, if its folder is still there.
  card = Path(config["teacher"]["checkpoint"] or ".") / "teacher.json"
  return model_card.read(card).class_names if card.is_file() else ()


def _write(
  checkpoint: Path,
  out: Path,
  provenance: dict[str, Json],
  class_names: tuple[str, ...],
  model: str,
) -> None:
  student, spec = weights.load_classifier(checkpoint, model)
  artefact = stablehlo.serialize(student, spec)
  images = bundle.probe_images(spec)
  expected = Probe(images, probe.answer(student, images))
  reread = from_export(artefact, spec, f"{NAME}.stablehlo")
  probe.check(reread, expected, f"{NAME}.stablehlo")
  card = ModelCard(
    student.name,
    spec,
    class_names,
    provenance=provenance | {"stablehlo": stablehlo.compatibility()},
  )
  with atomic_folder(out) as folder:
    bundle.write(folder, NAME, student, card, expected)
    (folder / f"{NAME}.stablehlo").write_bytes(artefact)
