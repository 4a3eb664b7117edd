"""Parsers of the official files: IDX, CIFAR's pickles, SVHN's .mat files.

Each parser reads one folder and checks the arrays. A file that is missing, cut
short or in another format is a `JaxkdError` that names it.
"""

from collections.abc import Callable, Iterator
import contextlib
import functools
import gzip
import io
import math
from pathlib import Path
import pickle
import tarfile
from typing import BinaryIO
import zlib

import numpy as np

from jaxkd.data.registry import Arrays
from jaxkd.types import JaxkdError

_DECODE_ERRORS = (
  AttributeError,
  EOFError,
  ImportError,
  IndexError,
  KeyError,
  OSError,
  TypeError,
  ValueError,
  pickle.UnpicklingError,
  tarfile.TarError,
  zlib.error,
)


@contextlib.contextmanager
def _decoding(path: Path) -> Iterator[None]:
  """Turns the errors of decoders into a `JaxkdError` that names the file."""
  try:
    yield
  except JaxkdError:
    raise
  except _DECODE_ERRORS as error:
    raise JaxkdError(
      f"{path} is damaged or not what its name says"
      f" ({type(error).__name__}: {error}); get the file again."
    ) from error


def _find(folder: Path, *candidates: str) -> Path:
  for name in candidates:
    if (folder / name).is_file():
      return folder / name
  raise JaxkdError(f"{folder} has no file {' or '.join(candidates)}; add it.")


def _checked(
  images: np.ndarray, labels: np.ndarray, num_classes: int, path: Path
) -> tuple[np.ndarray, np.ndarray]:
  """Checks number, range and type; returns images uint8 and labels int32."""
  if len(images) != len(labels):
    raise JaxkdError(
      f"{path} has {len(labels)} labels for {len(images)} images."
    )
  if len(labels) == 0:
    raise JaxkdError(f"{path} has no examples.")
  if labels.min() < 0 or labels.max() >= num_classes:
    raise JaxkdError(
      f"{path} has labels {labels.min()} to {labels.max()}; expected"
      f" 0 to {num_classes - 1}."
    )
  if images.dtype != np.uint8:
    raise JaxkdError(f"{path} has {images.dtype} pixels; expected uint8.")
  return np.ascontiguousarray(images), labels.astype(np.int32)


def read_idx(path: Path) -> np.ndarray:
  """Reads an IDX file of unsigned bytes, plain or gzipped.

  Raises:
    JaxkdError: if the file is missing, damaged or of another type.
  """
  with _decoding(path), _open_idx(path) as file:
    shape = _idx_shape(file, path)
    values = np.frombuffer(file.read(), np.uint8)
    if math.prod(shape) != values.size:
      raise JaxkdError(
        f"{path} has {values.size} values, and its header says {list(shape)}; "
        "the file is cut short or has extra bytes."
      )
  return values.reshape(shape)


def read_idx_shape(path: Path) -> tuple[int, ...]:
  """Reads the shape in the header of an IDX file, and no values.

  Raises:
    JaxkdError: as `read_idx`, if the header is damaged.
  """
  with _decoding(path), _open_idx(path) as file:
    return _idx_shape(file, path)


def _open_idx(path: Path) -> BinaryIO:
  with path.open("rb") as file:
    gzipped = file.read(2) == b"\x1f\x8b"
  return gzip.open(path) if gzipped else path.open("rb")


def _idx_shape(file: BinaryIO, path: Path) -> tuple[int, ...]:
  """Reads the header: two zero bytes, the type (8 is unsigned byte), the number
  of axes, and the length of each axis as a big-endian 32-bit integer.
  """
  start = file.read(4)
  if start[:3] != b"\0\0\x08":
    raise JaxkdError(f"{path} is no IDX file of bytes (wrong magic number).")
  lengths = np.frombuffer(file.read(4 * start[3]), ">u4", count=start[3])
  return tuple(lengths.tolist())


