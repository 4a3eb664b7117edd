"""What a narrower network takes from a wider one, worked out from shapes."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from jaxkd.narrowing.channels import Axis, Channels, Layer
from jaxkd.types import Array, Classifier, JaxkdError

MAX_COLUMNS = 10_000  # of a layer, whose products fill a square matrix


class Plan(NamedTuple):
  """How two networks belong to each other.

  Attributes:
    channels: of the wider network.
    sizes: of each group of channels, in the wider and the narrower network.
    fitted: by number, the layers whose weights are fitted, not only cut to
      size: those that have a kernel of their own.
  """

  channels: Channels
  sizes: dict[int, tuple[int, int]]
  fitted: dict[int, Layer]

  @property
  def narrowed(self) -> set[int]:
    """The groups that become smaller."""
    return {
      group for group, (wide, small) in self.sizes.items() if wide > small
    }


def make_plan(teacher: Classifier, student: Classifier, images: Array) -> Plan:
  """Works out which parameters belong to the same channels.

  Nothing is computed; networks and images may be shapes.

  Args:
    teacher: the wider network.
    student: the narrower network.
    images: `[N, ...]` floats in pixel space.

  Raises:
    JaxkdError: if the student is not the teacher with fewer channels, or if it
      can't be followed through the network which parameters belong together.
  """
  _check_shapes(teacher, student)
  channels, small = Channels(teacher, images), Channels(student, images)
  _check_layout(channels, small, len(jax.tree.leaves(teacher.variables)))
  sizes = _group_sizes(channels, teacher, student)
  plan = Plan(channels, sizes, {})
  for number, layer in enumerate(channels.layers):
    if layer is None:
      continue
    columns = layer.product.num_columns
    if columns > MAX_COLUMNS:
      raise JaxkdError(
        f"a layer has {columns:,} inputs, and at most {MAX_COLUMNS:,} can be "
        "fitted"
      )
    # Rows of channels that go can't be compared one by one.
    rows = {channels.resolve(Axis(group)).group for group in layer.rows}
    if channels.reads[layer.kernel] == 1 and not rows & plan.narrowed:
      plan.fitted[number] = layer
  return plan


def slice_leaf(
  leaf: Array, axes: Sequence[Axis | None], kept: dict[int, np.ndarray]
) -> Array:
  """Returns the part of an array that belongs to the channels kept.

  Args:
    leaf: the array.
    axes: the channels of each axis.
    kept: indices of channels, by group.
  """
  for number, axis in enumerate(axes):
    if axis is not None:
      places = np.arange(leaf.shape[number])
      places = places.reshape(axis.outer, -1, axis.inner)[:, kept[axis.group]]
      leaf = leaf.take(places.reshape(-1), number)
  return leaf


def _check_shapes(teacher: Classifier, student: Classifier) -> None:
  """Refuses networks of which one is not the other with fewer channels."""
  large, small = (
    jax.tree_util.tree_flatten_with_path(net.variables)[0]
    for net in (teacher, student)
  )
  if [(path, np.ndim(leaf)) for path, leaf in large] != [
    (path, np.ndim(leaf)) for path, leaf in small
  ]:
    raise JaxkdError(
      "their parameters have other names or another number of axes"
    )
  pairs = [
    pair
    for (_, wide), (_, narrow) in zip(large, small, strict=True)
    for pair in zip(np.shape(wide), np.shape(narrow), strict=True)
  ]
  if any(wide < narrow for wide, narrow in pairs):
    raise JaxkdError("the student has more of some channels")
  if all(wide == narrow for wide, narrow in pairs):
    raise JaxkdError("both have as many channels")


def _check_layout(large: Channels, small: Channels, leaves: int) -> None:
  """Refuses networks that apply their parameters in different ways."""
  groups: dict[int, int] = {}
  pairs = [
    pair
    for leaf in range(leaves)
    for pair in zip(large.leaf_axes(leaf), small.leaf_axes(leaf), strict=True)
    if None not in pair
  ]
  same = all(
    a[1:] == b[1:] and groups.setdefault(a.group, b.group) == b.group
    for a, b in pairs
  )
  kernels, others = (
    [layer and (layer.kernel, layer.order) for layer in channels.layers]
    for channels in (large, small)
  )
  if (
    not same
    or len(set(groups.values())) != len(groups)
    or kernels != others
    or large.shifts != small.shifts
  ):
    raise JaxkdError("their layers belong to each other in different ways")


def _group_sizes(
  channels: Channels, teacher: Classifier, student: Classifier
) -> dict[int, tuple[int, int]]:
  """Returns how many channels each group has, in both networks.

  Raises:
    JaxkdError: if a group that becomes smaller is not known in all its places.
  """
  large, small = (
    jax.tree_util.tree_flatten_with_path(net.variables)[0]
    for net in (teacher, student)
  )
  readers = {
    channels.resolve(layer.channels).group
    for layer in channels.layers
    if layer is not None and layer.channels is not None
  }
  sizes: dict[int, tuple[int, int]] = {}
  for index, ((path, wide), (_, narrow)) in enumerate(
    zip(large, small, strict=True)
  ):
    for axis, before, after in zip(
      channels.leaf_axes(index), np.shape(wide), np.shape(narrow), strict=True
    ):
      if axis is None:
        continue
      times = axis.outer * axis.inner
      found = before // times, after // times
      is_known = axis.group in readers and axis.group not in channels.unknown
      if (
        after % times
        or sizes.setdefault(axis.group, found) != found
        or not (is_known or before == after)
      ):
        raise JaxkdError(
          f"{jax.tree_util.keystr(path)} has {before} channels in the teacher "
          f"and {after} in the student, and it can't be followed through the "
          "network which other parameters belong to them"
        )
  return sizes
