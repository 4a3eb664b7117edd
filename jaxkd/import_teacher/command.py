"""The command: checks a network by its probe and writes the bundle."""

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
import hashlib

from jaxkd import __version__, models
from jaxkd.import_teacher import sources
from jaxkd.import_teacher.flags import make_parser
from jaxkd.runtime import compile_target
from jaxkd.runtime.files import errors_end_command
from jaxkd.serialization import (
  bundle,
  class_names,
  model_card,
  probe as probes,
  shards,
)
from jaxkd.serialization.imported import ImportedModel
from jaxkd.serialization.model_card import ModelCard
from jaxkd.serialization.probe import Probe
from jaxkd.types import DataSpec, JaxkdError

ANY = "resnet8_16"  # a small network for images of any size
LARGE = 48  # the side from which configs have recipes for large images
# Of their sets a CPU makes so many in minutes.
FEWER = " --config.synthesis.num_sets=8"


def main(argv: Sequence[str] | None = None) -> None:
  """Imports one file; mistaken arguments end the process with status 2."""
  arguments = make_parser().parse_args(argv)
  with errors_end_command():
    for line in _import(arguments):
      print(line)


def _import(arguments: argparse.Namespace) -> list[str]:
  """Writes the bundle and returns the lines of a summary."""
  loaded, probe = sources.load(arguments)
  path = arguments.weights if arguments.torch else arguments.file
  what = path or arguments.torch
  difference = _check(loaded, probe, f"The network in {what}")
  source = hashlib.sha256()
  for each in shards.find_files(path) if path else ():
    source.update(each.read_bytes())
  is_artefact = loaded.architecture == model_card.ARTEFACT
  card = ModelCard(
    loaded.architecture,
    loaded.spec,
    class_names.read(arguments.class_names) if arguments.class_names else (),
    # The networks of jaxkd.models return logits, without the owner's softmax,
    # and so do artefacts that are made here.
    (is_artefact and not arguments.torch and arguments.outputs) or "logits",
    f"sha256:{source.hexdigest()}" if path else "",
    {
      "file": path.name if path else "",
      "torch": arguments.torch,
      "probe": sources.probe_source(arguments) or "unchecked: own answers",
      "largest_difference": difference
      if sources.probe_source(arguments)
      else None,
      "outputs": arguments.outputs or "logits",
      "flatten": arguments.flatten,
      "batch_norm_epsilon": arguments.batch_norm_epsilon,
      "jaxkd": __version__,
      "date": datetime.now(UTC).isoformat(timespec="seconds"),
    },
    "" if arguments.torch else arguments.output,
  )
  model_card.check(card, str(what))
  bundle.write(
    arguments.out, "teacher", loaded.classifier, card, probe, loaded.artefact
  )
  return _summary(arguments, loaded, probe, difference)


def _check(loaded: ImportedModel, probe: Probe, what: str) -> float:
  """Checks a network by its probe, with a hint if its weights are short."""
  try:
    return probes.check(loaded.classifier, probe, what)
  except JaxkdError as error:
    if not any("converted exactly" in note for note in loaded.notes):
      raise
    raise JaxkdError(
      f"{error} The weights in the file are rounded ({loaded.notes[0]}): make "
      "the probe with these, in float32."
    ) from error


def _summary(
  arguments: argparse.Namespace,
  loaded: ImportedModel,
  probe: Probe,
  difference: float,
) -> list[str]:
  network, tensors = "exported whole", "inside the network"
  if not loaded.artefact:
    count = models.count_parameters(loaded.classifier.variables)
    notes = "; ".join(loaded.notes)
    all_used = "" if "left out" in notes else ", all used"
    network = f"{loaded.architecture}, {count:,} parameters"
    tensors = f"{loaded.tensors}{all_used}{'; ' * bool(notes)}{notes}"
  limit = probes.tolerance(probe)
  checked = (
    f"largest difference {difference:.2g}, allowed {limit:.2g}"
    if sources.probe_source(arguments)
    else "NONE: the network is not verified"
  )
  return [
    *probes.doubts(probe),
    f"network  {network}",
    f"tensors  {tensors}",
    f"probe    {checked}",
    f"written  {arguments.out}",
    "next     python -m jaxkd.main --config=configs/cake.py"
    f"{_recipe(loaded.spec)} --config.teacher.checkpoint={arguments.out}",
  ]


def _recipe(spec: DataSpec) -> str:
  """Returns what the next command has for inputs of this shape."""
  without_data = " --config.dataset=none"
  if len(spec.shape) != 3:
    return ":dataset=two_moons" + without_data
  side = min(spec.shape[:2])
  if side >= LARGE:
    fewer = FEWER if compile_target.backend() == "cpu" else ""
    return f":dataset=none,image_size={side}{fewer}"
  if spec.shape[:2] == (32, 32):
    return without_data
  return f" --config.student.model={ANY}" + without_data
