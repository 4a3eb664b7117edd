"""Bundles: folders with a network's weights, a model card and a probe.

    ROLE.json           the card: architecture, inputs, classes, provenance
    ROLE.safetensors    the weights; ROLE.stablehlo for an artefact
    probe.safetensors   images and the logits that the network must give

ROLE is `teacher` or `student`. A bundle is not trusted: sizes, names and values
are checked before use, and on every load the network has to answer the probe.
No path and no Python code is taken from a bundle.
"""

from pathlib import Path
from typing import NamedTuple

from jaxkd.config import checks
from jaxkd.models.adapters import with_conversion
from jaxkd.runtime.files import atomic_folder
from jaxkd.serialization import model_card, probe as probes, weights
from jaxkd.serialization.model_card import ARTEFACT, ModelCard
from jaxkd.serialization.probe import Probe
from jaxkd.serialization.stablehlo import from_export
from jaxkd.types import Classifier, DataSpec, JaxkdError

ROLES = ("teacher", "student")
PROBE = "probe.safetensors"
MAX_ARTEFACT_BYTES = 4 * 2**30

probe_images = probes.images


class LoadedBundle(NamedTuple):
  """The network of a bundle.

  Attributes:
    classifier: takes images in [0, 1] and returns logits; if the outputs of the
      network are probabilities, it returns their logarithm.
    spec: spec of the inputs.
    card: the model card.
  """

  classifier: Classifier
  spec: DataSpec
  card: ModelCard


def write(
  folder: str | Path,
  role: str,
  classifier: Classifier,
  card: ModelCard,
  probe: Probe,
  artefact: bytes = b"",
) -> None:
  """Writes a bundle atomically, after reading it back.

  Args:
    folder: folder to make; it must not exist, or be empty.
    role: `teacher` or `student`.
    classifier: the network whose weights are written.
    card: its model card.
    probe: images and the network's logits.
    artefact: bytes that are written in place of weights if the architecture is
      `stablehlo`.

  Raises:
    JaxkdError: if the folder is not empty, or if `read` refuses the bundle.
  """
  folder = Path(folder)
  checks.choice("role", role, ROLES)
  with atomic_folder(folder) as partial:
    model_card.write(partial / f"{role}.json", card)
    if card.architecture == ARTEFACT:
      (partial / f"{role}.{ARTEFACT}").write_bytes(artefact)
    else:
      path = partial / f"{role}.safetensors"
      weights.write(path, classifier, card.spec, card.architecture)
    probes.save(partial / PROBE, probe)
    read(partial, card.architecture)


def read(folder: str | Path, model: str = "") -> LoadedBundle:
  """Reads the network in a bundle and checks it with the probe.

  Args:
    folder: folder of the bundle.
    model: `module:function` that builds the network, if it is the user's own.

  Raises:
    JaxkdError: if files are missing, damaged or links out of the folder; if the
      card has unknown fields or values; if weights are not exactly those of the
      architecture, or not finite; or if the network does not answer the probe
      as expected.
  """
  folder = Path(folder)
  role = _role(folder)
  card = model_card.read(_file(folder, f"{role}.json"))
  probe = probes.load(_file(folder, PROBE), card.spec, "nhwc")
  if card.architecture == ARTEFACT:
    classifier = _read_artefact(_file(folder, f"{role}.{ARTEFACT}"), card)
  else:
    path = _file(folder, f"{role}.safetensors")
    classifier = _read_weights(path, card, model)
  probes.check(classifier, probe, f"The {role} in {folder}")
  return LoadedBundle(classifier, card.spec, card)


def _role(folder: Path) -> str:
  roles = [role for role in ROLES if (folder / f"{role}.json").exists()]
  if len(roles) == 1:
    return roles[0]
  if roles:
    raise JaxkdError(
      f"{folder} has both teacher.json and student.json; keep one of them."
    )
  raise JaxkdError(
    f"{folder} is no bundle: it has no teacher.json. Make one with "
    "python -m jaxkd.import_teacher."
  )


def _file(folder: Path, name: str) -> Path:
  """Returns the path of a file in the bundle; refuses links out of it."""
  path = folder / name
  if not path.exists():
    raise JaxkdError(f"{folder} has no file {name}; make the bundle again.")
  if not path.resolve().is_relative_to(folder.resolve()):
    raise JaxkdError(
      f"{path} is a link out of the bundle; copy the file into it."
    )
  if not path.is_file():
    raise JaxkdError(f"{path} is no file; make the bundle again.")
  return path


def _read_weights(path: Path, card: ModelCard, model: str) -> Classifier:
  name = weights.trusted_model(path, card.architecture, model)
  classifier, spec = weights.load_classifier(path, model)
  if (classifier.name, spec) != (name, card.spec):
    raise JaxkdError(
      f"{path} holds {classifier.name} for {spec}, and its card says "
      f"{card.architecture} for {card.spec}; make the bundle again."
    )
  return classifier


def _read_artefact(path: Path, card: ModelCard) -> Classifier:
  size = path.stat().st_size
  if not 0 < size <= MAX_ARTEFACT_BYTES:
    raise JaxkdError(
      f"{path} has {size} bytes; an exported network has 1 to "
      f"{MAX_ARTEFACT_BYTES}."
    )
  return artefact_classifier(
    path.read_bytes(), card.spec, card.outputs, card.output, what=str(path)
  )


def artefact_classifier(
  artefact: bytes,
  spec: DataSpec,
  outputs: str,
  output: str = "",
  *,
  what: str = "The exported network",
) -> Classifier:
  """Loads the classifier in a `jax.export` artefact; see `from_export`.

  Args:
    artefact: bytes of the artefact.
    spec: spec of the inputs.
    outputs: what it gives, one of `OUTPUT_KINDS`.
    output: name or index of the output, if it has several.
    what: path or description of the artefact, for messages.

  Returns:
    The classifier, with the name of the spec.

  Raises:
    JaxkdError: if the artefact has callbacks, or if `from_export` refuses it.
  """
  if b"callback" in artefact:
    raise JaxkdError(
      f"{what} has callbacks into the process that runs it, which can run any "
      "code; export the network without callbacks."
    )
  classifier = from_export(artefact, spec, what, output)
  classifier = classifier.replace(name=spec.name)
  if outputs == "logits" and not classifier.apply.gives_one_number:
    return classifier
  return with_conversion(classifier, outputs)
