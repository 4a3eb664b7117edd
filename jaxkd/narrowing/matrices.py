"""Convolutions and products with a parameter, as products of matrices.

Rows are positions of images, columns of the inputs are channels with the taps
of the kernel, columns of the outputs are channels.
"""

import math
from typing import NamedTuple

from jax import lax
import jax.extend.core as jex
from jax.extend.core import primitives
import jax.numpy as jnp
import numpy as np

from jaxkd.types import Array


class Product(NamedTuple):
  """How the operands of an equation are matrices.

  Attributes:
    eqn: the equation; its operands are inputs and kernel.
    inputs: axes of the inputs that are summed.
    kernel: axes of the kernel that are summed; the first is that of channels.
    outputs: axes of the kernel that stay.
  """

  eqn: jex.JaxprEqn
  inputs: tuple[int, ...]
  kernel: tuple[int, ...]
  outputs: tuple[int, ...]

  @property
  def is_convolution(self) -> bool:
    return self.eqn.primitive is primitives.conv_general_dilated_p

  @property
  def num_columns(self) -> int:
    """The number D of inputs of a result."""
    shape = self.eqn.invars[1].aval.shape
    return math.prod(shape[axis] for axis in self.kernel)

  def rows(self, x: Array) -> Array:
    """Returns the inputs as a matrix `[R, D]`."""
    if not self.is_convolution:
      last = [*(i for i in range(x.ndim) if i not in self.inputs), *self.inputs]
      count = np.prod([x.shape[i] for i in self.inputs], dtype=int)
      return x.transpose(last).reshape(-1, count)
    params, kernel = self.eqn.params, self.eqn.invars[1].aval.shape
    numbers = params["dimension_numbers"]
    # Columns are in the order of channels, rows and columns of the kernel.
    patches = lax.conv_general_dilated_patches(
      x,
      [kernel[axis] for axis in numbers.rhs_spec[2:]],
      params["window_strides"],
      params["padding"],
      params["lhs_dilation"],
      params["rhs_dilation"],
      numbers,
    )
    return self._channels_last(patches)

  def columns(self, y: Array) -> Array:
    """Returns the outputs `[R, *channels]`, with an axis for each of theirs."""
    if self.is_convolution:
      return self._channels_last(y)
    return y.reshape(-1, *y.shape[y.ndim - len(self.outputs) :])

  def result_axis(self, ndim: int) -> int:
    """Returns the axis of the channels in results of `ndim` axes."""
    if self.is_convolution:
      return self.eqn.params["dimension_numbers"].out_spec[1]
    return ndim - 1

  def matrix(self, kernel: Array) -> np.ndarray:
    """Returns the kernel as a matrix `[D, O]`."""
    moved = np.asarray(kernel).transpose(*self.kernel, *self.outputs)
    count = np.prod(moved.shape[: len(self.kernel)], dtype=int)
    return moved.reshape(count, -1)

  def kernel_of(self, matrix: np.ndarray) -> Array:
    """Returns the kernel of a matrix `[D, O]`."""
    shape = self.eqn.invars[1].aval.shape
    order = (*self.kernel, *self.outputs)
    moved = matrix.reshape([shape[axis] for axis in order])
    return jnp.asarray(moved.transpose(np.argsort(order)), jnp.float32)

  def _channels_last(self, y: Array) -> Array:
    numbers = self.eqn.params["dimension_numbers"]
    y = jnp.moveaxis(y, numbers.out_spec[1], -1)
    return y.reshape(-1, y.shape[-1])


def is_linear(eqn: jex.JaxprEqn) -> bool:
  """Returns whether an equation is a convolution or a product of matrices."""
  return eqn.primitive in (
    primitives.conv_general_dilated_p,
    primitives.dot_general_p,
  )


def product(eqn: jex.JaxprEqn) -> Product | None:
  """Returns how an equation is a product; None if it is another.

  Its second operand is taken for the kernel. Convolutions of groups of channels
  and products of stacked matrices are none.
  """
  params = eqn.params
  if eqn.primitive is primitives.dot_general_p:
    (inputs, kernel), (batch, _) = params["dimension_numbers"]
    if batch or 0 in inputs:
      return None
    axes = range(eqn.invars[1].aval.ndim)
    outputs = tuple(axis for axis in axes if axis not in kernel)
    return Product(eqn, tuple(inputs), tuple(kernel), outputs)
  if eqn.primitive is not primitives.conv_general_dilated_p:
    return None
  numbers = params["dimension_numbers"]
  groups = params["feature_group_count"] * params["batch_group_count"]
  if groups != 1 or numbers.lhs_spec[0] != 0 or numbers.out_spec[0] != 0:
    return None
  out, into, *taps = numbers.rhs_spec
  return Product(eqn, (numbers.lhs_spec[1],), (into, *taps), (out,))
