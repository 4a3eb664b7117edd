"""Imports networks from files that run no Python code when they are read.

They are PyTorch's weights as safetensors, `jax.export` artefacts, and
checkpoints of jaxkd.
"""

import json
from pathlib import Path
from typing import NamedTuple

from jaxkd import models
from jaxkd.config import checks
from jaxkd.serialization import bundle, shards, weights
from jaxkd.serialization.answers import with_epsilon
from jaxkd.serialization.model_card import ARTEFACT
from jaxkd.serialization.pytorch.normalisers import (
  StoredNormaliser,
  find_normaliser,
)
from jaxkd.serialization.pytorch.weights import convert
from jaxkd.serialization.safetensors_io import read_header
from jaxkd.types import Classifier, DataSpec, JaxkdError

_PICKLE_MESSAGE = """\
{path} is a pickle or a zip file, which can run any code when it is read, so it
is not read. Convert it to safetensors where you made it, in Python:

import torch
from safetensors.torch import save_file
model.load_state_dict(torch.load({name}, map_location="cpu"))  # your network
state = model.eval().state_dict()
whole = {{"memory_format": torch.contiguous_format}}  # tied weights are copied
save_file({{k: v.float().clone(**whole) for k, v in state.items()}}, {weights})
x = torch.rand(16, {channels}, {height}, {width})  # your image shape
mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in ({mean}, {std}))
y = model((x - mean) / std).detach()  # your normaliser
save_file({{"images": x, "logits": y}}, "probe.safetensors")

Then: python -m jaxkd.import_teacher {weights} --model={model} \
--image_shape={shape} --num_classes={classes} --mean={mean_flag} \
--std={std_flag} --probe=probe.safetensors --out=teacher"""


class ImportedModel(NamedTuple):
  """A network that was imported from a file.

  Attributes:
    classifier: takes images in [0, 1] and returns logits.
    spec: spec of the inputs.
    architecture: name in `jaxkd.models`, or `stablehlo`.
    tensors: number of tensors of the file that were used.
    artefact: bytes of the artefact, if the file is one.
    notes: what was left out or changed, for people.
  """

  classifier: Classifier
  spec: DataSpec
  architecture: str
  tensors: int = 0
  artefact: bytes = b""
  notes: tuple[str, ...] = ()


def load(
  path: Path,
  model: str = "",
  spec: DataSpec | None = None,
  *,
  outputs: str = "logits",
  output: str = "",
  flatten: str = "chw",
  epsilon: float | None = None,
  prefix: str | None = None,
) -> ImportedModel:
  """Imports the network in a file, or in several files.

  Args:
    path: path of the file, or as in `shards.find_files`.
    model: name in `jaxkd.models`, for PyTorch's weights; or `module:function`
      that builds a user's own network, for a file that jaxkd wrote.
    spec: spec of the inputs, unless jaxkd wrote the file.
    outputs: what an artefact gives, one of `OUTPUT_KINDS`.
    output: name or index of its output, if it has several.
    flatten: order in which maps are flattened before the first linear layer,
      `chw` or `hwc`.
    epsilon: epsilon of BatchNorm, if it is not 1e-5.
    prefix: of the names of PyTorch's weights; None finds it.

  Raises:
    JaxkdError: if the file is a pickle, is damaged, does not fit, or if the
      model or the spec is missing.
  """
  files = shards.find_files(path)
  for file in files:
    refuse_pickle(file, model, spec)
  path = files[0]
  if path.suffix == f".{ARTEFACT}":
    return _load_artefact(path, model, spec, outputs, output)
  header = read_header(path)
  if {"model", "spec"} <= header.texts.keys():
    return _load_checkpoint(path, model, spec, len(header.shapes))
  if not model or spec is None:
    stored = stored_normaliser(path)
    known = f" It holds a normaliser: {stored.flags}" if stored else ""
    raise JaxkdError(
      f"{path} does not name its network; give --model, --image_shape, "
      f"--num_classes, --mean and --std.{known}"
    )
  if output:
    raise JaxkdError(
      f"--output={output}: {model} has one output; leave the flag out."
    )
  checks.choice("model", model, models.names())
  state = shards.read(files)
  converted = convert(
    model, spec, state.tensors, flatten=flatten, prefix=prefix
  )
  variables = converted.variables
  if epsilon is not None:
    variables = with_epsilon(variables, epsilon)
  classifier = models.from_linen(
    models.create(model, spec),
    variables,
    mean=spec.mean,
    std=spec.std,
    name=model,
  )
  return ImportedModel(
    classifier,
    spec,
    model,
    converted.used,
    notes=(*state.notes, *converted.notes),
  )


