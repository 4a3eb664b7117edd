"""Preparing, loading and caching of named data sets."""

import os
import socket
import time

from data_archives import TEST, TRAIN, WRITERS, write_idx, write_mnist
import numpy as np
import pytest
import tensorflow_datasets as tfds

from jaxkd.data import DATASETS, load
from jaxkd.data.__main__ import main
from jaxkd.data.builder import prepare
from jaxkd.data.prepared import prepared_dir
from jaxkd.types import JaxkdError


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
  """Makes folders for files, TFDS and cache, and forbids the network."""

  def refuse(*args, **kwargs):
    raise AssertionError("a connection was opened")

  monkeypatch.setattr(socket.socket, "connect", refuse)
  monkeypatch.setattr(socket, "getaddrinfo", refuse)
  monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
  monkeypatch.setenv("JAXKD_CACHE", str(tmp_path / "cache"))
  (tmp_path / "files").mkdir()
  return tmp_path / "files"


def _sorted(images, labels):
  """Sorts examples, because TFDS shuffles what it writes."""
  pairs = zip(images, labels, strict=True)
  return sorted((image.tobytes(), int(label)) for image, label in pairs)


@pytest.mark.parametrize("name", list(WRITERS))
def test_prepared_set_loads_as_written(folders, name, capsys):
  expected = WRITERS[name](folders)
  main(["prepare", name, f"--from={folders}"])
  assert f"{TRAIN} + {TEST} images" in capsys.readouterr().out
  for _ in range(2):  # through TFDS, then from the cache
    dataset = load(name)
    assert dataset.spec == DATASETS[name].spec
    assert _sorted(*dataset[1:3]) == _sorted(*expected[:2])
    assert _sorted(*dataset[3:5]) == _sorted(*expected[2:])
    assert dataset.train_labels.dtype == np.int32


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_stock_tfds_reads_a_prepared_set(folders, name):
  images, labels, *_ = WRITERS[name](folders)
  prepare(name, folders)
  source = tfds.data_source(
    name,
    split="train",
    download=False,
    data_dir=os.environ["TFDS_DATA_DIR"],
  )
  read = [(row["image"], row["label"]) for row in source]
  assert _sorted(*zip(*read, strict=True)) == _sorted(images, labels)


def test_unprepared_set_fails_at_once():
  load_start = time.monotonic()
  with pytest.raises(JaxkdError, match="jaxkd.data prepare cifar10"):
    load("cifar10")
  assert time.monotonic() - load_start < 1


def test_a_cached_set_is_not_decoded_again(folders, tmp_path):
  write_mnist(folders)
  folder = prepare("mnist", folders)
  first = load("mnist", image_size=32)
  assert first.train_images.shape == (TRAIN, 32, 32, 1)
  assert len(list((tmp_path / "cache").iterdir())) == 2  # 28 and 32 pixels
  # Names, sizes and times stay the same, so that the cache remains valid.
  for path in folder.glob("*array_record*"):
    stat = path.stat()
    path.write_bytes(b"\0" * stat.st_size)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
  np.testing.assert_array_equal(
    load("mnist", image_size=32).train_images, first.train_images
  )


def test_cache_of_a_replaced_set_is_not_used(folders):
  write_mnist(folders)
  folder = prepare("mnist", folders)
  assert load("mnist").train_images.any()
  for path in folder.iterdir():
    path.unlink()
  folder.rmdir()
  for split, count in (("train", TRAIN), ("t10k", TEST)):
    write_idx(
      folders / f"{split}-images-idx3-ubyte.gz",
      np.zeros((count, 28, 28), np.uint8),
    )
  prepare("mnist", folders)
  assert not load("mnist").train_images.any()


def test_damaged_cache_is_rebuilt(folders, tmp_path):
  write_mnist(folders)
  prepare("mnist", folders)
  first = load("mnist")
  for damage in (b"", b"\x93NUMPY\x01\x00"):
    for path in (tmp_path / "cache").glob("*/train_images.npy"):
      path.write_bytes(damage)
    np.testing.assert_array_equal(
      load("mnist").train_images, first.train_images
    )


