"""Images that the teacher was not trained on, for the methods that ask about
them.

They come from a data set of the registry or of TFDS, from a folder of image
files without labels, or from one image file. Two photographs come with
scikit-learn, `china` and `flower`.
"""

from collections import Counter
from pathlib import Path

import numpy as np
from sklearn import datasets as sample_data

from jaxkd.data import pictures, tfds_info, tfds_sets
from jaxkd.data.loading import load, train_size
from jaxkd.data.pixels import MODES, Background, fit, fit_array
from jaxkd.data.prepared import prepared_dir, prepared_folder
from jaxkd.data.registry import DATASETS
from jaxkd.data.split_folders import walk
from jaxkd.types import JaxkdError

Shape = tuple[int, int, int]
PHOTOS = ("china", "flower")


def count_images(name: str) -> int:
  """Returns how many images there are, without reading them.

  Args:
    name: of a data set, also of TFDS, a folder of images, an image file, or one
      of `PHOTOS`.

  Raises:
    JaxkdError: if there is no such data set, folder or file, or no image in it.
  """
  if name in DATASETS:
    return train_size(name)
  if (folder := _tfds_folder(name)) is not None:
    return len(tfds_info.read_info(folder).largest.rows)
  return len(image_files(name))


def load_images(name: str, shape: Shape, background: str = "") -> np.ndarray:
  """Loads images, uint8 `[N, *shape]`.

  Images of a data set are resized; files are cut to the shape's aspect ratio
  about their middle, and resized. Colours are converted to or from grey.

  Args:
    name: as in `count_images`.
    shape: of the inputs, `(H, W, C)` with 1 to 4 channels.
    background: colour on which transparent images are put; empty for none.

  Raises:
    JaxkdError: as in `count_images`, for another number of channels, or naming
      a file that is no image, or transparent without a background.
  """
  height, width, channels = shape
  _check_channels(channels)
  if name not in DATASETS:
    colour = Background.named("--config.background", background)
    if (folder := _tfds_folder(name)) is not None:
      prepared = tfds_info.read_info(folder)
      counts: Counter[str] = Counter()
      return tfds_sets.read_part(
        prepared, prepared.largest, shape, colour, counts
      )[0]
    return np.stack(
      [pictures.read_cut(path, shape, colour) for path in image_files(name)]
    )
  images = load(name, image_size=height if height == width else 0).train_images
  if images.shape[1:] == shape:
    return images
  return np.stack([fit_array(image, shape) for image in images])


def load_photo(name: str, channels: int, background: str = "") -> np.ndarray:
  """Loads one image at its own size, uint8 `[H, W, C]`.

  Args:
    name: of an image file, or one of `PHOTOS`.
    channels: 1 to 4.
    background: as in `load_images`.

  Raises:
    JaxkdError: as in `load_images`.
  """
  _check_channels(channels)
  files = [] if name in DATASETS else image_files(name)
  if len(files) != 1:
    raise JaxkdError(
      f"other_dataset={name}: give one image file, such as photo.jpg, or one "
      f"of {', '.join(PHOTOS)}."
    )
  colour = Background.named("--config.background", background)
  with pictures.open_image(files[0]) as opened:
    picture = pictures.upright(opened, files[0])
    shape = (picture.height, picture.width, channels)
    return fit(picture, shape, colour, str(files[0]))


def _tfds_folder(name: str) -> Path | None:
  """Returns the folder of a prepared set of TFDS, if this is one."""
  path = Path(name).expanduser()
  if name in PHOTOS or path.is_file():
    return None
  if path.exists():
    return prepared_folder(path)
  return prepared_dir(name, None)


def image_files(name: str) -> list[Path]:
  """Returns the image files of a folder and the folders in it that are not
  hidden, by path.

  Raises:
    JaxkdError: if there is no such folder or file, or no image in it.
  """
  if name in PHOTOS:
    name = f"{Path(sample_data.__file__).parent}/images/{name}.jpg"
  path = Path(name).expanduser()
  if path.is_file():
    return [path]
  if not path.is_dir():
    named = [n for n, info in DATASETS.items() if len(info.spec.shape) == 3]
    raise JaxkdError(
      f"other_dataset={name}: there is no such data set, folder or file; "
      f"choose one of {', '.join((*named, *PHOTOS))}, a prepared set of TFDS, "
      "or a folder of images."
    )
  files = sorted(
    file
    for file in walk(path)
    if pictures.is_image_file(file) and file.is_file()
  )
  if not files:
    raise JaxkdError(
      f"other_dataset={name}: the folder has no image; files that end in "
      f"{', '.join(pictures.SUFFIXES)} are read."
    )
  return files


def _check_channels(channels: int) -> None:
  if channels not in MODES:
    raise JaxkdError(
      f"The inputs have {channels} channels, and images are read with "
      f"{min(MODES)} to {max(MODES)}; choose another method."
    )
