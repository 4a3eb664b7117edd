"""Conversion of PyTorch modules; it imports PyTorch, the extra `torch`."""

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
from jaxkd.types import Array, Classifier, JaxkdError, Outputs, Variables

# Largest differences from the module: of the logits, relative to the largest
# one, and of the gradient of the inputs, relative to its largest value.
LOGITS_TOLERANCE, GRADIENT_TOLERANCE = 1e-4, 1e-3
_NUM_IMAGES = 3  # of a comparison
# Sides of images that are tried where the user gives none.
_SIDES = (32, 224, 28, 64, 16, 96, 128, 299, 384)


@dataclass(frozen=True)
class TorchApply:
  """Applies a PyTorch module to images.

  Attributes:
    normalise: applied to the images first.
    module: in evaluation mode, the same in training; its own parameters and
      buffers are replaced by the variables.
  """

  normalise: Normaliser
  module: torch.nn.Module

  def __call__(
    self,
    variables: Variables,
    images: Array,
    *,
    train: bool = False,
    rng: Array | None = None,
  ) -> tuple[Outputs, Variables]:
    del train, rng
    return Outputs(self.logits(variables, self.normalise(images))), {}

  def logits(self, variables: Variables, inputs: Array) -> Array:
    """Maps normalised images `[B, H, W, C]` to logits `[B, K]`."""
    environment = _environment()
    tensors, images = environment.j2t_iso(
      (
        {**variables["params"], **variables["buffers"]},
        jnp.moveaxis(inputs, -1, 1),
      )
    )
    # Tensors that the module makes become JAX's, and a module that draws random
    # numbers leaves no traced key behind.
    with (
      environment,
      environment.override_property(prng=jax.random.key(0)),
      torch.device("jax"),
    ):
      logits = torch.func.functional_call(self.module, tensors, (images,))
      return logits.jax()


@functools.cache
def _environment() -> Environment:
  return Environment()


def convert(
  module: torch.nn.Module, normaliser: Normaliser, name: str
) -> Classifier:
  """Creates a classifier from a module, without comparing them.

  Args:
    module: takes normalised images `[B, C, H, W]` and returns logits.
    normaliser: applied to the images first.
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
      f"{name!r} can't be copied ({_first_line(error)}); remove weight_norm "
      "and other attributes that are computed from parameters."
    ) from error
  for layer in module.modules():
    _prepare(layer)
  module.cpu().float().eval().requires_grad_(False)
  variables = {
    "params": {n: _to_jax(t) for n, t in module.named_parameters()},
    "buffers": {n: _to_jax(t) for n, t in module.named_buffers()},
  }
  return Classifier(variables, TorchApply(normaliser, module), name)


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


def compare(network: Classifier, image_shape: tuple[int, int, int]) -> None:
  """Compares a classifier with its module on random images.

  Args:
    network: from `convert`.
    image_shape: `[H, W, C]` of the images.

  Raises:
    JaxkdError: if the module does not take such images, does not return logits,
      or can't be translated, or if they differ.
  """
  draw = np.random.default_rng(0)
  images = draw.random((_NUM_IMAGES, *image_shape), np.float32)
  inputs = np.asarray(network.apply.normalise(jnp.asarray(images)))
  expected = _module_answers(network, inputs)
  answers = _answers(network, inputs)
  logits_error, gradient_error = (
    _relative_errors(own, other)
    for own, other in zip(answers, expected, strict=True)
  )
  # At the kink of an activation rounding may change the gradient of an image,
  # hence the best image. A wrong translation is wrong for all of them.
  logits_error, gradient_error = logits_error.max(), gradient_error.min()
  if not (
    logits_error <= LOGITS_TOLERANCE and gradient_error <= GRADIENT_TOLERANCE
  ):
    raise JaxkdError(
      f"{network.name!r} computes something else in JAX than in PyTorch: its "
      f"logits differ by {logits_error:.2g} of the largest "
      f"({LOGITS_TOLERANCE:g} is allowed), the gradient of its inputs by "
      f"{gradient_error:.2g} ({GRADIENT_TOLERANCE:g}). Random numbers and "
      "batch statistics in evaluation mode can't be converted."
    )


def answer(network: Classifier, images: np.ndarray) -> np.ndarray:
  """Computes the module's own logits `[N, K]` for images in [0, 1].

  Args:
    network: from `convert`.
    images: `[N, H, W, C]`.

  Raises:
    JaxkdError: if the module does not take such images or return logits.
  """
  inputs = np.asarray(network.apply.normalise(jnp.asarray(images)))
  return _module_answers(network, inputs)[0]


def _cotangents(shape: tuple[int, ...]) -> np.ndarray:
  """Returns weights of the logits whose weighted sum is differentiated."""
  return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def _module_answers(
  network: Classifier, inputs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Computes logits and gradients of the inputs in PyTorch."""
  images = torch.tensor(np.ascontiguousarray(np.moveaxis(inputs, -1, 1)))
  images.requires_grad_()
  try:
    logits = network.apply.module(images)
  except Exception as error:  # the module may raise anything
    raise JaxkdError(
      f"{network.name!r} does not take images {list(inputs.shape[1:])} "
      f"({_first_line(error)}); give image_shape=(H, W, C)."
    ) from error
  if not isinstance(logits, torch.Tensor) or logits.shape[:1] + (
    logits.ndim,
  ) != (len(inputs), 2):
    raise JaxkdError(
      f"{network.name!r} returns {_describe(logits)} for {len(inputs)} images; "
      f"wrap it in a module that returns logits [{len(inputs)}, K]."
    )
  cotangents = torch.tensor(_cotangents(tuple(logits.shape)))
  try:
    (gradients,) = torch.autograd.grad((logits * cotangents).sum(), images)
  except RuntimeError as error:
    raise JaxkdError(
      f"{network.name!r} has no gradient in PyTorch ({_first_line(error)}); "
      "ask it as a black box instead, see jaxkd.black_box."
    ) from error
  return (
    logits.detach().numpy(),
    np.moveaxis(gradients.numpy(), 1, -1),
  )


def _describe(returned: object) -> str:
  if isinstance(returned, torch.Tensor):
    return f"a tensor {list(returned.shape)}"
  return f"a {type(returned).__name__}"


def _answers(
  network: Classifier, inputs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Computes logits and gradients of the inputs in JAX."""

  @jax.jit
  def both(variables: Variables, inputs: Array) -> tuple[Array, Array]:
    logits, pullback = jax.vjp(
      functools.partial(network.apply.logits, variables), inputs
    )
    return logits, pullback(jnp.asarray(_cotangents(logits.shape)))[0]

  try:
    with jax.default_matmul_precision("highest"):
      logits, gradients = both(network.variables, inputs)
  except Exception as error:  # torchax and JAX raise many types
    raise JaxkdError(
      f"{network.name!r} can't be translated to JAX ({_first_line(error)}). "
      "Its Python code must not depend on values of tensors, and tensors that "
      "it keeps must be parameters or buffers."
    ) from error
  return np.asarray(logits), np.asarray(gradients)


def _relative_errors(own: np.ndarray, expected: np.ndarray) -> np.ndarray:
  """Computes each row's largest difference, relative to the largest value."""
  axes = tuple(range(1, expected.ndim))
  largest = max(np.abs(expected).max(), np.finfo(np.float32).tiny)
  return np.abs(own - expected).max(axes) / largest


def _first_line(error: Exception) -> str:
  return f"{type(error).__name__}: {error}".splitlines()[0][:200]
