"""Tiny archives in the formats of the official files, for the tests."""

import gzip
import io
import pickle
import struct
import tarfile

import numpy as np
import scipy.io

TRAIN, TEST = 20, 8


def images_and_labels(count, shape, num_classes, seed=0):
  random = np.random.RandomState(seed)
  images = random.randint(0, 256, (count, *shape)).astype(np.uint8)
  return images, random.randint(0, num_classes, count).astype(np.int32)


def _splits(shape, num_classes):
  return (
    *images_and_labels(TRAIN, shape, num_classes, seed=1),
    *images_and_labels(TEST, shape, num_classes, seed=2),
  )


def write_idx(path, values):
  header = b"\0\0\x08" + bytes([values.ndim])
  data = header + struct.pack(f">{values.ndim}I", *values.shape)
  data += values.astype(np.uint8).tobytes()
  path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_mnist(folder):
  arrays = _splits((28, 28, 1), 10)
  for part, images, labels in (
    ("train", *arrays[:2]),
    ("t10k", *arrays[2:]),
  ):
    write_idx(folder / f"{part}-images-idx3-ubyte.gz", images[..., 0])
    write_idx(folder / f"{part}-labels-idx1-ubyte.gz", labels)
  return arrays


def cifar_pickle(images, labels, label_key):
  rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
  content = {b"data": rows, label_key: labels.tolist(), b"batch_label": b"x"}
  # The official pickles name the module that numpy 1 had.
  return pickle.dumps(content, protocol=3).replace(
    b"numpy._core.multiarray", b"numpy.core.multiarray"
  )


def write_tar(path, members):
  with tarfile.open(path, "w:gz") as tar:
    for name, content in members.items():
      info = tarfile.TarInfo(name)
      info.size = len(content)
      tar.addfile(info, io.BytesIO(content))


def write_cifar10(folder):
  arrays = _splits((32, 32, 3), 10)
  each = TRAIN // 5
  members = {
    f"cifar-10-batches-py/data_batch_{i + 1}": cifar_pickle(
      arrays[0][i * each : (i + 1) * each],
      arrays[1][i * each : (i + 1) * each],
      b"labels",
    )
    for i in range(5)
  }
  members["cifar-10-batches-py/test_batch"] = cifar_pickle(
    *arrays[2:], b"labels"
  )
  write_tar(folder / "cifar-10-python.tar.gz", members)
  return arrays


def write_cifar100(folder):
  arrays = _splits((32, 32, 3), 100)
  members = {
    f"cifar-100-python/{part}": cifar_pickle(images, labels, b"fine_labels")
    for part, images, labels in (("train", *arrays[:2]), ("test", *arrays[2:]))
  }
  write_tar(folder / "cifar-100-python.tar.gz", members)
  return arrays


def write_svhn(folder):
  arrays = _splits((32, 32, 3), 10)
  for part, images, labels in (("train", *arrays[:2]), ("test", *arrays[2:])):
    scipy.io.savemat(
      folder / f"{part}_32x32.mat",
      {
        "X": images.transpose(1, 2, 3, 0),
        "y": np.where(labels == 0, 10, labels).astype(np.uint8)[:, None],
      },
      do_compression=True,
    )
  return arrays


WRITERS = {
  "mnist": write_mnist,
  "fashion_mnist": write_mnist,
  "cifar10": write_cifar10,
  "cifar100": write_cifar100,
  "svhn_cropped": write_svhn,
}
