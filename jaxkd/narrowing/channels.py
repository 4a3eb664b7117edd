"""Which axes of a network's parameters belong to the same channels.

The kernel that makes channels, the parameters that normalise them and the
kernels that read them must keep the same ones. The network is traced, and each
axis of each value is followed through its equations.
"""

import collections
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.extend.core as jex
from jax.extend.core import primitives
import numpy as np

from jaxkd.models.cpu.stored_equations import ELEMENTWISE
from jaxkd.narrowing import equations
from jaxkd.narrowing.axes import (
  MOVES,
  REDUCTIONS,
  Axis,
  Shape,
  Value,
  is_broadcast,
)
from jaxkd.narrowing.matrices import Product, is_linear, product
from jaxkd.types import Array, Classifier


class Layer(NamedTuple):
  """A convolution or matrix product with a parameter.

  Attributes:
    product: its operands as matrices.
    kernel: index of the parameter.
    order: axes of the parameter in the kernel.
    channels: the channels that it reads.
    rows: groups of channels of which each is read by itself.
  """

  product: Product
  kernel: int
  order: tuple[int, ...]
  channels: Axis | None
  rows: tuple[int, ...]


class Channels:
  """The channels of a network's parameters.

  Attributes:
    layers: in the order in which they are applied, None for convolutions and
      products that have no parameter or have it in another form.
    shifts: by the number of a layer, the parameter that is added to its result
      and the sign.
    unknown: groups of which not all places were found.
    reads: how often each parameter is read.
  """

  def __init__(self, classifier: Classifier, images: Array):
    self.layers: list[Layer | None] = []
    self.shifts: dict[int, tuple[int, int]] = {}
    self.unknown: set[int] = set()
    self.reads: collections.Counter[int] = collections.Counter()
    self._result_reads: collections.Counter[int] = collections.Counter()
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
      lambda array: Value((None,) * np.ndim(array), uniform=not np.ndim(array)),
    )
    self.unknown = {self.resolve(Axis(group)).group for group in self.unknown}
    # A constant may be added where nothing else reads parameter or result.
    self.shifts = {
      number: (leaf, sign)
      for number, (leaf, sign) in self.shifts.items()
      if self.reads[leaf] == self._result_reads[number] == 1
    }

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
    results = self._follow(eqn, operands)
    # The same parameter in another form is read when that form is.
    same = {(result.leaf, result.layer) for result in results}
    for operand in operands:
      if (operand.leaf, operand.layer) not in same:
        if operand.leaf is not None:
          self.reads[operand.leaf] += 1
        if operand.layer is not None:
          self._result_reads[operand.layer] += 1
    return results

  def _follow(self, eqn: jex.JaxprEqn, operands: list[Value]) -> list[Value]:
    name = eqn.primitive.name
    shapes = [np.shape(atom.aval) for atom in eqn.invars]
    outputs = [np.shape(var.aval) for var in eqn.outvars]
    if is_linear(eqn):
      return [self._linear(eqn, *operands)]
    if name in ELEMENTWISE and all(
      is_broadcast(shape, outputs[0]) for shape in shapes
    ):
      return [self._elementwise(eqn, operands, shapes, outputs[0])]
    if name in MOVES:
      moved = MOVES[name](eqn, operands[0], outputs[0])
      if name not in REDUCTIONS:
        self._lose([operands[0]], but=moved)
      return [moved]
    self._lose(operands)
    return [Value((None,) * len(shape)) for shape in outputs]

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
    if eqn.primitive.name in ("convert_element_type", "copy"):
      return operands[0]
    full = [
      (operand, each)
      for operand, each in zip(operands, shapes, strict=True)
      if each and not operand.uniform
    ]
    axes = tuple(
      self._join(*(v.axes[axis] for v, each in full if each[axis] > 1))
      for axis in range(len(shape))
    )
    if eqn.primitive.name in ("add", "sub") and len(full) == 2:
      sign = 1 if eqn.primitive.name == "add" else -1
      (first, _), (second, _) = full
      if first.layer is None and sign == 1:
        first, second = second, first
      self._add_shift(first, second, sign)
    return Value(axes, uniform=not full)

  def _add_shift(self, result: Value, added: Value, sign: int) -> None:
    """Notes a parameter with a number for each channel of a layer's result."""
    layer = None if result.layer is None else self.layers[result.layer]
    if layer is None or added.leaf is None:
      return
    place = layer.product.result_axis(len(result.axes))
    if (
      len(self._leaves[added.leaf]) == len(layer.product.outputs) == 1
      and added.axes[place] is not None
    ):
      self.shifts.setdefault(result.layer, (added.leaf, sign))

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
    rows = tuple(
      axis.group
      for index, axis in enumerate(x.axes)
      if axis is not None and index not in form.inputs
    )
    self.layers[number] = Layer(form, kernel.leaf, kernel.order, channels, rows)
    return Value(axes, layer=number)

  def _convolution(
    self, eqn: jex.JaxprEqn, x: Value, kernel: Value
  ) -> tuple[Axis | None, ...]:
    numbers = eqn.params["dimension_numbers"]
    groups = eqn.params["feature_group_count"]
    axes: list[Axis | None] = [None] * len(x.axes)
    axes[numbers.out_spec[0]] = x.axes[numbers.lhs_spec[0]]
    into, out = x.axes[numbers.lhs_spec[1]], kernel.axes[numbers.rhs_spec[0]]
    between = tuple(x.axes[axis] for axis in numbers.lhs_spec[2:])
    self._lose([Value(between)])
    if groups == 1:
      self._join(into, kernel.axes[numbers.rhs_spec[1]])
    elif eqn.invars[1].aval.shape[numbers.rhs_spec[1]] == 1:
      out = self._join(into, out)  # a kernel for each channel
    else:
      self._lose([x, kernel])
    axes[numbers.out_spec[1]] = out
    return tuple(axes)
