"""Random views of images, as pure functions on the device."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxkd.types import Array, JaxkdError

PADDING = 4  # pixels, in all published CIFAR recipes


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


AUGMENTATIONS: dict[str, Callable[[Array, Array], Array]] = {
  "crop": crop,
  "flip": flip,
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
