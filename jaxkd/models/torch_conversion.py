"""Conversion of PyTorch modules; it imports PyTorch, the extra `torch`."""

from collections.abc import Mapping
import copy
from dataclasses import dataclass
import functools

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torchax.tensor import Environment, Tensor

from jaxkd.models import batch_norms
from jaxkd.models.apply_functions import Normaliser
from jaxkd.models.cpu.interpreter import with_cpu_forms
from jaxkd.models.network_outputs import OutputReader
from jaxkd.types import Array, Classifier, JaxkdError, Outputs, Variables

# Sides of images that are tried where the user gives none.
_SIDES = (32, 224, 28, 64, 16, 96, 128, 299, 384)


@dataclass(frozen=True)
class TorchApply:
  """Applies a PyTorch module to images.

  Attributes:
    normalise: applied to the images first.
    module: in evaluation mode, the same in training; its own parameters and
      buffers are replaced by the variables.
    outputs: takes the logits out of what the module returns.
  """

  normalise: Normaliser
  module: torch.nn.Module
  outputs: OutputReader

  def __call__(
    self,
    variables: Variables,
    images: Array,
    *,
    train: bool = False,
    rng: Array | None = None,
  ) -> tuple[Outputs, Variables]:
    del train, rng
    return with_cpu_forms(self._outputs)(variables, images), {}

  def _outputs(self, variables: Variables, images: Array) -> Outputs:
    return self.outputs(self.returned(variables, self.normalise(images)))

  def returned(self, variables: Variables, inputs: Array) -> object:
    """Returns what the module returns for normalised images `[B, H, W, C]`, as
    JAX's arrays.
    """
    environment = _environment()
    arrays = {**variables["params"], **variables["buffers"]}
    named = {
      name: jnp.asarray(arrays[first])
      for name, first in _first_names(self.module).items()
    }
    images = jnp.moveaxis(jnp.asarray(inputs), -1, 1)
    tensors, images = environment.j2t_iso((named, images))
    # Tensors that the module makes become JAX's, and a module that draws random
    # numbers leaves no traced key behind.
    with (
      environment,
      environment.override_property(prng=jax.random.key(0)),
      torch.device("jax"),
    ):
      returned = torch.func.functional_call(
        self.module, tensors, (images,), tie_weights=False
      )
      return environment.t2j_iso(environment.v2t_iso(returned))


def _first_names(module: torch.nn.Module) -> dict[str, str]:
  """Returns the first name of each parameter and buffer, by all its names.

  They differ where tensors are tied. PyTorch itself can tie them too, but then
  keeps the replaced tensors of a layer that is used twice.
  """
  first: dict[int, str] = {}
  names = {}
  for prefix, layer in module.named_modules(remove_duplicate=True):
    for name, tensor in (*layer._parameters.items(), *layer._buffers.items()):
      if tensor is not None:
        name = f"{prefix}.{name}" if prefix else name
        names[name] = first.setdefault(id(tensor), name)
  return names


@functools.cache
def _environment() -> Environment:
  return Environment()


def convert(
  module: torch.nn.Module,
  normaliser: Normaliser,
  outputs: OutputReader,
  name: str,
) -> Classifier:
  """Creates a classifier from a module, without comparing them.

  Args:
    module: takes normalised images `[B, C, H, W]`.
    normaliser: applied to the images first.
    outputs: takes the logits out of what the module returns.
    name: for messages and reports.

  Raises:
    JaxkdError: if it is no module, or one that can't be copied.
  """
  if not isinstance(module, torch.nn.Module):
    raise JaxkdError(
      f"from_torch takes a torch.nn.Module, not a {type(module).__name__}."
    )
  # torch.compile wraps a module.
  module = getattr(module, "_orig_mod", module)
  try:
    module = copy.deepcopy(module)
  except Exception as error:  # the module may define how it is copied
    raise JaxkdError(
      f"{name!r} can't be copied ({first_line(error)}); remove weight_norm "
      "and other attributes that are computed from parameters."
    ) from error
  for layer in module.modules():
    _prepare(layer)
  module.cpu().float().eval().requires_grad_(False)
  variables = {
    "params": {n: _to_jax(t) for n, t in module.named_parameters()},
    "buffers": {n: _to_jax(t) for n, t in module.named_buffers()},
  }
  return Classifier(variables, TorchApply(normaliser, module, outputs), name)


def _prepare(layer: torch.nn.Module) -> None:
  """Makes plain tensors of a layer buffers, and batch normalisations report."""
  for name, value in list(vars(layer).items()):
    if isinstance(value, torch.Tensor):
      delattr(layer, name)
      layer.register_buffer(name, value.detach(), persistent=False)
  if isinstance(layer, _BatchNorm):
    layer.register_forward_pre_hook(_report, with_kwargs=True)


def _report(layer: _BatchNorm, args: tuple, kwargs: dict) -> None:
  (inputs,) = (*args, *kwargs.values())
  if isinstance(inputs, Tensor) and layer.running_mean is not None:
    batch_norms.report(
      inputs.jax(), layer.running_mean.jax(), layer.running_var.jax(), axis=1
    )


def _to_jax(tensor: torch.Tensor) -> Array:
  array = tensor.detach().numpy()
  return jnp.array(array, jnp.int32 if array.dtype == np.int64 else array.dtype)


def find_image_shape(network: Classifier) -> tuple[int, int, int]:
  """Returns the first `[H, W, C]` of usual sides that the module takes.

  Args:
    network: from `convert`.

  Raises:
    JaxkdError: if it takes none of them.
  """
  module, mean = network.apply.module, network.apply.normalise.mean or ()
  convolutions = (
    layer.in_channels
    for layer in module.modules()
    if isinstance(layer, torch.nn.Conv2d)
  )
  channels = len(mean) if len(mean) > 1 else next(convolutions, len(mean) or 3)
  for side in _SIDES:
    try:
      with torch.no_grad():
        module(torch.zeros(2, channels, side, side))
    except Exception:  # noqa: S112 (the module may raise anything)
      continue
    return side, side, channels
  raise JaxkdError(
    f"{network.name!r} takes images of none of the sides "
    f"{', '.join(map(str, _SIDES))} with {channels} channels; give "
    "image_shape=(H, W, C)."
  )


@functools.cache
def read_on_cpu() -> None:
  """Lets `torch.load` read tensors of any device into the CPU's memory.

  Checkpoints are saved where a network was trained, and modules are converted
  on the CPU. `map_location` still decides where it is given.
  """

  def keep(storage: object, location: str) -> object:
    return None if location in ("cpu", "meta") else storage

  # After the CPU's, which has 10, and before those of devices, from 20 on.
  torch.serialization.register_package(15, lambda storage: None, keep)


def set_state(
  module: torch.nn.Module, arrays: Mapping[str, np.ndarray]
) -> None:
  """Sets the parameters and buffers of a module that have these names."""
  tensors = {name: torch.tensor(array) for name, array in arrays.items()}
  module.load_state_dict(tensors, strict=False)


def first_line(error: Exception) -> str:
  """Returns an error as a line of at most 300 characters."""
  return f"{type(error).__name__}: {error}".splitlines()[0][:300]
