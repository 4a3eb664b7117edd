"""The network that the flags name, and the probe that it is checked with."""

import argparse

from jaxkd.export.pytorch import export_module
from jaxkd.import_teacher.flags import spec_of
from jaxkd.serialization import bundle, imported, mismatch, probe as probes
from jaxkd.serialization.imported import ImportedModel
from jaxkd.serialization.probe import Probe
from jaxkd.types import JaxkdError

# What makes no sense for a PyTorch module, which is its own probe.
_FILE_FLAGS = (
  "file", "model", "probe", "layout", "unchecked", "prefix",
  "batch_norm_epsilon",
)  # fmt: skip


def load(arguments: argparse.Namespace) -> tuple[ImportedModel, Probe]:
  """Imports the network, and reads or makes its probe.

  Raises:
    JaxkdError: if flags are missing, contradict one another or do not fit the
      network, or if it can't be imported.
  """
  return (_load_module if arguments.torch else _load_file)(arguments)


def probe_source(arguments: argparse.Namespace) -> str:
  """Returns where the expected answers are from; "" if there are none."""
  return "PyTorch" if arguments.torch else "given" if arguments.probe else ""


def _load_module(
  arguments: argparse.Namespace,
) -> tuple[ImportedModel, Probe]:
  """Exports a PyTorch module of the user, and its answers as a probe."""
  for flag in _FILE_FLAGS:
    if getattr(arguments, flag) not in (None, "", False):
      name = "FILE" if flag == "file" else f"--{flag}"
      raise JaxkdError(
        f"--torch={arguments.torch} makes the network: leave out {name}; "
        "--weights names its weights."
      )
  loaded, probe = export_module(
    arguments.torch,
    arguments.weights,
    spec_of(arguments),
    output=arguments.output,
    output_kind=arguments.outputs or "logits",
  )
  classes = loaded.spec.num_classes
  if arguments.num_classes not in (None, classes):
    raise JaxkdError(
      f"--num_classes={arguments.num_classes}, but {arguments.torch} returns "
      f"{classes} logits; leave the flag out."
    )
  return loaded, probe


def _load_file(arguments: argparse.Namespace) -> tuple[ImportedModel, Probe]:
  """Imports the network in a file, and reads or makes its probe."""
  path, epsilon = arguments.file, arguments.batch_norm_epsilon
  if path is None or arguments.weights:
    raise JaxkdError(
      "Give FILE, or --torch=my_models:net, with or without --weights=FILE."
    )
  if epsilon is not None and not 0 < epsilon < 1:
    raise JaxkdError(
      f"--batch_norm_epsilon={epsilon} must be between 0 and 1, e.g. 1e-3."
    )
  loaded = imported.load(
    path,
    arguments.model,
    spec_of(arguments),
    outputs=arguments.outputs or "logits",
    output=arguments.output,
    flatten=arguments.flatten,
    epsilon=epsilon,
    prefix=arguments.prefix,
  )
  return loaded, _probe(arguments, loaded)


def _probe(arguments: argparse.Namespace, loaded: ImportedModel) -> Probe:
  """Reads the owner's probe, or makes one of the network's answers."""
  if arguments.probe:
    kind = arguments.outputs
    probe = probes.load(arguments.probe, loaded.spec, arguments.layout, kind)
    if kind != "sigmoid":
      return probe
    # Near 0 and 1 a float32 sigmoid does not say its logit exactly.
    answers = probes.answer(loaded.classifier, probe.images)
    same = mismatch.sigmoid_difference(answers, probe.logits)
    return probe._replace(logits=answers) if same <= probes.TOLERANCE else probe
  if not arguments.unchecked:
    raise JaxkdError(
      "A network is imported only with a probe: give --probe=FILE (see "
      "--help), or --unchecked."
    )
  images = bundle.probe_images(loaded.spec)
  probe = Probe(images, probes.answer(loaded.classifier, images))
  soft = loaded.artefact and arguments.outputs == "probabilities"
  if soft and not mismatch.are_log_probabilities(probe.logits):
    raise JaxkdError(
      "--output_kind=probabilities, but the answers of the network are not: "
      "they do not sum to 1; set --output_kind=logits."
    )
  return probe
