"""Twelve classes of ImageNet out of the user's folders."""

import numpy as np
from PIL import Image
import pytest

from jaxkd import data
from jaxkd.data.__main__ import main
from jaxkd.data.builder import prepare
from jaxkd.types import JaxkdError

WNIDS = [f"n{i:08}" for i in range(14)]


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
  monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
  monkeypatch.setenv("JAXKD_CACHE", str(tmp_path / "cache"))


def write_image(path, value):
  """An image that is no square, with white borders that are cut off."""
  picture = Image.new("RGB", (160, 100), "white")
  picture.paste((value,) * 3, (30, 0, 130, 100))
  path.parent.mkdir(parents=True, exist_ok=True)
  picture.save(path)


def write_folders(root, wnids=WNIDS, splits=("train", "val")):
  for place, wnid in enumerate(wnids):
    for split in splits:
      write_image(root / split / wnid / f"{wnid}_1.JPEG", 10 * place)
  return root


def check(num_test=12):
  """The images of a class are as grey as the class's number says."""
  dataset = data.find("imagenet12")
  assert dataset.spec == data.spec("imagenet12")
  assert data.describe("imagenet12") == data.summary_of(dataset)
  assert (len(dataset.train_labels), len(dataset.test_labels)) == (12, num_test)
  return {
    label: round(float(image.mean()) / 10)
    for label, image in zip(
      dataset.train_labels.tolist(), dataset.train_images, strict=True
    )
  }


def test_a_list_chooses_classes_and_their_order(tmp_path):
  names = tmp_path / "classes.txt"
  lines = [f"{wnid} some, name" for wnid in WNIDS[12:0:-1]]
  names.write_bytes(("\ufeff" + "\r\n".join([*lines, "", ""])).encode())
  root = write_folders(tmp_path / "files")
  main(["prepare", "imagenet12", f"--from={root}", f"--classes={names}"])
  assert check() == {label: 12 - label for label in range(12)}


def test_twelve_folders_need_no_list(tmp_path):
  prepare("imagenet12", write_folders(tmp_path / "files", WNIDS[:12]))
  assert check() == {label: label for label in range(12)}


def test_validation_images_in_one_folder_have_labels_in_a_table(tmp_path):
  root = tmp_path / "ILSVRC/Data/CLS-LOC"
  write_folders(root, WNIDS[:12], splits=("train",))
  (root / "test").mkdir()  # without labels
  write_image(root / "test/ILSVRC2012_test_1.JPEG", 0)
  rows = ["ImageId,PredictionString"]
  for place, wnid in enumerate(WNIDS):
    write_image(root / f"val/v_{place}.JPEG", 10 * place)
    rows.append(f"v_{place},{wnid} 1 2 3 4 {wnid} 5 6 7 8 ")
  (tmp_path / "LOC_val_solution.csv").write_text("\n".join(rows))
  prepare("imagenet12", tmp_path)
  check()
  test = data.find("imagenet12")[3:5]
  np.testing.assert_allclose(test[0].mean((1, 2, 3)) / 10, test[1], atol=0.2)


@pytest.mark.parametrize(
  ("lines", "message"),
  [
    (None, "train has 14 class folders, and 12 are taken; .* by --classes"),
    (WNIDS[:11], "names 11 classes; give the names of 12 folders"),
    ([*WNIDS[:11], "cat"], "and .*train has no folder cat; give"),
    (b"\xff\xfe\x00", "classes.txt can't be read"),
  ],
)
def test_other_lists_are_refused(tmp_path, lines, message):
  root, path = write_folders(tmp_path / "files"), tmp_path / "classes.txt"
  if isinstance(lines, bytes):
    path.write_bytes(lines)
  elif lines:
    path.write_text("\n".join(lines))
  with pytest.raises(JaxkdError, match=message):
    prepare("imagenet12", root, classes=path if lines else None)


def test_folders_without_images_are_named(tmp_path):
  root = write_folders(tmp_path / "files", WNIDS[:12])
  next((root / "val" / WNIDS[3]).iterdir()).unlink()
  with pytest.raises(JaxkdError, match="val has no images of n00000003"):
    prepare("imagenet12", root)
  with pytest.raises(JaxkdError, match="has no folder train or training; it"):
    prepare("imagenet12", root / "val")


def test_it_is_neither_described_nor_downloaded_before(tmp_path):
  with pytest.raises(JaxkdError, match="prepare imagenet12 --from=FOLDER"):
    data.describe("imagenet12")
  with pytest.raises(JaxkdError, match="without an account; give the folder"):
    prepare("imagenet12")
  with pytest.raises(JaxkdError, match="mnist has classes of its own"):
    prepare("mnist", tmp_path, classes="list.txt")