def read_mnist(folder: Path) -> Arrays:
  """Reads MNIST or Fashion-MNIST from the four IDX files in a folder."""
  arrays = []
  for split in ("train", "t10k"):
    stems = (f"{split}-images-idx3-ubyte", f"{split}-labels-idx1-ubyte")
    # Some unpackers write a dot before `idx`.
    image_path, label_path = (
      _find(folder, f"{stem}.gz", stem, stem.replace("-idx", ".idx"))
      for stem in stems
    )
    images, labels = read_idx(image_path), read_idx(label_path)
    if images.shape[1:] != (28, 28):
      raise JaxkdError(
        f"{image_path} has shape {images.shape}; expected (N, 28, 28)."
      )
    if labels.ndim != 1:
      raise JaxkdError(f"{label_path} has shape {labels.shape}; expected (N,).")
    arrays += _checked(images[..., None], labels, 10, label_path)
  return tuple(arrays)


class _ArrayUnpickler(pickle.Unpickler):
  """Unpickles dicts, lists, bytes and NumPy arrays, and nothing else.

  A pickle can call any function. CIFAR's pickles call the three allowed here.
  """

  def find_class(self, module: str, name: str) -> Callable | type:
    reconstruct = np.zeros(0).__reduce__()[0]  # its module moved in NumPy 2
    allowed = {
      ("numpy.core.multiarray", "_reconstruct"): reconstruct,
      ("numpy._core.multiarray", "_reconstruct"): reconstruct,
      ("numpy", "ndarray"): np.ndarray,
      ("numpy", "dtype"): np.dtype,
    }
    if (module, name) not in allowed:
      raise pickle.UnpicklingError(f"calling {module}.{name} is not allowed")
    return allowed[module, name]


def _read_cifar(
  folder: Path,
  *,
  archive: str,
  splits: tuple[tuple[str, ...], tuple[str, ...]],
  label_key: bytes,
  num_classes: int,
) -> Arrays:
  path = _find(folder, archive)
  arrays = []
  with _decoding(path), tarfile.open(path, "r:gz") as tar:
    for members in splits:
      batches = [
        _ArrayUnpickler(
          io.BytesIO(tar.extractfile(member).read()), encoding="bytes"
        ).load()
        for member in members
      ]
      rows = np.concatenate([batch[b"data"] for batch in batches])
      labels = np.concatenate([batch[label_key] for batch in batches])
      images = rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
      arrays += _checked(images, labels, num_classes, path)
  return tuple(arrays)


read_cifar10 = functools.partial(
  _read_cifar,
  archive="cifar-10-python.tar.gz",
  splits=(
    tuple(f"cifar-10-batches-py/data_batch_{i}" for i in range(1, 6)),
    ("cifar-10-batches-py/test_batch",),
  ),
  label_key=b"labels",
  num_classes=10,
)

read_cifar100 = functools.partial(
  _read_cifar,
  archive="cifar-100-python.tar.gz",
  splits=(("cifar-100-python/train",), ("cifar-100-python/test",)),
  label_key=b"fine_labels",
  num_classes=100,
)


def read_svhn(folder: Path) -> Arrays:
  """Reads cropped SVHN, whose files store the digit 0 as class 10."""
  import scipy.io

  arrays = []
  for split in ("train", "test"):
    path = _find(folder, f"{split}_32x32.mat")
    with _decoding(path):
      content = scipy.io.loadmat(path, variable_names=("X", "y"))
      images, labels = content["X"], content["y"].ravel()
      if images.ndim != 4 or images.shape[:3] != (32, 32, 3):
        raise JaxkdError(
          f"{path} has X of shape {images.shape}; expected (32, 32, 3, N)."
        )
      labels = np.where(labels == 10, 0, labels.astype(np.int32))
      arrays += _checked(images.transpose(3, 0, 1, 2), labels, 10, path)
  return tuple(arrays)


READERS = {
  "mnist": read_mnist,
  "fashion_mnist": read_mnist,
  "svhn_cropped": read_svhn,
  "cifar10": read_cifar10,
  "cifar100": read_cifar100,
}
