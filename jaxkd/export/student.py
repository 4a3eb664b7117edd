"""Export of a student as a bundle: weights, model card, probe and StableHLO."""

from pathlib import Path

from jaxkd import __version__
from jaxkd.export import stablehlo
from jaxkd.runtime.files import Json, atomic_folder
from jaxkd.runtime.finished_run import read_config, read_report
from jaxkd.serialization import bundle, probe, weights
from jaxkd.serialization.model_card import ModelCard
from jaxkd.serialization.probe import Probe
from jaxkd.serialization.stablehlo import from_export

NAME = "student"


def export_run(workdir: Path, out: Path) -> None:
  """Writes the student of a run as a bundle into the folder `out`.

  Raises:
    JaxkdError: if the run is not finished, or `out` can't be written.
  """
  report = read_report(workdir)
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
  _write(checkpoint, out, provenance, _class_names(config))


def export_checkpoint(checkpoint: Path, out: Path) -> None:
  """Writes a file of weights as a bundle, without the run that made it.

  Raises:
    JaxkdError: if the file can't be read, or `out` can't be written.
  """
  unknown = dict.fromkeys(("method", "dataset", "accuracy", "date"))
  _write(checkpoint, out, unknown | {"jaxkd": __version__}, ())


def _class_names(config: dict[str, Json]) -> tuple[str, ...]:
  # A teacher that was a bundle names its classes, if its folder is still there.
  teacher = Path(config["teacher"]["checkpoint"] or ".")
  if not any(teacher.glob("teacher.json")):
    return ()
  return tuple(bundle.read(teacher).card.class_names)


def _write(
  checkpoint: Path,
  out: Path,
  provenance: dict[str, Json],
  class_names: tuple[str, ...],
) -> None:
  student, spec = weights.load_classifier(checkpoint)
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
