"""Data of the user's own, brought to what the teacher takes."""

from collections.abc import Iterator
import contextlib
from pathlib import Path

import numpy as np
from PIL import Image

from jaxkd.data.formats import RawDataset, find
from jaxkd.data.pixels import MODES, fit, to_picture
from jaxkd.data.registry import Dataset
from jaxkd.types import DataSpec, JaxkdError

GREY_MODES = ("1", "L", "LA")
Shape = tuple[int, int, int]


def load_path(path: str, spec: DataSpec | None, image_size: int = 0) -> Dataset:
  """The data in a folder or file, as pixels of 8 bits.

  Three forms:
    - A folder per class, in the order of their names (`10` comes before `2`, as
      in torchvision), or `train` and `test` (or `val`) folders of these.
    - An `.npz` with `images [N, H, W(, C)]`, uint8 or floats in [0, 1], and
      `labels [N]`; or with `train_images`, `train_labels`, `test_images`, ...
    - A folder with files as MNIST has them, `t10k-images-idx3-ubyte.gz` and so
      on.
  What is in no part of its own is test data: nothing is trained on it.

  Args:
    path: of the folder or file.
    spec: what the teacher takes: sizes and colours are brought to it. None
      takes them from the data, and a mean and std of 0.5.
    image_size: side of the square images in pixels, 0 for their own size; not
      looked at where there is a `spec`.

  Raises:
    JaxkdError: for files that can't be read, naming them; classes or labels
      that are not the teacher's; one class alone; or, without `spec` and
      `image_size`, images of several sizes.
  """
  place = Path(path).expanduser()
  whole = place.resolve()
  name = f"own:{whole.stem if place.is_file() else whole.name}"
  found = find(place)
  labels = np.concatenate([found.train.labels, found.test.labels])
  if len(np.unique(labels)) < 2:
    raise JaxkdError(
      f"{place} has {len(labels)} images of one class; give images of two or "
      "more."
    )
  shapes = _shapes(found.train.images) | _shapes(found.test.images)
  if spec is None:
    num_classes = len(found.classes) or int(labels.max()) + 1
    shape = _common_shape(place, shapes, image_size)
    half = (0.5,) * shape[-1]
    spec = DataSpec(name, shape, num_classes, half, half)
  _check_classes(place, found, labels, spec)
  _check_shapes(place, shapes, spec)
  if others := sorted(shapes - {spec.shape}):
    print(
      f"{name}: images of {_sizes(others)} pixels are brought to "
      f"{_sizes([spec.shape])}.",
      flush=True,
    )
  return Dataset(
    spec._replace(name=name),
    _fitted(found.train.images, spec.shape),
    found.train.labels.astype(np.int32),
    _fitted(found.test.images, spec.shape),
    found.test.labels.astype(np.int32),
  )


def _check_classes(
  place: Path, found: RawDataset, labels: np.ndarray, spec: DataSpec
) -> None:
  if found.classes and len(found.classes) != spec.num_classes:
    raise JaxkdError(
      f"{place} has {len(found.classes)} classes ({_some(found.classes)}), the "
      f"teacher has {spec.num_classes}; give a folder for each of them."
    )
  if labels.min() < 0 or labels.max() >= spec.num_classes:
    raise JaxkdError(
      f"{place} has labels {labels.min()} to {labels.max()}; expected 0 to "
      f"{spec.num_classes - 1}, for {spec.num_classes} classes."
    )


def _check_shapes(place: Path, shapes: set[Shape], spec: DataSpec) -> None:
  if len(spec.shape) != 3:
    raise JaxkdError(
      f"The teacher takes inputs of shape {spec.shape}, and {place} has "
      "images; choose other data, or dataset=none."
    )
  channels = {shape[-1] for shape in shapes} | {spec.shape[-1]}
  if shapes - {spec.shape} and not channels <= set(MODES):
    raise JaxkdError(
      f"{place} has images of {_sizes(sorted(shapes))}, the teacher takes "
      f"{_sizes([spec.shape])}; only grey and colour are brought to each other."
    )


def _shapes(images: list[Path] | np.ndarray) -> set[Shape]:
  if isinstance(images, np.ndarray):
    return {images.shape[1:]} if len(images) else set()
  return {_shape_of_file(path) for path in images}


def _shape_of_file(path: Path) -> Shape:
  with _opened(path) as picture:
    if picture.mode.startswith(("I", "F")):
      raise JaxkdError(
        f"{path} has pixels of more than 8 bits; save it with 8 bits."
      )
    return (*picture.size[::-1], 1 if picture.mode in GREY_MODES else 3)


def _common_shape(place: Path, shapes: set[Shape], image_size: int) -> Shape:
  """Of all images; coloured, if one is."""
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
      f"{place} has images of {len(sizes)} sizes ({_sizes(sizes)} pixels); "
      "choose one with image_size."
    )
  return *sizes[0], channels


def _fitted(images: list[Path] | np.ndarray, shape: Shape) -> np.ndarray:
  """`[N, *shape]` uint8; bilinear with antialiasing where sizes differ."""
  if isinstance(images, np.ndarray) and images.shape[1:] == shape:
    return images
  out = np.empty((len(images), *shape), np.uint8)
  for i, image in enumerate(images):
    if isinstance(image, np.ndarray):
      out[i] = fit(to_picture(image), shape)
    else:
      with _opened(image) as picture:
        out[i] = fit(picture, shape)
  return out


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
  """An image, or a word about which one it is that can't be read."""
  try:
    with Image.open(path) as picture:
      yield picture
  except JaxkdError:
    raise
  except Exception as error:  # every format of Pillow has its own types
    raise JaxkdError(
      f"{path} can't be read as an image ({type(error).__name__}: {error}); "
      "replace it, or delete it."
    ) from error


def _sizes(shapes: list[tuple[int, ...]]) -> str:
  return _some([" x ".join(map(str, shape)) for shape in shapes])


def _some(names: list[str] | tuple[str, ...]) -> str:
  """The first three names."""
  return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
