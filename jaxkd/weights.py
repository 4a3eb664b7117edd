"""Networks as safetensors files: weights, and what is needed to use them.

Nothing in such a file is executed. Names and shapes are compared with the
model's before anything is allocated.
"""

import hashlib
import json
import os
from pathlib import Path

import flax
import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from jaxkd import models
from jaxkd.types import Classifier, DataSpec, JaxkdError


def save(
  path: Path, classifier: Classifier, spec: DataSpec, model: str
) -> None:
  """Writes parameters and batch statistics to `path`, all or nothing; the same
  ones always as the same bytes.

  Args:
    path: of the file; its folder is made.
    classifier: whose variables are written, as `params/layer/kernel` and so on.
    spec: of the inputs, kept in the header.
    model: name in `jaxkd.models`, kept in the header.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  tensors = {
    name: np.asarray(leaf) for name, leaf in _flat(classifier.variables).items()
  }
  partial = path.with_name(f".{path.name}.{os.getpid()}")
  header = {"model": model, "spec": json.dumps(spec._asdict())}
  with open(partial, "wb") as file:
    file.write(_sorted(to_bytes(tensors, metadata=header)))
    file.flush()
    os.fsync(file.fileno())
  os.replace(partial, path)


def load_classifier(path: str | Path) -> tuple[Classifier, DataSpec]:
  """The classifier in `path`, and what its inputs look like.

  Raises:
    JaxkdError: if the file is missing or damaged, is no jaxkd classifier, or
      its tensors are not exactly the model's, or not finite.
  """
  path = Path(path)
  if not path.exists():
    raise JaxkdError(f"There is no checkpoint {path}.")
  try:
    with safe_open(path, framework="np") as file:
      header = file.metadata() or {}
      if not {"model", "spec"} <= header.keys():
        raise JaxkdError(
          f"{path} was not written by jaxkd: its header names no model. Hand "
          "such a model to jaxkd.distill as jaxkd.from_linen(...)."
        )
      fields = json.loads(header["spec"])
      spec = DataSpec(
        **{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
      )
      expected = _flat(models.shapes(header["model"], spec))
      found = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
      wrong = [
        name
        for name in sorted(expected.keys() | found.keys())
        if name not in expected
        or name not in found
        or tuple(found[name]) != expected[name].shape
      ]
      if wrong:
        raise JaxkdError(
          f"{path} does not fit {header['model']}: {', '.join(wrong[:3])} "
          f"({len(wrong)} tensors missing, unknown or of another shape)."
        )
      tensors = {name: file.get_tensor(name) for name in found}
  except (SafetensorError, json.JSONDecodeError, TypeError) as error:
    raise JaxkdError(
      f"{path} is damaged or no safetensors file: {error}."
    ) from (error)
  for name, tensor in tensors.items():
    if not np.isfinite(tensor).all():
      raise JaxkdError(f"{path}: {name} has values that are not finite.")
  variables = flax.traverse_util.unflatten_dict(tensors, sep="/")
  module = models.create(header["model"], spec)
  classifier = models.from_linen(
    module,
    jax.tree.map(jax.numpy.asarray, variables),
    mean=spec.mean,
    std=spec.std,
    name=header["model"],
  )
  return classifier, spec


def _sorted(file: bytes) -> bytes:
  """A safetensors file with its header in alphabetical order; the library
  writes the header's texts in another order each time.
  """
  end = 8 + int.from_bytes(file[:8], "little")
  header = json.dumps(json.loads(file[8:end]), sort_keys=True).encode()
  header += b" " * (-len(header) % 8)  # the tensors stay aligned
  return len(header).to_bytes(8, "little") + header + file[end:]


def digest(classifier: Classifier) -> str:
  """Names a classifier by its weights."""
  found = hashlib.sha256()
  for leaf in jax.tree.leaves(classifier.variables):
    found.update(np.ascontiguousarray(leaf).tobytes())
  return found.hexdigest()[:16]


def _flat(variables) -> dict:
  return flax.traverse_util.flatten_dict(variables, sep="/")
