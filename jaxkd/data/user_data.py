"""Loads a user's data and converts it to the inputs of the teacher."""

from collections.abc import Iterator
import contextlib
from pathlib import Path

import numpy as np
from PIL import Image

from jaxkd.data import formats
from jaxkd.data.formats import RawDataset
from jaxkd.data.image_arrays import ImageArray
from jaxkd.data.pixels import MODES, fit, to_picture
from jaxkd.data.registry import Dataset, DatasetSummary
from jaxkd.types import DataSpec, JaxkdError

GREY_MODES = ("1", "L", "LA")
Shape = tuple[int, int, int]


def load_path(path: str, spec: DataSpec | None, image_size: int = 0) -> Dataset:
  """Loads the data set in a folder or file, with 8-bit pixels.

  There are three formats:
    - A folder of images per class, in the order of their names (`10` comes
      before `2`, as in torchvision), or `train` and `test` (or `val`) folders
      of these.
    - An `.npz` with `images [N, H, W(, C)]`, uint8 or floats in [0, 1], and
      `labels [N]`; or with `train_images`, `train_labels`, `test_images`, ...
    - A folder of IDX files named as MNIST's, `t10k-images-idx3-ubyte.gz` and so
      on.
  Data without splits is the test split, so that nothing is trained on it.

  Args:
    path: path of the folder or file.
    spec: the inputs of the teacher, to whose size and colours all images are
      converted. None takes size, colours and classes from the data, and a mean
      and std of 0.5.
    image_size: side of the square images in pixels, 0 for their own size;
      ignored if there is a `spec`.

  Raises:
    JaxkdError: if a file cannot be read, if classes or labels are not the
      teacher's, if there is one class only, or if, without `spec` and
      `image_size`, images have several sizes.
  """
  raw, spec, shapes = _read_headers(path, spec, image_size)
  shape = spec.shape
  if others := sorted(shapes - {shape}):
    print(
      f"{spec.name}: images of {_sizes(others)} pixels are converted to "
      f"{_sizes([shape])}.",
      flush=True,
    )
  return Dataset(
    spec,
    _to_shape(raw.train.images, shape),
    raw.train.labels.astype(np.int32),
    _to_shape(raw.test.images, shape),
    raw.test.labels.astype(np.int32),
  )


def describe_path(
  path: str, spec: DataSpec | None, image_size: int = 0
) -> DatasetSummary:
  """Returns the summary of what `load_path` loads, and reads no pixels.

  It reads labels, and the size and colours in the header of every image or
  array. That images can be decoded, and that floats are in [0, 1], is checked
  by `load_path` alone.

  Args:
    path: as in `load_path`.
    spec: as in `load_path`.
    image_size: as in `load_path`.

  Raises:
    JaxkdError: as `load_path`, but for what only pixels show.
  """
  raw, spec, _ = _read_headers(path, spec, image_size)
  return DatasetSummary(spec, len(raw.train.labels), len(raw.test.labels))


def _read_headers(
  path: str, spec: DataSpec | None, image_size: int
) -> tuple[RawDataset, DataSpec, set[Shape]]:
  """Returns the data set without its pixels, its spec, and all shapes of its
  images.
  """
  source = Path(path).expanduser()
  resolved = source.resolve()
  name = f"user:{resolved.stem if source.is_file() else resolved.name}"
  raw = formats.read(source)
  labels = np.concatenate([raw.train.labels, raw.test.labels])
  if len(np.unique(labels)) < 2:
    raise JaxkdError(
      f"{source} has {len(labels)} images of one class; give images of two or "
      "more."
    )
  shapes = _shapes(raw.train.images) | _shapes(raw.test.images)
  if spec is None:
    num_classes = len(raw.classes) or int(labels.max()) + 1
    shape = _common_shape(source, shapes, image_size)
    half = (0.5,) * shape[-1]
    spec = DataSpec(name, shape, num_classes, half, half)
  _check_classes(source, raw, labels, spec)
  _check_shapes(source, shapes, spec)
  return raw, spec._replace(name=name), shapes


def _check_classes(
  source: Path, raw: RawDataset, labels: np.ndarray, spec: DataSpec
) -> None:
  if raw.classes and len(raw.classes) != spec.num_classes:
    raise JaxkdError(
      f"{source} has {len(raw.classes)} classes ({_first_three(raw.classes)}), "
      f"the teacher has {spec.num_classes}; give a folder for each of them."
    )
  if labels.min() < 0 or labels.max() >= spec.num_classes:
    raise JaxkdError(
      f"{source} has labels {labels.min()} to {labels.max()}; expected 0 to "
      f"{spec.num_classes - 1}, for {spec.num_classes} classes."
    )


def _check_shapes(source: Path, shapes: set[Shape], spec: DataSpec) -> None:
  if len(spec.shape) != 3:
    raise JaxkdError(
      f"The teacher takes inputs of shape {spec.shape}, and {source} has "
      "images; choose other data, or dataset=none."
    )
  channels = {shape[-1] for shape in shapes} | {spec.shape[-1]}
  if shapes - {spec.shape} and not channels <= set(MODES):
    raise JaxkdError(
      f"{source} has images of {_sizes(sorted(shapes))}, the teacher takes "
      f"{_sizes([spec.shape])}; only images with 1 or 3 channels are converted."
    )


def _shapes(images: list[Path] | ImageArray) -> set[Shape]:
  if isinstance(images, ImageArray):
    return {images.shape[1:]} if images.shape[0] else set()
  return {_shape_of_file(path) for path in images}


def _shape_of_file(path: Path) -> Shape:
  with open_image(path) as picture:
    if picture.mode.startswith(("I", "F")):
      raise JaxkdError(
        f"{path} has pixels of more than 8 bits; save it with 8 bits."
      )
    return (*picture.size[::-1], 1 if picture.mode in GREY_MODES else 3)


def _common_shape(source: Path, shapes: set[Shape], image_size: int) -> Shape:
  """The shape of all images, with 3 channels if one of them has colours."""
  if image_size < 0:
    raise JaxkdError(
      f"image_size={image_size} is negative; use 0 for the images' own size."
    )
  channels = max(shape[-1] for shape in shapes)
  if image_size:
    return image_size, image_size, channels
  sizes = sorted({shape[:2] for shape in shapes})
  if len(sizes) > 1:
    raise JaxkdError(
      f"{source} has images of {len(sizes)} sizes ({_sizes(sizes)} pixels); "
      "choose one with image_size."
    )
  return *sizes[0], channels


def _to_shape(images: list[Path] | ImageArray, shape: Shape) -> np.ndarray:
  """Reads images and converts them to uint8 `[N, *shape]`."""
  if isinstance(images, ImageArray):
    images = images.read()
    if images.shape[1:] == shape:
      return images
  out = np.empty((len(images), *shape), np.uint8)
  for i, image in enumerate(images):
    if isinstance(image, np.ndarray):
      out[i] = fit(to_picture(image), shape)
    else:
      with open_image(image) as picture:
        out[i] = fit(picture, shape)
  return out


@contextlib.contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
  """Opens an image; an error of the decoder becomes one that names the file."""
  try:
    with Image.open(path) as picture:
      yield picture
  except JaxkdError:
    raise
  except Exception as error:  # every decoder of Pillow raises other types
    raise JaxkdError(
      f"{path} cannot be read as an image ({type(error).__name__}: {error}); "
      "replace it, or delete it."
    ) from error


def _sizes(shapes: list[tuple[int, ...]]) -> str:
  return _first_three([" x ".join(map(str, shape)) for shape in shapes])


def _first_three(names: list[str] | tuple[str, ...]) -> str:
  return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
