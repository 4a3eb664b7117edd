"""Random augmentations of images, as pure functions on the device."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from jaxkd.types import Array, JaxkdError

PADDING = 4  # pixels, as in all published CIFAR recipes
MAX_DEGREES = 20.0  # as in the Nasty Teacher code for Tiny-ImageNet
MIN_AREA = 0.25  # fraction of the image, as in CMI's local views
MAX_ASPECT = 4 / 3  # ratio of the sides, as in torchvision's RandomResizedCrop


def flip(key: Array, images: Array) -> Array:
  """Mirrors each image `[B, H, W, C]` horizontally with probability 0.5."""
  mirrored = jax.random.bernoulli(key, shape=(images.shape[0], 1, 1, 1))
  return jnp.where(mirrored, images[:, :, ::-1], images)


def crop(key: Array, images: Array) -> Array:
  """Shifts each image by up to 4 pixels in each direction, padded with 0."""
  count, height, width, channels = images.shape
  pads = ((0, 0), (PADDING, PADDING), (PADDING, PADDING), (0, 0))
  padded = jnp.pad(images, pads)
  corners = jax.random.randint(key, (count, 2), 0, 2 * PADDING + 1)

  def cut(image: Array, corner: Array) -> Array:
    start = (corner[0], corner[1], 0)
    return jax.lax.dynamic_slice(image, start, (height, width, channels))

  return jax.vmap(cut)(padded, corners)


def rotation(key: Array, images: Array) -> Array:
  """Rotates each image by up to 20 degrees, padded with 0."""
  degrees = jax.random.uniform(
    key, images.shape[:1], minval=-MAX_DEGREES, maxval=MAX_DEGREES
  )
  return rotate(images, degrees)


def rotate(images: Array, degrees: Array) -> Array:
  """Rotates images about their centres, with bilinear interpolation.

  Args:
    images: `[B, H, W, C]`.
    degrees: angles `[B]`, counter-clockwise.

  Returns:
    Images of the same shape; pixels from outside of an image are 0.
  """
  height, width = images.shape[1:3]
  middle = ((height - 1) / 2, (width - 1) / 2)
  rows, columns = jnp.meshgrid(
    jnp.arange(height) - middle[0],
    jnp.arange(width) - middle[1],
    indexing="ij",
  )

  def rotate_one(image: Array, angle: Array) -> Array:
    sine, cosine = jnp.sin(angle), jnp.cos(angle)
    sources = (
      cosine * rows + sine * columns + middle[0],
      cosine * columns - sine * rows + middle[1],
    )
    sample = lambda channel: map_coordinates(channel, sources, order=1)
    return jax.vmap(sample, in_axes=2, out_axes=2)(image)

  return jax.vmap(rotate_one)(images, jnp.deg2rad(degrees))


def resized_crop(key: Array, images: Array) -> Array:
  """Crops a random rectangle of each image and resizes it to the full size.

  The area is uniform between a quarter and all of the image, the logarithm of
  the aspect ratio is uniform between those of 3/4 and 4/3, and sides are
  clipped to the image.
  """
  count, height, width, _ = images.shape
  area_key, aspect_key, corner_key = jax.random.split(key, 3)
  area = jax.random.uniform(area_key, (count, 1), minval=MIN_AREA, maxval=1.0)
  stretch = MAX_ASPECT ** jax.random.uniform(
    aspect_key, (count, 1), minval=-0.5, maxval=0.5
  )
  shares = jnp.minimum(
    jnp.sqrt(area) * jnp.concatenate([stretch, 1 / stretch], axis=1), 1.0
  )
  corners = jax.random.uniform(corner_key, (count, 2)) * (1 - shares)
  return magnify(images, corners, shares)


def magnify(images: Array, corners: Array, shares: Array) -> Array:
  """Resizes rectangles of images to the full size, with bilinear interpolation.

  Args:
    images: `[B, H, W, C]`.
    corners: `[B, 2]`, upper left corners as fractions of height and width.
    shares: `[B, 2]`, sizes of the rectangles as fractions of height and width.
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
  """Rolls all images by the same random shift, without losing a pixel.

  Args:
    key: random key.
    images: `[B, H, W, C]`.
    pixels: largest shift of rows and of columns.
    mirror: whether to mirror all images horizontally with probability 0.5.
  """
  shift_key, mirror_key = jax.random.split(key)
  shifts = jax.random.randint(shift_key, (2,), -pixels, pixels + 1)
  images = jnp.roll(images, shifts, (1, 2))
  if not mirror:
    return images
  mirrored = jax.random.bernoulli(mirror_key)
  return jnp.where(mirrored, images[:, :, ::-1], images)


def mixup(key: Array, images: Array) -> Array:
  """Blends each image with another one of the batch, weights uniform in [0, 1].

  Only for views that the teacher labels: the stored answer is not theirs (Zhang
  et al., "mixup", ICLR 2018, blends the labels as well).
  """
  weights = jax.random.uniform(key, (images.shape[0], 1, 1, 1))
  return weights * images + (1 - weights) * jnp.roll(images, 1, axis=0)


def cutmix(key: Array, images: Array) -> Array:
  """Replaces a rectangle of each image by that of another one of the batch.

  Its area is uniform between none and all, as in Yun et al., "CutMix", ICCV
  2019. Only for views that the teacher labels, as in `mixup`.
  """
  count, height, width, _ = images.shape
  area_key, corner_key = jax.random.split(key)
  side = jnp.sqrt(jax.random.uniform(area_key, (count, 1)))
  corners = jax.random.uniform(corner_key, (count, 2)) * (1 - side)
  rows = (jnp.arange(height) + 0.5) / height
  columns = (jnp.arange(width) + 0.5) / width

  def within(places: Array, corner: Array) -> Array:
    return (places >= corner[:, None]) & (places < corner[:, None] + side)

  inside = (
    within(rows, corners[:, 0])[:, :, None]
    & within(columns, corners[:, 1])[:, None, :]
  )
  return jnp.where(inside[..., None], jnp.roll(images, 1, axis=0), images)


MIXING = ("mixup", "cutmix")  # change what an image shows
AUGMENTATIONS: dict[str, Callable[[Array, Array], Array]] = {
  "crop": crop,
  "cutmix": cutmix,
  "flip": flip,
  "mixup": mixup,
  "resized_crop": resized_crop,
  "rotation": rotation,
}


def apply(names: tuple[str, ...], key: Array, images: Array) -> Array:
  """Applies the named augmentations in order, each with a key of its own.

  Raises:
    JaxkdError: if there is no augmentation of this name.
  """
  for index, name in enumerate(names):
    if name not in AUGMENTATIONS:
      raise JaxkdError(
        f"Unknown augmentation {name!r}; choose from "
        f"{', '.join(AUGMENTATIONS)}."
      )
    images = AUGMENTATIONS[name](jax.random.fold_in(key, index), images)
  return images
