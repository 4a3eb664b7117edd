"""Images that are drawn by a few lines of geometry, and not optimised.

A source is a pure function of one key for one image; `draw` maps it over the
images of a batch, on the device. Nothing of any data set is in them. Sizes are
relative to the image, so that a source looks alike at every resolution.
"""

from collections.abc import Callable, Mapping
import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxkd.config import checks
from jaxkd.errors import JaxkdError
from jaxkd.runtime import devices
from jaxkd.synthesis.procedural.fractal import fractal
from jaxkd.synthesis.procedural.leaves import leaves
from jaxkd.synthesis.procedural.objects import objects
from jaxkd.synthesis.procedural.shapes import shapes
from jaxkd.synthesis.procedural.smooth import smooth
from jaxkd.synthesis.procedural.spectrum import spectrum
from jaxkd.synthesis.procedural.strokes import strokes
from jaxkd.types import Array

Shape = tuple[int, int, int]  # height, width, channels
# (key of one image, shape) -> planes `[C, H, W]` in [0, 1]
Source = Callable[[Array, Shape], Array]
Weights = Mapping[str, float] | tuple[tuple[str, float], ...]

SOURCES: dict[str, Source] = {
  "spectrum": spectrum,
  "smooth": smooth,
  "leaves": leaves,
  "strokes": strokes,
  "fractal": fractal,
  "shapes": shapes,
  "objects": objects,
}
MOST_CHANNELS = 4
PIXELS = 2**17  # drawn at once, which bounds the memory


def draw(name: str, key: Array, count: int, shape: Shape) -> Array:
  """Draws images `[count, H, W, C]`, uint8, of one source.

  Image i is a function of `fold_in(key, i)` alone, so it depends neither on
  `count` nor on the devices. It may be called in a jitted function, and is
  jitted itself.

  Args:
    name: one of `SOURCES`.
    key: key of the batch.
    count: number of images.
    shape: `(H, W, C)` with 1 to 4 channels.

  Raises:
    JaxkdError: if there is no such source, count or shape.
  """
  checks.choice("source", name, SOURCES)
  _check(count, shape)
  indices = devices.over_batch(jnp.arange(count))
  return _draw(name, key, indices, tuple(shape))


def draw_mixture(
  weights: Weights, key: Array, count: int, shape: Shape
) -> Array:
  """Draws images `[count, H, W, C]`, uint8, of several sources in turn.

  Which source image i has is fixed by i and the weights (`source_order`); the
  image itself is image i of `draw` for this source. Only the images that are
  returned are computed.

  Args:
    weights: the share of each source, in any unit, as a mapping or as pairs.
    key: key of the batch.
    count: number of images.
    shape: `(H, W, C)` with 1 to 4 channels.

  Raises:
    JaxkdError: if there is no such source, count or shape, or if weights are
      negative or all zero.
  """
  _check(count, shape)
  order = source_order(weights, count)
  parts, places = [], []
  for name in dict(weights):
    (indices,) = np.nonzero(order == name)
    if len(indices):
      split = devices.over_batch(jnp.asarray(indices))
      parts.append(_draw(name, key, split, tuple(shape)))
      places.append(indices)
  return jnp.concatenate(parts)[np.argsort(np.concatenate(places))]


def source_order(weights: Weights, count: int) -> np.ndarray:
  """Returns the name `[count]` of the source of each image of a mixture.

  The order does not depend on `count`, and every start of it is divided among
  the sources as their weights say, by Webster's method (the j-th image of a
  source of weight w comes at the time (j + 1/2) / w).

  Raises:
    JaxkdError: if there is no such source, or if weights are negative, not
      finite or all zero.
  """
  weights = dict(weights)
  for name, weight in weights.items():
    checks.choice("source", name, SOURCES)
    checks.not_negative(**{f"weight of {name}": weight})
  total = sum(weights.values())
  if not 0 < total < np.inf:
    raise JaxkdError(
      f"weights={weights}: at least one must be above 0, and all finite."
    )
  names, times = [], []
  for name, weight in weights.items():
    if weight:
      most = min(count, int(np.ceil(count * weight / total)) + len(weights))
      names += [name] * most
      times.append((np.arange(most) + 0.5) / weight)
  order = np.argsort(np.concatenate(times), kind="stable")[:count]
  return np.array(names)[order]


def _check(count: int, shape: Shape) -> None:
  checks.positive(count=count)
  allowed = len(shape) == 3 and min(shape) > 0 and shape[2] <= MOST_CHANNELS
  if not allowed:
    raise JaxkdError(
      f"shape={tuple(shape)}: it must be (height, width, channels), with 1 to "
      f"{MOST_CHANNELS} channels."
    )


@functools.partial(jax.jit, static_argnames=("name", "shape"))
def _draw(name: str, key: Array, indices: Array, shape: Shape) -> Array:
  height, width, channels = shape

  def planes(index: Array) -> Array:
    planes = SOURCES[name](jax.random.fold_in(key, index), shape)
    planes = jnp.broadcast_to(planes, (channels, height, width))
    return jnp.round(planes.clip(0, 1) * 255).astype(jnp.uint8)

  # The number of images drawn at once does not depend on the batch, nor does
  # then the order in which XLA adds. Part j has the images j, j + parts, ...,
  # so that images that are sharded stay so.
  count, size = len(indices), _images_at_once(height, width)
  parts = -(-count // size)
  padded = jnp.pad(indices, (0, parts * size - count), mode="edge")
  drawn = jax.lax.map(jax.vmap(planes), padded.reshape(size, parts).T)
  images = jnp.moveaxis(drawn, (0, 2), (1, 4))
  return images.reshape(parts * size, *shape)[:count]


def _images_at_once(height: int, width: int) -> int:
  """Returns a power of two, which is 128 for 32x32 and 8 for large images."""
  return max(8, 1 << max(1, PIXELS // (height * width)).bit_length() - 1)
