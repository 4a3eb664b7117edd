"""Comparison of a converted PyTorch module with the module itself."""

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch.utils._pytree import tree_map_only

from jaxkd.models.network_outputs import to_logits
from jaxkd.models.torch_conversion import first_line
from jaxkd.types import Array, Classifier, JaxkdError, Variables

# Largest differences from the module: of the logits, relative to the largest
# one, and of the gradient of the inputs, relative to its largest value.
LOGITS_TOLERANCE, GRADIENT_TOLERANCE = 1e-4, 1e-3
_NUM_IMAGES = 3


def compare(network: Classifier, image_shape: tuple[int, int, int]) -> None:
  """Compares a classifier with its module on random images.

  Args:
    network: from `torch_conversion.convert`.
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
    network: from `torch_conversion.convert`.
    images: `[N, H, W, C]`.

  Raises:
    JaxkdError: if the module does not take such images or return logits.
  """
  inputs = np.asarray(network.apply.normalise(jnp.asarray(images)))
  chosen, _ = _module_answers(network, inputs)
  return np.asarray(to_logits(jnp.asarray(chosen), network.apply.outputs.kind))


def _cotangents(shape: tuple[int, ...]) -> np.ndarray:
  """Returns weights of the logits whose weighted sum is differentiated."""
  return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def _module_answers(
  network: Classifier, inputs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Computes the chosen output and gradients of the inputs in PyTorch."""
  images = torch.tensor(np.ascontiguousarray(np.moveaxis(inputs, -1, 1)))
  images.requires_grad_()
  try:
    returned = network.apply.module(images)
  except Exception as error:  # the module may raise anything
    raise JaxkdError(
      f"{network.name!r} does not take images {list(inputs.shape[1:])} "
      f"({first_line(error)}); give image_shape=(H, W, C)."
    ) from error
  output = _choose(network, returned)
  if output.shape[:1] != images.shape[:1] or output.ndim > 2:
    raise JaxkdError(
      f"{network.name!r} returns {list(output.shape)} for {len(inputs)} "
      f"images; wrap it in a module that returns logits [{len(inputs)}, K]."
    )
  cotangents = torch.tensor(_cotangents(tuple(output.shape)))
  try:
    (gradients,) = torch.autograd.grad((output * cotangents).sum(), images)
  except RuntimeError as error:
    raise JaxkdError(
      f"{network.name!r} has no gradient in PyTorch ({first_line(error)}); "
      "ask it as a black box instead, see jaxkd.black_box."
    ) from error
  return output.detach().numpy(), np.moveaxis(gradients.numpy(), 1, -1)


def _choose(network: Classifier, returned: object) -> torch.Tensor:
  """Returns the tensor that `OutputReader.choose` takes, which knows arrays."""
  tensors = []

  def replace(tensor: torch.Tensor) -> Array:
    tensors.append((jnp.asarray(tensor.detach().numpy()), tensor))
    return tensors[-1][0]

  arrays = tree_map_only(torch.Tensor, replace, returned)
  chosen = network.apply.outputs.choose(arrays)
  return next(tensor for array, tensor in tensors if array is chosen)


def _answers(
  network: Classifier, inputs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Computes the chosen output and gradients of the inputs in JAX."""
  apply = network.apply

  @jax.jit
  def both(variables: Variables, inputs: Array) -> tuple[Array, Array]:
    output, pullback = jax.vjp(
      lambda inputs: apply.outputs.choose(apply.returned(variables, inputs)),
      inputs,
    )
    return output, pullback(jnp.asarray(_cotangents(output.shape)))[0]

  try:
    with jax.default_matmul_precision("highest"):
      output, gradients = both(network.variables, inputs)
  except Exception as error:  # torchax and JAX raise many types
    raise JaxkdError(
      f"{network.name!r} can't be translated to JAX ({first_line(error)}). "
      "Its Python code must not depend on values of tensors, and tensors that "
      "it keeps must be parameters or buffers."
    ) from error
  return np.asarray(output), np.asarray(gradients)


def _relative_errors(own: np.ndarray, expected: np.ndarray) -> np.ndarray:
  """Computes each row's largest difference, relative to the largest value."""
  axes = tuple(range(1, expected.ndim))
  largest = max(np.abs(expected).max(), np.finfo(np.float32).tiny)
  return np.abs(own - expected).max(axes) / largest