def stored_normaliser(path: Path) -> StoredNormaliser | None:
  """Returns the normaliser that a file of PyTorch's weights holds, if any.

  Raises:
    JaxkdError: if the file is missing or damaged.
  """
  files = shards.find_files(path)
  for file in files:
    refuse_pickle(file, "", None)
  if files[0].suffix == f".{ARTEFACT}":
    return None
  return find_normaliser(shards.read(files).tensors, 0)


def refuse_pickle(path: Path, model: str, spec: DataSpec | None) -> None:
  """Refuses a pickle or a zip file, by its name or its first bytes.

  Args:
    path: path of the file.
    model: name in `jaxkd.models`, for the message.
    spec: spec of the inputs, for the message.

  Raises:
    JaxkdError: if the file is missing, a pickle or a zip file; the message has
      the lines that convert it to safetensors.
  """
  if not path.is_file():
    raise JaxkdError(f"There is no file {path}.")
  if not is_pickle(path):
    return
  if spec is None or len(spec.shape) != 3:
    spec = DataSpec("", (32, 32, 3), 10, (0.5,) * 3, (0.5,) * 3)
  height, width, channels = spec.shape
  message = _PICKLE_MESSAGE.format(
    path=path,
    name=json.dumps(path.name),
    weights=json.dumps(f"{path.stem}.safetensors"),
    height=height,
    width=width,
    channels=channels,
    mean=list(spec.mean),
    std=list(spec.std),
    model=model or "resnet18",
    shape=_comma(spec.shape),
    classes=spec.num_classes,
    mean_flag=_comma(spec.mean),
    std_flag=_comma(spec.std),
  )
  raise JaxkdError(message)


def is_pickle(path: Path) -> bool:
  """Returns whether a file is a pickle or a zip file, by name or content."""
  with open(path, "rb") as file:
    start = file.read(9)
  # The first 8 bytes of a safetensors file are a number, which may look like
  # the first bytes of a pickle.
  starts_as_pickle = start[:1] == b"\x80" and start[8:] != b"{"
  return (
    path.suffix in shards.PICKLES
    or starts_as_pickle
    or start[:4] == b"PK\x03\x04"
  )


def _comma(values: tuple) -> str:
  return ",".join(map(str, values))


def _load_artefact(
  path: Path,
  model: str,
  spec: DataSpec | None,
  outputs: str,
  output: str,
) -> ImportedModel:
  if model or spec is None:
    raise JaxkdError(
      f"{path} is a network that was exported whole: leave out --model, "
      "and give --image_shape, --num_classes, --mean and --std."
    )
  if path.stat().st_size > bundle.MAX_ARTEFACT_BYTES:
    raise JaxkdError(
      f"{path} is larger than {bundle.MAX_ARTEFACT_BYTES} bytes, the largest "
      "size of an exported network."
    )
  artefact = path.read_bytes()
  classifier = bundle.artefact_classifier(
    artefact, spec, outputs, output, what=str(path)
  )
  return ImportedModel(classifier, spec, ARTEFACT, artefact=artefact)


def _load_checkpoint(
  path: Path, model: str, spec: DataSpec | None, count: int
) -> ImportedModel:
  classifier, saved_spec = weights.load_classifier(path, model)
  if spec and spec[1:] != saved_spec[1:]:
    raise JaxkdError(
      f"{path} holds {classifier.name} for {saved_spec.shape} and "
      f"{saved_spec.num_classes} classes, mean {saved_spec.mean}, std "
      f"{saved_spec.std}; leave out the flags that say otherwise."
    )
  return ImportedModel(classifier, saved_spec, classifier.name, count)