def test_unwritable_cache_does_not_stop_a_load(folders, tmp_path):
  write_mnist(folders)
  prepare("mnist", folders)
  (tmp_path / "cache").write_text("a file where the folder should be")
  assert load("mnist").train_labels.shape == (TRAIN,)


def test_damaged_set_is_named(folders):
  write_mnist(folders)
  folder = prepare("mnist", folders)
  for path in folder.glob("*train.array_record*"):
    path.unlink()
  with pytest.raises(JaxkdError, match="damaged") as error:
    load("mnist")
  assert str(folder) in str(error.value)


def test_failed_preparation_leaves_nothing(folders, tmp_path, monkeypatch):
  write_mnist(folders)

  def full_disk(image):
    raise OSError("No space left on device")

  with monkeypatch.context() as patch:
    patch.setattr("jaxkd.data.builder.to_png", full_disk)
    with pytest.raises(JaxkdError, match="No space"):
      prepare("mnist", folders)
  assert prepared_dir("mnist", None) is None
  assert not list((tmp_path / "tfds").rglob("*array_record*"))
  prepare("mnist", folders)
  assert load("mnist").train_labels.shape == (TRAIN,)


def test_half_set_of_a_killed_preparation_is_not_taken(tmp_path):
  half = tmp_path / "tfds" / "mnist" / "incomplete.1A2B3C_3.0.1"
  half.mkdir(parents=True)
  (half / "dataset_info.json").write_text("{}")
  with pytest.raises(JaxkdError, match="not prepared"):
    load("mnist")


def test_complete_set_is_left_alone(folders, capsys):
  write_mnist(folders)
  prepare("mnist", folders)
  main(["prepare", "mnist", f"--from={folders}"])
  assert "already prepared" in capsys.readouterr().out
  main(["list"])
  listing = capsys.readouterr().out
  assert "mnist_5k" in listing and "embedded" in listing
  assert listing.count("not prepared") == 6


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["mnsit"], "Unknown dataset 'mnsit'. Did you mean mnist"),
    (["mnist_5k"], "is part of the package; there is nothing to prepare"),
    (["mnist", "--from=nowhere"], "--from=nowhere is not a folder"),
    (["mnist", "--from=."], "no file train-images"),
  ],
)
def test_command_line_mistakes(arguments, message, capsys):
  with pytest.raises(SystemExit, match="2"):
    main(["prepare", *arguments])
  error = capsys.readouterr().err
  assert message in error
  assert error.count("\n") <= 2


def test_a_failed_download_names_the_files_to_get(monkeypatch, capsys):
  def offline(*args, **kwargs):
    raise socket.gaierror(-2, "Name or service not known")

  monkeypatch.setattr(socket, "getaddrinfo", offline)
  for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
    monkeypatch.delenv(proxy, raising=False)
  with pytest.raises(SystemExit, match="2"):
    main(["prepare", "cifar10"])
  error = capsys.readouterr().err
  assert "cifar-10-python.tar.gz" in error
  assert "--from=FOLDER" in error


def test_download_reads_and_checks_the_official_files(folders, monkeypatch):
  write_mnist(folders)
  row = DATASETS["mnist"]
  local = tuple(f"file://{folders / u.rsplit('/', 1)[-1]}" for u in row.urls)
  monkeypatch.setitem(DATASETS, "mnist", row._replace(urls=local))
  prepare("mnist")
  assert load("mnist").train_labels.shape == (TRAIN,)


def test_download_of_another_file_is_refused(folders, monkeypatch):
  write_mnist(folders)
  monkeypatch.setattr(
    "urllib.request.urlopen",
    lambda url, timeout: (folders / url.rsplit("/", 1)[-1]).open("rb"),
  )
  with pytest.raises(JaxkdError, match="not have the checksum of the offi"):
    prepare("mnist")
  assert prepared_dir("mnist", None) is None
