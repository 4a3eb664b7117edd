"""Networks as folders that others can judge: weights, what they mean, and a
probe that proves them.

    ROLE.json           the card: architecture, inputs, classes, where from
    ROLE.safetensors    the weights; ROLE.stablehlo if it is an artefact
    probe.safetensors   images and the logits that the network must give

ROLE is `teacher` or `student`. Nothing in a bundle is believed: sizes, names
and values are checked before use, and on every load the network has to answer
the probe. No path and no code is taken from inside.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp

from jaxkd.config import checks
from jaxkd.runtime.files import atomic_folder
from jaxkd.serialization import model_card, probe as probes, weights
from jaxkd.serialization.mismatch import LEAST_PROBABILITY
from jaxkd.serialization.model_card import ARTEFACT, ModelCard
from jaxkd.serialization.probe import Probe
from jaxkd.serialization.stablehlo import from_export
from jaxkd.types import (
  ApplyFn,
  Array,
  Classifier,
  DataSpec,
  JaxkdError,
  Outputs,
  Variables,
)

ROLES = ("teacher", "student")
PROBE = "probe.safetensors"
MOST_ARTEFACT_BYTES = 4 * 2**30

probe_images = probes.images


class LoadedBundle(NamedTuple):
  """Attributes:

  classifier: takes images in [0, 1] and gives logits; of a network whose
    outputs are probabilities, their logarithm.
  spec: of the inputs.
  card: all that the bundle says.
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
  """Writes a bundle, all or nothing; what can't be read back is not written.

  Args:
    folder: to make; it must not exist, or be empty.
    role: `teacher` or `student`.
    classifier: whose weights are written.
    card: what to say of it.
    probe: what it answers.
    artefact: what is written in place of weights if the architecture is
      `stablehlo`.

  Raises:
    JaxkdError: if the folder holds something, or `read` would refuse the
      bundle.
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
    read(partial)


def read(folder: str | Path) -> LoadedBundle:
  """The network in a bundle, after it has answered the probe.

  Raises:
    JaxkdError: if files are missing, lead out of the folder or are damaged; if
      the card has other fields or values than it may; if weights are not
      exactly the architecture's, or not finite; if the probe is not answered.
  """
  folder = Path(folder)
  role = _role(folder)
  card = model_card.read(_inside(folder, f"{role}.json"))
  probe = probes.load(_inside(folder, PROBE), card.spec, "nhwc")
  if card.architecture == ARTEFACT:
    classifier = _artefact(_inside(folder, f"{role}.{ARTEFACT}"), card)
  else:
    classifier = _zoo(_inside(folder, f"{role}.safetensors"), card)
  probes.check(classifier, probe, f"The {role} in {folder}")
  return LoadedBundle(classifier, card.spec, card)


def _role(folder: Path) -> str:
  roles = [role for role in ROLES if (folder / f"{role}.json").exists()]
  if len(roles) == 1:
    return roles[0]
  if roles:
    raise JaxkdError(f"{folder} has teacher.json and student.json; keep one.")
  raise JaxkdError(
    f"{folder} is no bundle: it has no teacher.json. Make one with "
    "python -m jaxkd.import_teacher."
  )


def _inside(folder: Path, name: str) -> Path:
  """A file of the bundle; none that a link leads to elsewhere, and no pipe."""
  path = folder / name
  if not path.exists():
    raise JaxkdError(f"{folder} lacks {name}.")
  if not path.resolve().is_relative_to(folder.resolve()):
    raise JaxkdError(f"{path} leads out of the bundle; copy the file into it.")
  if not path.is_file():
    raise JaxkdError(f"{path} is no file.")
  return path


def _zoo(path: Path, card: ModelCard) -> Classifier:
  classifier, spec = weights.load_classifier(path)
  if (classifier.name, spec) != (card.architecture, card.spec):
    raise JaxkdError(
      f"{path} holds {classifier.name} for {spec}, and its card says "
      f"{card.architecture} for {card.spec}."
    )
  return classifier


def _artefact(path: Path, card: ModelCard) -> Classifier:
  size = path.stat().st_size
  if not 0 < size <= MOST_ARTEFACT_BYTES:
    raise JaxkdError(f"{path} has {size} bytes; that is no artefact.")
  return artefact_classifier(path.read_bytes(), card.spec, card.outputs)


def artefact_classifier(
  artefact: bytes, spec: DataSpec, outputs: str
) -> Classifier:
  """The classifier in a `jax.export` artefact; see `from_export`.

  Args:
    artefact: its bytes.
    spec: spec of the inputs.
    outputs: what the artefact gives, `logits` or `probabilities`.
  """
  if b"callback" in artefact:
    raise JaxkdError(
      "This artefact calls back into the process that runs it, which can do "
      "anything; export the network without callbacks."
    )
  classifier = from_export(artefact, spec)
  if outputs == "logits":
    return classifier
  return classifier.replace(apply=_Logarithm(classifier.apply))


@dataclass(frozen=True)
class _Logarithm:
  """Logits of a network that gives probabilities."""

  apply: ApplyFn

  def __call__(
    self,
    variables: Variables,
    images: Array,
    *,
    train: bool = False,
    rng: Array | None = None,
  ) -> tuple[Outputs, Variables]:
    outputs, changed = self.apply(variables, images, train=train, rng=rng)
    logits = jnp.log(jnp.clip(outputs.logits, LEAST_PROBABILITY, 1))
    return outputs._replace(logits=logits), changed
