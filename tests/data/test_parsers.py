"""Parsers of the official files of MNIST, CIFAR and SVHN."""

import gzip
import pickle
import struct

from data_archives import (
  cifar_pickle,
  images_and_labels,
  write_cifar10,
  write_cifar100,
  write_idx,
  write_mnist,
  write_svhn,
  write_tar,
)
import numpy as np
import pytest

from jaxkd.data.parsers import (
  read_cifar10,
  read_cifar100,
  read_idx,
  read_mnist,
  read_svhn,
)
from jaxkd.types import JaxkdError


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_is_read_plain_and_gzipped(tmp_path, suffix):
  values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
  path = tmp_path / f"values{suffix}"
  write_idx(path, values)
  np.testing.assert_array_equal(read_idx(path), values)


def _idx(*, magic=b"\0\0\x08\x01", length=3, values=b"abc"):
  return magic + struct.pack(">I", length) + values


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (b"", "magic"),
    (b"\0\0\x08", "damaged"),
    (b"\0\0\x08\x03\0\0", "damaged"),
    (_idx(magic=b"\0\0\x0d\x01"), "magic"),
    (_idx(length=4), "cut short"),
    (_idx(length=2**32 - 1), "cut short"),
    (_idx(values=b"abcd"), "cut short"),
    (gzip.compress(_idx())[:-9], "damaged"),
    (gzip.compress(_idx())[:-8] + b"12345678", "damaged"),
  ],
  ids=[
    "empty",
    "half_a_magic",
    "no_length",
    "floats",
    "too_long",
    "far_too_long",
    "too_short",
    "cut_gzip",
    "wrong_checksum",
  ],
)
def test_damaged_idx_names_the_file(tmp_path, content, message):
  path = tmp_path / "train-labels-idx1-ubyte.gz"
  path.write_bytes(content)
  with pytest.raises(JaxkdError, match=message) as error:
    read_idx(path)
  assert str(path) in str(error.value)


def test_mnist_counts_must_agree(tmp_path):
  write_mnist(tmp_path)
  write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", np.zeros(7, dtype=np.uint8))
  with pytest.raises(JaxkdError, match="7 labels for 8 images"):
    read_mnist(tmp_path)


def test_mnist_missing_file_is_named(tmp_path):
  write_mnist(tmp_path)
  (tmp_path / "t10k-images-idx3-ubyte.gz").unlink()
  with pytest.raises(JaxkdError, match=r"no file t10k-images-idx3-ubyte\.gz"):
    read_mnist(tmp_path)


def test_mnist_shape_and_labels_are_checked(tmp_path):
  write_mnist(tmp_path)
  path = tmp_path / "train-images-idx3-ubyte.gz"
  write_idx(path, np.zeros((20, 27, 28), np.uint8))
  with pytest.raises(JaxkdError, match="27, 28"):
    read_mnist(tmp_path)
  write_mnist(tmp_path)
  write_idx(tmp_path / "train-labels-idx1-ubyte.gz", np.full(20, 10, np.uint8))
  with pytest.raises(JaxkdError, match="labels 10 to 10"):
    read_mnist(tmp_path)


@pytest.mark.parametrize(
  ("write", "read"),
  [
    (write_mnist, read_mnist),
    (write_cifar10, read_cifar10),
    (write_cifar100, read_cifar100),
    (write_svhn, read_svhn),
  ],
)
def test_every_reader_returns_what_was_written(tmp_path, write, read):
  expected = write(tmp_path)
  for array, wanted in zip(read(tmp_path), expected, strict=True):
    np.testing.assert_array_equal(array, wanted)
    assert array.dtype in (np.uint8, np.int32)


class _Hostile:
  """A pickle that creates a file when it is loaded without restrictions."""

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return open, (str(self.path), "w")


def test_hostile_pickle_is_refused(tmp_path):
  trap = tmp_path / "trap"
  payload = pickle.dumps({b"data": _Hostile(trap)}, protocol=3)
  write_tar(
    tmp_path / "cifar-100-python.tar.gz",
    {"cifar-100-python/train": payload, "cifar-100-python/test": payload},
  )
  with pytest.raises(JaxkdError, match=r"calling \w+\.open is not allowed"):
    read_cifar100(tmp_path)
  assert not trap.exists()


@pytest.mark.parametrize(
  "payload",
  [
    b"",
    b"no pickle",
    pickle.dumps([1, 2], protocol=3),
    pickle.dumps({b"data": b"", b"fine_labels": []}, protocol=3),
    cifar_pickle(*images_and_labels(4, (32, 32, 3), 100), b"labels"),
  ],
)
def test_foreign_pickle_names_the_archive(tmp_path, payload):
  path = tmp_path / "cifar-100-python.tar.gz"
  write_tar(path, {"cifar-100-python/train": payload})
  with pytest.raises(JaxkdError) as error:
    read_cifar100(tmp_path)
  assert str(path) in str(error.value)


def test_truncated_archives_are_refused(tmp_path):
  write_cifar10(tmp_path)
  write_svhn(tmp_path)
  for name, read in (
    ("cifar-10-python.tar.gz", read_cifar10),
    ("test_32x32.mat", read_svhn),
  ):
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(JaxkdError, match="damaged") as error:
      read(tmp_path)
    assert str(path) in str(error.value)


def test_cifar_member_missing(tmp_path):
  write_tar(tmp_path / "cifar-10-python.tar.gz", {"other": b"x"})
  with pytest.raises(JaxkdError, match="data_batch_1"):
    read_cifar10(tmp_path)
