"""The model card of a bundle: what it says about its network."""

from pathlib import Path
import re
from typing import Any, NamedTuple

from jaxkd import models
from jaxkd.config import checks, user_code
from jaxkd.config.teacher_fields import OUTPUT_KINDS
from jaxkd.runtime.files import write_json
from jaxkd.serialization import data_spec
from jaxkd.serialization.safetensors_io import read_json
from jaxkd.types import DataSpec, JaxkdError

ARTEFACT = "stablehlo"
MAX_BYTES = 2**20
_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{1,200}")
_SOURCE = re.compile(r"(sha256:[0-9a-f]{64})?")


class ModelCard(NamedTuple):
  """The card of a network, which `ROLE.json` in a bundle holds.

  Attributes:
    architecture: name that `jaxkd.models.init` takes, or `stablehlo` for an
      artefact.
    spec: spec of the inputs.
    class_names: one name per class, or none.
    outputs: what the network gives: `logits`, or for some artefacts
      `probabilities` or `sigmoid`, see `jaxkd.models.network_outputs`.
    source: `sha256:...` of the imported file; empty if there is none.
    provenance: JSON about the origin of the network, for people.
    output: name or index of the output, for artefacts with several; a file
      without it is that of a network with one.
  """

  architecture: str
  spec: DataSpec
  class_names: tuple[str, ...] = ()
  outputs: str = "logits"
  source: str = ""
  provenance: dict[str, Any] = {}  # noqa: RUF012 (never written to)
  output: str = ""


def write(path: Path, card: ModelCard) -> None:
  """Writes a card as a JSON file."""
  fields = {**card._asdict(), "spec": card.spec._asdict()}
  if not card.output:
    del fields["output"]
  write_json(path, fields)


def read(path: Path) -> ModelCard:
  """Reads and checks the card in a JSON file.

  Raises:
    JaxkdError: if the file is damaged or too long, or if a field is missing,
      unknown or invalid.
  """
  if path.stat().st_size > MAX_BYTES:
    raise JaxkdError(
      f"{path} has more than {MAX_BYTES} bytes, the largest size of a card."
    )
  try:
    fields = read_json(path.read_bytes())
  except (ValueError, RecursionError) as error:
    raise JaxkdError(f"{path} is no valid JSON: {error}.") from error
  if not isinstance(fields, dict):
    raise JaxkdError(f"{path} must hold a JSON object.")
  fields = {"output": "", **fields}
  checks.keys(str(path), fields, ModelCard._fields)
  names = fields["class_names"]
  if not isinstance(names, list):
    raise JaxkdError(f"{path}: class_names must be a list.")
  spec = data_spec.spec_of(fields["spec"], str(path))
  card = ModelCard(**fields | {"spec": spec, "class_names": tuple(names)})
  check(card, str(path))
  return card


def check(card: ModelCard, where: str) -> None:
  """Checks the values of all fields of a card.

  Args:
    card: the card.
    where: where it is from, for messages.

  Raises:
    JaxkdError: if a field has an invalid value.
  """
  name, known = str(card.architecture), (ARTEFACT, *models.names())
  if name not in known and not user_code.is_function(name):
    message = checks.unknown("architecture", name, known)
    raise JaxkdError(f"{where}: {message}")
  if card.outputs not in OUTPUT_KINDS:
    raise JaxkdError(
      f"{where}: outputs={card.outputs!r}; choose {', '.join(OUTPUT_KINDS)}."
    )
  of_artefact = card.output or card.outputs != "logits"
  if of_artefact and card.architecture != ARTEFACT:
    raise JaxkdError(
      f"{where}: {card.architecture} returns logits; only an artefact may have "
      f"outputs={card.outputs} or output={card.output!r}."
    )
  if not (isinstance(card.output, str) and len(card.output) <= 200):
    raise JaxkdError(f"{where}: output must be a text of up to 200 characters.")
  names, classes = card.class_names, card.spec.num_classes
  if names and len(names) != classes:
    raise JaxkdError(
      f"{where}: {len(names)} class_names for {classes} classes; give one for "
      "each class, or none."
    )
  if not all(isinstance(name, str) and _NAME.fullmatch(name) for name in names):
    raise JaxkdError(
      f"{where}: class_names must be texts of 1 to 200 printable characters."
    )
  if len(set(names)) < len(names):
    raise JaxkdError(
      f"{where}: class_names has a name twice; all must be different."
    )
  source = card.source
  if not (isinstance(source, str) and _SOURCE.fullmatch(source)):
    raise JaxkdError(
      f"{where}: source={source!r}; it must be sha256: and 64 hex digits, or "
      "empty."
    )
  if not isinstance(card.provenance, dict):
    raise JaxkdError(f"{where}: provenance must be a JSON object.")
