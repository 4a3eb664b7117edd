"""Convolutions and max pools in a traced function, and their forms.

Each has a form in `jaxkd.models.cpu` or none, and then stays as it is:
convolutions of one or three dimensions, with dilation, of several types, or of
single channels with several outputs each, and pools over batch or channels.
"""

import functools
from typing import NamedTuple

import jax
import jax.extend.core as jex
from jax.extend.core import primitives
import jax.numpy as jnp

from jaxkd.models.cpu import conv
from jaxkd.models.cpu.depthwise import depthwise_on_cpu
from jaxkd.models.cpu.layouts import Layout
from jaxkd.models.cpu.pool import max_pool
from jaxkd.types import Array

Pair = tuple[int, int]


class Convolution(NamedTuple):
  """A convolution that has a form for the CPU.

  Attributes:
    inputs: layout of its inputs.
    outputs: layout of its outputs.
    kernel_order: axes of rows, columns, inputs and outputs of its kernel.
    strides: of rows and columns.
    padding: low and high padding, of rows and of columns.
    groups: number of groups of channels, each with a kernel of its own.
  """

  inputs: Layout
  outputs: Layout
  kernel_order: tuple[int, int, int, int]
  strides: Pair
  padding: tuple[Pair, Pair]
  groups: int

  def __call__(self, x: Array, kernel: Array) -> Array:
    """Convolves `[B, H, W, C]` with `[i, j, C / groups, O]`."""
    options = {"strides": self.strides, "padding": self.padding}
    if self.groups == 1:
      return conv.convolve(x, kernel, **options)
    if kernel.shape[2] == 1:
      return depthwise_on_cpu(x, kernel, self.strides, self.padding)
    grouped = [
      jnp.moveaxis(array.reshape(*array.shape[:3], self.groups, -1), 3, 0)
      for array in (x, kernel)
    ]
    y = jax.vmap(functools.partial(conv.convolve, **options))(*grouped)
    y = jnp.moveaxis(y, 0, 3)
    return y.reshape(*y.shape[:3], -1)


class Pool(NamedTuple):
  """A max pool that has a form for the CPU.

  Attributes:
    window: rows and columns of the window.
    strides: of rows and columns.
    padding: low and high padding, of rows and of columns.
  """

  window: Pair
  strides: Pair
  padding: tuple[Pair, Pair]

  def __call__(self, x: Array) -> Array:
    """Pools `[B, H, W, C]`."""
    return max_pool(x, self.window, self.strides, self.padding)


def convolution(eqn: jex.JaxprEqn) -> Convolution | None:
  """Returns the convolution of an equation, if it is one that has a form."""
  if eqn.primitive is not primitives.conv_general_dilated_p:
    return None
  x, kernel = (atom.aval for atom in eqn.invars)
  params, numbers = eqn.params, eqn.params["dimension_numbers"]
  groups = params["feature_group_count"]
  into, taps, out = numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec
  if (
    x.ndim != 4
    or params["batch_group_count"] != 1
    or {*params["lhs_dilation"], *params["rhs_dilation"]} != {1}
    or x.dtype != kernel.dtype
    or not jnp.issubdtype(x.dtype, jnp.floating)
    or params["preferred_element_type"] not in (None, x.dtype)
    or (kernel.shape[taps[1]] == 1 and kernel.shape[taps[0]] > groups > 1)
  ):
    return None
  return Convolution(
    Layout(_order(into)),
    Layout(_order(out)),
    (taps[2], taps[3], taps[1], taps[0]),
    tuple(params["window_strides"]),
    tuple(tuple(pad) for pad in params["padding"]),
    groups,
  )


def pool(eqn: jex.JaxprEqn, layout: Layout) -> Pool | None:
  """Returns the max pool of an equation for images with the axes of a layout.

  It is None for equations of other kinds, and for pools that have no form.
  """
  if eqn.primitive is not primitives.reduce_window_max_p:
    return None
  params = eqn.params
  (x,) = (atom.aval for atom in eqn.invars)
  if (
    x.ndim != 4
    or {*params["base_dilation"], *params["window_dilation"]} != {1}
    or not jnp.issubdtype(x.dtype, jnp.floating)
  ):
    return None
  window, strides, padding = (
    tuple(params[name][axis] for axis in layout.order)
    for name in ("window_dimensions", "window_strides", "padding")
  )
  outer = (0, 3)
  if any(
    (window[i], strides[i], tuple(padding[i])) != (1, 1, (0, 0)) for i in outer
  ):
    return None
  pads = tuple(tuple(pad) for pad in padding[1:3])
  return Pool(window[1:3], strides[1:3], pads)


def pool_layout(eqn: jex.JaxprEqn) -> Layout:
  """Returns the order of axes in which an equation can be a pool of images.

  Channels are the last axis or, as in PyTorch, the second.
  """
  window = eqn.params["window_dimensions"]
  channels_second = len(window) == 4 and window[1] == 1 and window[3] > 1
  return Layout((0, 2, 3, 1)) if channels_second else Layout()


def _order(spec: tuple[int, ...]) -> tuple[int, ...]:
  """Returns the axes of batch, rows, columns and channels of a JAX spec."""
  return (spec[0], spec[2], spec[3], spec[1])
