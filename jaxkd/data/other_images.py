"""Images that the teacher was not trained on, for the methods that ask about
them.

They come from a data set of the registry, from a folder of image files without
labels, or from one image file.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from jaxkd.data import user_data
from jaxkd.data.formats import IMAGE_SUFFIXES
from jaxkd.data.loading import load
from jaxkd.data.pixels import MODES
from jaxkd.data.registry import DATASETS, train_size
from jaxkd.types import JaxkdError

Shape = tuple[int, int, int]


def count_images(name: str) -> int:
  """Returns how many images there are, without reading them.

  Args:
    name: of a data set, a folder of images, or an image file.

  Raises:
    JaxkdError: if there is no such data set, folder or file, or no image in it.
  """
  return train_size(name) if name in DATASETS else len(image_files(name))


def load_images(name: str, shape: Shape) -> np.ndarray:
  """Loads images, uint8 `[N, *shape]`.

  Images of a data set are resized; files are cut to the shape's aspect ratio
  about their middle, and resized. Colours are converted to or from grey.

  Args:
    name: as in `count_images`.
    shape: of the inputs, `(H, W, C)` with 1 or 3 channels.

  Raises:
    JaxkdError: as in `count_images`, or naming a file that is no image.
  """
  if name not in DATASETS:
    return np.stack([_read(path, shape) for path in image_files(name)])
  images = load(name, image_size=shape[0]).train_images
  if images.shape[-1] == shape[-1]:
    return images
  grey = images.mean(-1, keepdims=True).round().astype(images.dtype)
  return np.repeat(grey, shape[-1], axis=-1)


def load_photo(path: str, channels: int) -> np.ndarray:
  """Loads one image at its own size, uint8 `[H, W, C]`.

  Raises:
    JaxkdError: if there is no such file, or if it is no image.
  """
  if not Path(path).is_file():
    raise JaxkdError(
      f"other_dataset={path}: there is no such file; give one image, such as "
      "photo.jpg."
    )
  with user_data.open_image(Path(path)) as picture:
    pixels = np.asarray(picture.convert(MODES[channels]))
  return pixels.reshape(*pixels.shape[:2], channels)


def image_files(name: str) -> list[Path]:
  """Returns the image files of a folder and the folders in it, by path.

  Raises:
    JaxkdError: if there is no such folder or file, or no image in it.
  """
  path = Path(name).expanduser()
  if path.is_file():
    return [path]
  if not path.is_dir():
    raise JaxkdError(
      f"other_dataset={name}: there is no such data set, folder or file; "
      f"choose one of {', '.join(DATASETS)}, or give a folder of images."
    )
  files = sorted(
    file for file in path.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES
  )
  if not files:
    raise JaxkdError(
      f"other_dataset={name}: the folder has no image; files that end in "
      f"{', '.join(IMAGE_SUFFIXES)} are read."
    )
  return files


def _read(path: Path, shape: Shape) -> np.ndarray:
  height, width, channels = shape
  with user_data.open_image(path) as picture:
    fitted = ImageOps.fit(
      picture.convert(MODES[channels]),
      (width, height),
      Image.Resampling.BILINEAR,
    )
  return np.asarray(fitted).reshape(shape)
