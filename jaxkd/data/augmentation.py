"""Random views of images, as pure functions on the device."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from jaxkd.types import Array, JaxkdError

PADDING = 4  # pixels, in all published CIFAR recipes
MAX_DEGREES = 20.0  # Nasty Teacher's on Tiny-ImageNet
LEAST_AREA = 0.25  # share of the image, in CMI's local views
MOST_STRETCH = 4 / 3  # of a side against the other, the usual one


def flip(key: Array, images: Array) -> Array:
  """Mirrors each image `[B, H, W, C]` with probability one half."""
  mirrored = jax.random.bernoulli(key, shape=(images.shape[0], 1, 1, 1))
  return jnp.where(mirrored, images[:, :, ::-1], images)


def crop(key: Array, images: Array) -> Array:
  """Shifts each image by up to 4 pixels each way, black where nothing is."""
  count, height, width, channels = images.shape
  pads = ((0, 0), (PADDING, PADDING), (PADDING, PADDING), (0, 0))
  padded = jnp.pad(images, pads)
  corners = jax.random.randint(key, (count, 2), 0, 2 * PADDING + 1)

  def cut(image: Array, corner: Array) -> Array:
    start = (corner[0], corner[1], 0)
    return jax.lax.dynamic_slice(image, start, (height, width, channels))

  return jax.vmap(cut)(padded, corners)


def rotation(key: Array, images: Array) -> Array:
  """Turns each image by up to 20 degrees each way, black where nothing is."""
  degrees = jax.random.uniform(
    key, images.shape[:1], minval=-MAX_DEGREES, maxval=MAX_DEGREES
  )
  return rotate(images, degrees)


def rotate(images: Array, degrees: Array) -> Array:
  """Turns images `[B, H, W, C]` about their centres, bilinearly.

  Args:
    images: the pixels.
    degrees: `[B]`, counter-clockwise.

  Returns:
    Images of the same shape; what comes from outside is black.
  """
  height, width = images.shape[1:3]
  middle = ((height - 1) / 2, (width - 1) / 2)
  rows, columns = jnp.meshgrid(
    jnp.arange(height) - middle[0],
    jnp.arange(width) - middle[1],
    indexing="ij",
  )

  def turn(image: Array, angle: Array) -> Array:
    sine, cosine = jnp.sin(angle), jnp.cos(angle)
    sources = (
      cosine * rows + sine * columns + middle[0],
      cosine * columns - sine * rows + middle[1],
    )
    sample = lambda channel: map_coordinates(channel, sources, order=1)
    return jax.vmap(sample, in_axes=2, out_axes=2)(image)

  return jax.vmap(turn)(images, jnp.deg2rad(degrees))


def resized_crop(key: Array, images: Array) -> Array:
  """A random part of each image, stretched to its size bilinearly.

  Its area is uniform between a quarter and all of the image's, the logarithm of
  its aspect between those of 3/4 and 4/3; a side that would be too long is cut.
  """
  count, height, width, _ = images.shape
  area_key, aspect_key, corner_key = jax.random.split(key, 3)
  area = jax.random.uniform(area_key, (count, 1), minval=LEAST_AREA, maxval=1.0)
  stretch = MOST_STRETCH ** jax.random.uniform(
    aspect_key, (count, 1), minval=-0.5, maxval=0.5
  )
  shares = jnp.minimum(
    jnp.sqrt(area) * jnp.concatenate([stretch, 1 / stretch], axis=1), 1.0
  )
  corners = jax.random.uniform(corner_key, (count, 2)) * (1 - shares)
  return magnify(images, corners, shares)


def magnify(images: Array, corners: Array, shares: Array) -> Array:
  """Parts of images `[B, H, W, C]` at the size of the whole, bilinearly.

  Args:
    images: the pixels.
    corners: `[B, 2]`, upper left, as shares of height and width.
    shares: `[B, 2]`, height and width of the parts, likewise.
  """
  sides = jnp.array(images.shape[1:3])

  def one(image: Array, corner: Array, share: Array) -> Array:
    return jax.image.scale_and_translate(
      image,
      image.shape,
      (0, 1),
      1 / share,
      -corner * sides / share,
      method="linear",
      antialias=False,
    )

  return jax.vmap(one)(images, corners, shares)


def jitter(
  key: Array, images: Array, pixels: int, *, mirror: bool = False
) -> Array:
  """Rolls all images by the same number of up to `pixels` rows, and columns.

  With `mirror` they are also mirrored, all or none. No pixel is lost.
  """
  shift_key, mirror_key = jax.random.split(key)
  shifts = jax.random.randint(shift_key, (2,), -pixels, pixels + 1)
  images = jnp.roll(images, shifts, (1, 2))
  if not mirror:
    return images
  mirrored = jax.random.bernoulli(mirror_key)
  return jnp.where(mirrored, images[:, :, ::-1], images)


AUGMENTATIONS: dict[str, Callable[[Array, Array], Array]] = {
  "crop": crop,
  "flip": flip,
  "resized_crop": resized_crop,
  "rotation": rotation,
}


def apply(names: tuple[str, ...], key: Array, images: Array) -> Array:
  """The named augmentations in order, each with randomness of its own.

  Raises:
    JaxkdError: for a name that there is not.
  """
  for index, name in enumerate(names):
    if name not in AUGMENTATIONS:
      raise JaxkdError(
        f"Unknown augmentation {name!r}; choose from "
        f"{', '.join(AUGMENTATIONS)}."
      )
    images = AUGMENTATIONS[name](jax.random.fold_in(key, index), images)
  return images
