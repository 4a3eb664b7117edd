"""What a narrower network takes from a wider one, worked out from shapes."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from jaxkd.narrowing.channels import Axis, Channels, Layer
from jaxkd.types import Array, Classifier, JaxkdError


class Plan(NamedTuple):
  """How two networks belong to each other.

  Attributes:
    channels: of the wider network.
    sizes: of each group of channels, in the wider and the narrower network.
    fitted: by number, the layers whose weights are fitted: those that have a
      kernel of their own.
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
  kernels = [layer and layer.kernel for layer in channels.layers]
  if kernels != [layer and layer.kernel for layer in small.layers]:
    raise JaxkdError("their layers are applied in another order")
  fitted = {
    number: layer
    for number, layer in enumerate(channels.layers)
    if layer is not None and kernels.count(layer.kernel) == 1
  }
  return Plan(channels, _group_sizes(channels, teacher, student), fitted)


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
  if [(path, leaf.ndim) for path, leaf in large] != [
    (path, leaf.ndim) for path, leaf in small
  ]:
    raise JaxkdError(
      "their parameters have other names or another number of axes"
    )
  pairs = [
    pair
    for (_, wide), (_, narrow) in zip(large, small, strict=True)
    for pair in zip(wide.shape, narrow.shape, strict=True)
  ]
  if any(wide < narrow for wide, narrow in pairs):
    raise JaxkdError("the student has more of some channels")
  if all(wide == narrow for wide, narrow in pairs):
    raise JaxkdError("both have as many channels")


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
      channels.leaf_axes(index), wide.shape, narrow.shape, strict=True
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
