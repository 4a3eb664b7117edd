"""Classifiers as safetensors files: their variables, model name and spec.

Reading such a file runs no code. Names and shapes are compared with the model's
before anything is allocated.
"""

import hashlib
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save as to_bytes

from jaxkd import models
from jaxkd.config import user_code
from jaxkd.runtime import buckets, processes
from jaxkd.runtime.files import write_bytes
from jaxkd.serialization.data_spec import check_spec, spec_of
from jaxkd.serialization.safetensors_io import (
  read_header,
  read_json,
  read_tensors,
)
from jaxkd.types import Array, Classifier, DataSpec, JaxkdError, Variables


def save(
  path: Path, classifier: Classifier, spec: DataSpec, model: str
) -> None:
  """Calls `write` on the first process; the others wait until it is done."""
  with processes.raise_on_all():
    if processes.is_primary():
      write(path, classifier, spec, model)


def write(
  path: Path, classifier: Classifier, spec: DataSpec, model: str
) -> None:
  """Writes a classifier atomically; equal variables give equal bytes.

  Args:
    path: path of the file; missing folders are made.
    classifier: the classifier whose variables are written, under names such as
      `params/layer/kernel`.
    spec: spec of the inputs, stored in the header.
    model: name that `jaxkd.models.init` takes, stored in the header.

  Raises:
    JaxkdError: if `load_classifier` would refuse the spec, or if the file
      cannot be written.
  """
  check_spec(spec, str(path))
  tensors = {
    # The writer ignores strides, so arrays have to be contiguous.
    name: np.asarray(leaf, order="C")
    for name, leaf in _flat(classifier.variables).items()
  }
  header = {"model": model, "spec": json.dumps(spec._asdict())}
  write_bytes(path, _sorted(to_bytes(tensors, metadata=header)))


def load_classifier(
  path: str | Path, model: str = ""
) -> tuple[Classifier, DataSpec]:
  """Loads the classifier in a file, and the spec of its inputs.

  Args:
    path: path of the file.
    model: `module:function` that builds the network, if it is the user's own;
      a name in a file is not imported. It may differ from the name in the file
      if the tensors fit.

  Raises:
    JaxkdError: if the file is missing or damaged, was not written by jaxkd, or
      if its tensors are not exactly the model's, or not finite; if the file
      names a function and `model` does not, or another network of this package.
  """
  path = Path(path)
  if not processes.is_primary():
    buckets.fetch(path)
  if not path.exists():
    raise JaxkdError(f"There is no checkpoint {path}.")
  header = read_header(path)
  if not {"model", "spec"} <= header.texts.keys():
    raise JaxkdError(
      f"{path} was not written by jaxkd: its header names no model. Import "
      "such weights with python -m jaxkd.import_teacher, or pass the network "
      "to jaxkd.distill as jaxkd.from_linen(...)."
    )
  model = trusted_model(path, header.texts["model"], model)
  try:
    fields = read_json(header.texts["spec"])
  except (ValueError, RecursionError) as error:
    raise JaxkdError(f"{path} is damaged: {error}.") from error
  spec = spec_of(fields, str(path))
  network = models.abstract(model, spec)
  expected, shapes = _flat(network.variables), header.shapes
  wrong = [
    name
    for name in sorted(expected.keys() | shapes.keys())
    if name not in expected
    or name not in shapes
    or shapes[name] != expected[name].shape
    or header.dtypes[name] != _format_dtype(expected[name].dtype)
  ]
  if wrong:
    raise JaxkdError(
      f"{path} does not fit {model}: {', '.join(wrong[:3])} ({len(wrong)} "
      "tensors missing, unknown, or of another shape or dtype)."
    )
  tensors = read_tensors(path)
  variables = jax.tree.unflatten(
    jax.tree.structure(network.variables),
    [jnp.asarray(tensors[name]) for name in expected],
  )
  return network.replace(variables=variables), spec


def trusted_model(path: Path, stored: str, model: str) -> str:
  """Returns the name of the network to build for a file.

  Args:
    path: path of the file, for messages.
    stored: the name that the file holds.
    model: the name that the caller gives; empty for none.

  Raises:
    JaxkdError: if the file names a function and the caller does not, or if they
      name two networks of this package.
  """
  if not user_code.is_function(stored):
    if model not in ("", stored):
      raise JaxkdError(f"{path} holds {stored!r}, not {model!r}.")
    return stored
  if not user_code.is_function(model):
    raise JaxkdError(
      f"{path} holds a network that {stored} builds, and a name in a file is "
      f"not imported. If you trust that code, name it: teacher.model={stored} "
      f"in a config, --model={stored} on the command line, model={stored!r} in "
      "Python."
    )
  return model


def _sorted(file: bytes) -> bytes:
  """Sorts the header of a safetensors file.

  The library writes its metadata in another order each time.
  """
  end = 8 + int.from_bytes(file[:8], "little")
  header = json.dumps(json.loads(file[8:end]), sort_keys=True).encode()
  header += b" " * (-len(header) % 8)  # the tensors stay aligned
  return len(header).to_bytes(8, "little") + header + file[end:]


def digest(classifier: Classifier) -> str:
  """Returns a hash of a classifier's variables, 16 hex digits."""
  sha256 = hashlib.sha256()
  for leaf in jax.tree.leaves(classifier.variables):
    sha256.update(np.ascontiguousarray(leaf).tobytes())
  return sha256.hexdigest()[:16]


def _flat(variables: Variables) -> dict[str, Array]:
  # In the order of the tree's leaves; keys may be numbers, as of nnx.List.
  return {
    jax.tree_util.keystr(path, simple=True, separator="/"): leaf
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables)
  }


def _format_dtype(dtype: np.dtype) -> str:
  # Names of the safetensors format: F32, I32, U32, BOOL.
  if dtype == np.bool_:
    return "BOOL"
  return f"{dtype.kind.upper()}{8 * dtype.itemsize}"
