"""Which axes of a network's parameters belong to the same channels.

The kernel that makes channels, the parameters that normalise them and the
kernels that read them must keep the same ones. The network is traced, and each
axis of each value is followed through its equations.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.extend.core as jex
from jax.extend.core import primitives
import numpy as np

from jaxkd.narrowing import equations
from jaxkd.narrowing.axes import (
  MOVES,
  WINDOWS,
  Axis,
  Shape,
  Value,
  is_broadcast,
  same_sizes,
)
from jaxkd.narrowing.matrices import Product, is_linear, product
from jaxkd.types import Array, Classifier

# Equations of one operand that keep its shape, but not each element's place.
_MIXING = {"rev", "sort", "cumsum", "cumprod", "cummax", "cummin"}


class Layer(NamedTuple):
  """A convolution or matrix product with a parameter.

  Attributes:
    product: its operands as matrices.
    kernel: index of the parameter.
    order: axes of the parameter in the kernel.
    channels: the channels that it reads.
  """

  product: Product
  kernel: int
  order: tuple[int, ...]
  channels: Axis | None


class Channels:
  """The channels of a network's parameters.

  Attributes:
    layers: in the order in which they are applied, None for convolutions and
      products that have no parameter or have it in another form.
    shifts: by the number of a layer, the parameter that is added to its result
      and the sign.
    unknown: groups of which not all places were found.
  """

  def __init__(self, classifier: Classifier, images: Array):
    self.layers: list[Layer | None] = []
    self.shifts: dict[int, tuple[int, int]] = {}
    self.unknown: set[int] = set()
    self._parents: list[int] = []
    self._repeated: dict[int, Axis] = {}  # groups that are others, repeated
    leaves = jax.tree.leaves(classifier.variables)
    self._leaves = [self._new(np.shape(leaf)) for leaf in leaves]
    arguments = [
      Value(axes, index, tuple(range(len(axes))))
      for index, axes in enumerate(self._leaves)
    ]
    picture = (*[None] * (images.ndim - 1), self._new(images.shape)[-1])
    equations.evaluate(
      equations.trace(classifier, images),
      [*arguments, Value(picture)],
      self._rule,
      lambda array: Value((None,) * np.ndim(array)),
    )
    self.unknown = {self.resolve(Axis(group)).group for group in self.unknown}

  def leaf_axes(self, leaf: int) -> tuple[Axis | None, ...]:
    """Returns the channels of a parameter's axes, None where there is one."""
    return tuple(axis and self.resolve(axis) for axis in self._leaves[leaf])

  def resolve(self, axis: Axis) -> Axis:
    """Returns an axis by the group that its group was joined with."""
    group = self.root(axis.group)
    if group not in self._repeated:
      return axis._replace(group=group)
    group, outer, inner = self._repeated[group]
    return self.resolve(Axis(group, axis.outer * outer, inner * axis.inner))

  def root(self, group: int) -> int:
    """Returns the number of the group that a group was joined with."""
    while self._parents[group] != group:
      group = self._parents[group]
    return group

  def _new(self, shape: Sequence[int]) -> tuple[Axis | None, ...]:
    """Returns axes with a group each; an axis of one element has none."""
    axes = []
    for size in shape:
      axes.append(Axis(len(self._parents)) if size > 1 else None)
      self._parents += [len(self._parents)] * (size > 1)
    return tuple(axes)

  def _join(self, *axes: Axis | None) -> Axis | None:
    """Says that axes have the same channels, and returns one of them."""
    known = [axis for axis in axes if axis is not None]
    if not known:
      return None
    first, *others = map(self.resolve, known)
    for other in others:
      if other[1:] == first[1:]:
        self._parents[other.group] = first.group
      elif first[1:] == (1, 1):  # as the inputs of a layer after flattening
        self._repeated[first.group] = other
      elif other[1:] == (1, 1):
        self._repeated[other.group] = first
      else:
        self.unknown |= {first.group, other.group}
      first = self.resolve(first)
    if len(known) < len(axes):
      self.unknown |= {axis.group for axis in known}
    return first

  def _rule(self, eqn: jex.JaxprEqn, operands: list[Value]) -> list[Value]:
    if is_linear(eqn):
      return [self._linear(eqn, *operands)]
    shapes = [np.shape(atom.aval) for atom in eqn.invars]
    outputs = [np.shape(var.aval) for var in eqn.outvars]
    if eqn.primitive.name not in _MIXING and all(
      is_broadcast(shape, outputs[0]) for shape in (*shapes, *outputs)
    ):
      value = self._elementwise(eqn, operands, shapes, outputs[0])
      return [value] * len(outputs)
    move = MOVES.get(eqn.primitive.name)
    if move is not None:
      moved = move(eqn, operands[0], outputs[0])
      if eqn.primitive is primitives.reshape_p:
        self._lose([operands[0]], but=moved)
      return [moved]
    kept = same_sizes(operands[0].axes, shapes[0], outputs)
    if kept is None or not eqn.primitive.name.startswith(WINDOWS):
      self._lose(operands)
      return [Value((None,) * len(shape)) for shape in outputs]
    return [Value(axes) for axes in kept]

  def _lose(self, operands: list[Value], but: Value | None = None) -> None:
    """Notes that channels can't be followed, but for those of a result."""
    kept = {axis.group for axis in but.axes if axis} if but else set()
    for operand in operands:
      self.unknown |= {axis.group for axis in operand.axes if axis} - kept

  def _elementwise(
    self,
    eqn: jex.JaxprEqn,
    operands: list[Value],
    shapes: list[Shape],
    shape: Shape,
  ) -> Value:
    full = [
      operand
      for operand, each in zip(operands, shapes, strict=True)
      if each and operand.axes
    ]
    if len(full) == 1 and eqn.primitive.name in (
      "convert_element_type",
      "copy",
    ):
      return full[0]
    axes = tuple(
      self._join(
        *(
          operand.axes[axis]
          for operand, each in zip(operands, shapes, strict=True)
          if each and each[axis] > 1
        )
      )
      for axis in range(len(shape))
    )
    if eqn.primitive.name in ("add", "sub") and len(full) == 2:
      first, second = full
      sign = 1 if eqn.primitive.name == "add" else -1
      if first.layer is None and sign == 1:
        first, second = second, first
      if first.layer is not None and second.leaf is not None:
        self.shifts.setdefault(first.layer, (second.leaf, sign))
    return Value(axes)

  def _linear(self, eqn: jex.JaxprEqn, x: Value, kernel: Value) -> Value:
    form = product(eqn)
    number = len(self.layers)
    self.layers.append(None)
    if eqn.primitive is primitives.dot_general_p:
      (into, sums), (batch, stacked) = eqn.params["dimension_numbers"]
      for a, b in (
        *zip(into, sums, strict=True),
        *zip(batch, stacked, strict=True),
      ):
        self._join(x.axes[a], kernel.axes[b])
      axes = (
        *(x.axes[i] for i in batch),
        *(a for i, a in enumerate(x.axes) if i not in (*into, *batch)),
        *(a for i, a in enumerate(kernel.axes) if i not in (*sums, *stacked)),
      )
    else:
      axes = self._convolution(eqn, x, kernel)
    if form is None or len(kernel.order) != len(kernel.axes):
      return Value(axes)
    channels = x.axes[form.inputs[0]] if len(form.inputs) == 1 else None
    self.layers[number] = Layer(form, kernel.leaf, kernel.order, channels)
    return Value(axes, layer=number)

  def _convolution(
    self, eqn: jex.JaxprEqn, x: Value, kernel: Value
  ) -> tuple[Axis | None, ...]:
    numbers = eqn.params["dimension_numbers"]
    groups = eqn.params["feature_group_count"]
    axes: list[Axis | None] = [None] * len(x.axes)
    axes[numbers.out_spec[0]] = x.axes[numbers.lhs_spec[0]]
    into, out = x.axes[numbers.lhs_spec[1]], kernel.axes[numbers.rhs_spec[0]]
    if groups == 1:
      self._join(into, kernel.axes[numbers.rhs_spec[1]])
    elif eqn.invars[1].aval.shape[numbers.rhs_spec[1]] == 1:
      out = self._join(into, out)  # a kernel for each channel
    else:
      self._lose([x, kernel])
    axes[numbers.out_spec[1]] = out
    return tuple(axes)
