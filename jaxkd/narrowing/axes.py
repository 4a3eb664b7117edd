"""Axes of the values of a network, and how equations move them."""

from collections.abc import Callable
import math
from typing import NamedTuple

import jax.extend.core as jex
import numpy as np

Shape = tuple[int, ...]


class Axis(NamedTuple):
  """An axis with the channels of a group, each several times.

  Attributes:
    group: index of the group.
    outer: times that all channels are repeated.
    inner: times that each channel is repeated in a row.
  """

  group: int
  outer: int = 1
  inner: int = 1


class Value(NamedTuple):
  """What is known of a value of the network.

  Attributes:
    axes: for each axis its channels, if they are known.
    leaf: index of the parameter that the value is, or None.
    order: the parameter's axes in the value.
    layer: index of the layer that has the value as its result, or None.
    uniform: whether all elements are the same number.
  """

  axes: tuple[Axis | None, ...]
  leaf: int | None = None
  order: tuple[int, ...] = ()
  layer: int | None = None
  uniform: bool = False


def is_broadcast(shape: Shape, to: Shape) -> bool:
  """Returns whether elements of a shape are combined with those of another."""
  return not shape or (
    len(shape) == len(to)
    and all(a in (1, b) for a, b in zip(shape, to, strict=True))
  )


def _broadcast(eqn: jex.JaxprEqn, value: Value, shape: Shape) -> Value:
  if not value.axes or value.uniform:
    return Value((None,) * len(shape), uniform=True)
  axes: list[Axis | None] = [None] * len(shape)
  targets = eqn.params["broadcast_dimensions"]
  for axis, target in zip(value.axes, targets, strict=True):
    axes[target] = axis
  # A vector that is added to each position is still the parameter.
  return Value(tuple(axes), value.leaf if len(value.axes) == 1 else None)


def _transpose(eqn: jex.JaxprEqn, value: Value, shape: Shape) -> Value:
  del shape
  order = eqn.params["permutation"]
  axes = tuple(value.axes[axis] for axis in order)
  if value.leaf is None:
    return Value(axes)
  return Value(axes, value.leaf, tuple(value.order[axis] for axis in order))


def _reshape(eqn: jex.JaxprEqn, value: Value, shape: Shape) -> Value:
  before = np.shape(eqn.invars[0].aval)
  axes: list[Axis | None] = [None] * len(shape)
  for old, new in _segments(before, shape):
    labelled = [axis for axis in old if value.axes[axis]]
    large = [axis for axis in new if shape[axis] > 1]
    if len(labelled) == 1 and len(large) == 1:
      (axis,) = labelled
      outer = math.prod(before[i] for i in old if i < axis)
      inner = math.prod(before[i] for i in old if i > axis)
      label = value.axes[axis]
      axes[large[0]] = Axis(
        label.group, outer * label.outer, inner * label.inner
      )
  is_vector = len(value.axes) == 1 and any(axes)
  return Value(tuple(axes), value.leaf if is_vector else None)


def _segments(before: Shape, after: Shape) -> list[tuple[list[int], list[int]]]:
  """Divides the axes of two shapes into shortest runs of equal products."""
  segments = []
  i = j = 0
  while i < len(before) or j < len(after):
    old, new = [], []
    size = other = 1
    while True:
      if i < len(before) and (size <= other or j == len(after)):
        size *= before[i]
        old.append(i)
        i += 1
      elif j < len(after):
        other *= after[j]
        new.append(j)
        j += 1
      if size == other and (
        old and new or i == len(before) and j == len(after)
      ):
        break
    segments.append((old, new))
  return segments


def _reduce(eqn: jex.JaxprEqn, value: Value, shape: Shape) -> Value:
  del shape
  gone = eqn.params["axes"]
  return Value(tuple(a for i, a in enumerate(value.axes) if i not in gone))


def _squeeze(eqn: jex.JaxprEqn, value: Value, shape: Shape) -> Value:
  del shape
  gone = eqn.params["dimensions"]
  return Value(tuple(a for i, a in enumerate(value.axes) if i not in gone))


def _window(eqn: jex.JaxprEqn, value: Value, shape: Shape) -> Value:
  before = np.shape(eqn.invars[0].aval)
  windows = eqn.params.get("window_dimensions", (1,) * len(shape))
  pads = eqn.params.get("padding_config", eqn.params.get("padding"))
  pads = pads or ((0, 0),) * len(shape)
  axes = tuple(
    axis if (old, window, any(pad)) == (new, 1, False) else None
    for axis, old, new, window, pad in zip(
      value.axes, before, shape, windows, pads, strict=True
    )
  )
  return Value(axes)


REDUCTIONS = ("reduce_sum", "reduce_max", "reduce_min")
_WINDOWS = (
  "reduce_window_max", "reduce_window_min", "reduce_window_sum", "pad", "slice",
  "dynamic_slice",
)  # fmt: skip
# Equations of which it is known where the axes of their first operand go.
MOVES: dict[str, Callable[[jex.JaxprEqn, Value, Shape], Value]] = {
  "broadcast_in_dim": _broadcast,
  "transpose": _transpose,
  "reshape": _reshape,
  "squeeze": _squeeze,
  **dict.fromkeys(REDUCTIONS, _reduce),
  **dict.fromkeys(_WINDOWS, _window),
}
