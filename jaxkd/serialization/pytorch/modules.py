"""PyTorch modules that a function of the user makes, and their weights."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jaxkd.config import user_code
from jaxkd.models import pytorch
from jaxkd.runtime.formatting import first_three
from jaxkd.serialization import shards
from jaxkd.serialization.imported import is_pickle
from jaxkd.serialization.pytorch.extra_tensors import (
  COUNTER,
  is_named_by_training,
)
from jaxkd.serialization.pytorch.normalisers import find_normaliser
from jaxkd.serialization.pytorch.parametrisations import (
  are_parametrised,
  computed_weights,
)
from jaxkd.serialization.pytorch.state_dicts import select
from jaxkd.serialization.pytorch.tensor_names import unwrapped, without_wrappers
from jaxkd.types import DataSpec, JaxkdError

if TYPE_CHECKING:
  import torch


def load(
  function: str, weights: Path | None, spec: DataSpec
) -> "torch.nn.Module":
  """Calls a function of the user and loads weights into what it returns.

  Args:
    function: `module:function`, without arguments, which returns a
      `torch.nn.Module`.
    weights: safetensors file with the names of the module's state dict; None
      leaves the module as it is.
    spec: spec of the inputs, for a normaliser among the weights.

  Raises:
    JaxkdError: if PyTorch is missing, if the function fails or returns
      something else, or if the weights are not those of the module.
  """
  conversion, _ = pytorch.import_conversion()
  conversion.read_on_cpu()
  call = user_code.load_function("--torch", function)
  try:
    module = call()
  except Exception as error:  # the user's code may raise anything
    raise JaxkdError(
      f"--torch={function} failed: {conversion.first_line(error)}"
    ) from error
  if not hasattr(module, "state_dict"):
    raise JaxkdError(
      f"--torch={function} returned a {type(module).__name__}; it must return "
      "a torch.nn.Module."
    )
  if weights:
    conversion.set_state(module, _read(weights, function, module, spec))
  return module


def _read(
  path: Path, function: str, module: "torch.nn.Module", spec: DataSpec
) -> dict[str, np.ndarray]:
  """Reads the tensors of a module.

  Raises:
    JaxkdError: if tensors are missing, not used or of another shape, or if
      there is a normaliser that neither the module nor the spec has.
  """
  files = shards.find_files(path)
  if any(file.is_file() and is_pickle(file) for file in files):
    raise JaxkdError(
      f"--weights={path} is a pickle, which is not read here. Load it in "
      f"{function}: net.load_state_dict(torch.load(PATH, weights_only=True))."
    )
  state = {
    unwrapped(name): (name, tensor)
    for name, tensor in module.state_dict().items()
    if not name.endswith(f".{COUNTER}") and not is_named_by_training(name)
  }
  tensors = without_wrappers(shards.read(files).tensors)
  if not are_parametrised(state.keys()):
    tensors, _ = computed_weights(tensors)
  selection = select(tensors, state.keys())
  unused = {selection.prefix + name: name for name in selection.unused}
  others = {name: tensors[name] for name in (*unused, *selection.outside)}
  normaliser = find_normaliser(others, spec.shape[-1])
  if normaliser:
    normaliser.check(spec)
    for name in normaliser.names:
      unused.pop(name, None)
  given = {state[name][1].data_ptr() for name in selection.tensors}
  problems = {
    # Of tensors that are tied one is enough.
    " missing": [
      name
      for name in selection.missing
      if state[name][1].data_ptr() not in given
    ],
    " not used": list(unused.values()),
    " of another shape": [
      name
      for name, tensor in selection.tensors.items()
      if tensor.shape != tuple(state[name][1].shape)
    ],
  }
  parts = [
    f"{first_three(names)}{what}" for what, names in problems.items() if names
  ]
  if parts:
    raise JaxkdError(
      f"--weights={path} does not fit {function}: {'; '.join(parts)}."
    )
  return {state[name][0]: each for name, each in selection.tensors.items()}
