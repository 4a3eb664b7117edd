"""How the interpreter stores images: their axes, and space to depth.

A network may have its channels in another axis than the last, as in PyTorch,
and `jaxkd.models.cpu.space_to_depth` moves pixels into channels. The
interpreter keeps such arrays as its forms return them as long as it can, since
every change of the layout copies them.
"""

from dataclasses import dataclass
import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxkd.models.cpu import space_to_depth
from jaxkd.types import Array


class Layout(NamedTuple):
  """A layout of images.

  Attributes:
    order: axes of batch, rows, columns and channels in the network.
    factor: f, of the space-to-depth layout; 1 for pixels as they are.
  """

  order: tuple[int, int, int, int] = (0, 1, 2, 3)
  factor: int = 1

  def store(self, images: Array) -> Array:
    """Maps the network's images to `[B, H / f, W / f, f f C]`."""
    images = images.transpose(self.order)
    if self.factor == 1:
      return images
    return space_to_depth.space_to_depth(images, self.factor)

  def restore(self, stored: Array) -> Array:
    """Maps `[B, H / f, W / f, f f C]` to the network's images."""
    if self.factor > 1:
      stored = space_to_depth.depth_to_space(stored, self.factor)
    return stored.transpose(np.argsort(self.order))

  def is_per_channel(self, shape: tuple[int, ...], channels: int) -> bool:
    """Returns whether an array has one number per channel, in its axis."""
    expected = [1] * 4
    expected[self.order[3]] = channels
    return tuple(shape) == tuple(expected)

  def store_vector(self, vector: Array) -> Array:
    """Stores one number per channel, `[f f C]`."""
    return jnp.tile(jnp.ravel(vector), self.factor**2)


PLAIN = Layout()


@dataclass(frozen=True, eq=False)
class Stored:
  """Images of the network in a layout.

  Attributes:
    array: as stored.
    layout: the layout.
  """

  array: Array
  layout: Layout

  @functools.cached_property
  def images(self) -> Array:
    """The images as the network has them."""
    return self.layout.restore(self.array)


Value = Array | Stored


def wrap(array: Array, layout: Layout) -> Value:
  """Returns images in a layout, which is no array if they have to be moved."""
  return array if layout == PLAIN else Stored(array, layout)


def unwrap(value: Value) -> Array:
  """Returns a value as the network has it."""
  return value.images if isinstance(value, Stored) else value


def store(value: Value, layout: Layout) -> Array:
  """Returns a value in a layout."""
  if isinstance(value, Stored) and value.layout == layout:
    return value.array
  return layout.store(unwrap(value))
