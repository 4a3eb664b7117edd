"""The archive of Tiny-ImageNet, packed, unpacked and damaged."""

import io
import shutil

import numpy as np
from PIL import Image
import pytest

from jaxkd import data
from jaxkd.data.__main__ import main
from jaxkd.data.builder import prepare
from jaxkd.data.tiny_imagenet import open_tiny_imagenet
from jaxkd.types import JaxkdError

# In another order than that of their names.
WNIDS = [f"n{i * 7 % 200:08}" for i in range(200)]


def jpeg(value, mode="RGB"):
  file = io.BytesIO()
  color = (value,) * len(mode) if mode == "RGB" else value
  Image.new(mode, (64, 64), color).save(file, format="jpeg", quality=95)
  return file.getvalue()


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
  """The unpacked archive with an image per class, grey as its class is."""
  root = tmp_path_factory.mktemp("archive") / "tiny-imagenet-200"
  for folder in ("val/images", "test/images"):
    root.joinpath(folder).mkdir(parents=True)
  rows = []
  for place, wnid in enumerate(sorted(WNIDS)):
    folder = root / "train" / wnid
    (folder / "images").mkdir(parents=True)
    (folder / f"{wnid}_boxes.txt").write_text("")
    mode = "L" if place == 3 else "RGB"  # the official archive has some
    (folder / "images" / f"{wnid}_0.JPEG").write_bytes(jpeg(place, mode))
    (root / "val/images" / f"val_{place}.JPEG").write_bytes(jpeg(place))
    rows.append(f"val_{place}.JPEG\t{wnid}\t0\t0\t62\t62\r\n")
  (root / "val" / "val_annotations.txt").write_text("".join(rows))
  (root / "test/images/test_0.JPEG").write_bytes(jpeg(0))
  (root / "wnids.txt").write_text("\n".join(WNIDS) + "\n")
  (root / "words.txt").write_text("n00000000\tentity\n")
  return root


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
  monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
  monkeypatch.setenv("JAXKD_CACHE", str(tmp_path / "cache"))


def copied(archive, tmp_path):
  return shutil.copytree(archive, tmp_path / archive.name)


def test_the_packed_archive_is_prepared_and_loaded(archive, tmp_path):
  packed = tmp_path / "files" / archive.name
  shutil.make_archive(str(packed), "zip", archive.parent)
  assert data.describe("tiny_imagenet").num_train == 100_000
  main(["prepare", "tiny_imagenet", f"--from={packed.parent}"])
  dataset = data.find("tiny_imagenet")
  assert dataset.spec == data.spec("tiny_imagenet")
  assert data.describe("tiny_imagenet") == data.summary_of(dataset)
  for images, labels in (dataset[1:3], dataset[3:5]):
    assert images.shape == (200, 64, 64, 3)
    assert sorted(labels) == list(range(200))
    greys = images.mean((1, 2, 3))  # JPEG keeps them but for rounding
    np.testing.assert_allclose(greys, labels, atol=1)


@pytest.mark.parametrize("inside", [True, False])
def test_the_unpacked_archive_is_read(archive, inside):
  with open_tiny_imagenet(archive if inside else archive.parent) as files:
    assert files.classes == tuple(sorted(WNIDS))
    assert [label for _, label in files.train] == list(range(200))
    assert len(files.test) == 200
    assert files.read(files.train[0][0]) == jpeg(0)
    grey = files.read(files.train[3][0])
    assert Image.open(io.BytesIO(grey)).mode == "RGB"


def test_validation_images_may_be_in_class_folders(archive, tmp_path):
  root = copied(archive, tmp_path)
  for place, wnid in enumerate(sorted(WNIDS)):
    (root / "val" / wnid).mkdir()
    image = root / "val/images" / f"val_{place}.JPEG"
    image.rename(root / "val" / wnid / image.name)
  (root / "val" / "val_annotations.txt").unlink()
  with open_tiny_imagenet(root) as files:
    assert sorted(label for _, label in files.test) == list(range(200))


@pytest.mark.parametrize(
  ("file", "content", "message"),
  [
    ("wnids.txt", b"n00000000\n", "wnids.txt names 1 classes; Tiny-Im"),
    ("val/val_annotations.txt", None, "has no file val/val_annotations.txt"),
    ("val/images/new.JPEG", jpeg(0), "no class of val/images/new.JPEG"),
    (f"train/{WNIDS[0]}/images/{WNIDS[0]}_0.JPEG", None, "no images of n00"),
    ("train/other/a.JPEG", jpeg(0), "train has images of other, none of the"),
  ],
)
def test_incomplete_archives_are_refused(
  archive, tmp_path, file, content, message
):
  path = copied(archive, tmp_path) / file
  path.parent.mkdir(exist_ok=True)
  if content is None:
    path.unlink()
  else:
    path.write_bytes(content)
  with pytest.raises(JaxkdError, match=message):
    prepare("tiny_imagenet", tmp_path)
  assert not list((tmp_path / "tfds").rglob("*"))


def test_a_damaged_image_is_named(archive, tmp_path):
  root = copied(archive, tmp_path)
  path = root / "val/images/val_7.JPEG"
  path.write_bytes(jpeg(7)[:300])
  with open_tiny_imagenet(root) as files:
    name = files.test[7][0] if "val_7." in files.test[7][0] else None
    with pytest.raises(JaxkdError, match=r"val_7.JPEG cannot be read"):
      files.read(name or "val/images/val_7.JPEG")


@pytest.mark.parametrize("content", [None, b"", b"PK"])
def test_what_is_no_archive_is_refused(tmp_path, content):
  if content is not None:
    (tmp_path / "tiny-imagenet-200.zip").write_bytes(content)
  message = "no file wnids.txt and no tiny" if content is None else "damaged"
  with pytest.raises(JaxkdError, match=message):
    prepare("tiny_imagenet", tmp_path)
