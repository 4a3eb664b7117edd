"""Folders of images whose labels stand in tables."""

import numpy as np
from PIL import Image
import pytest

from jaxkd.data import find
from jaxkd.types import DataSpec, JaxkdError

NAMES = tuple(f"{i}.png" for i in range(4))


def folder_of(root, tables, images=NAMES):
  """Writes images that are as grey as their place, and tables beside them."""
  for place, name in enumerate(images):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4), place).save(path)
  for name, content in tables.items():
    (root / name).write_bytes(content)
  return str(root)


def table(delimiter=",", end="\n", columns=("filename", "label"), names=NAMES):
  labels = ("dog", "cat", "dog", "cat")
  lines = [columns, *zip(names, labels, strict=True)]
  return "".join(delimiter.join(line) + end for line in lines)


@pytest.mark.parametrize(
  "content",
  [
    table().encode(),
    table(";", "\r\n").encode("utf-8-sig"),
    table("\t").encode("utf-16"),
    table(columns=("Image ID", "Class Name"), names="0123").encode(),
    table(names=[f"C:\\photos\\{name}" for name in NAMES]).encode(),
  ],
)
def test_tables_as_systems_write_them(tmp_path, content, capsys):
  images = [f"images/{name}" for name in NAMES]
  path = folder_of(tmp_path, {"labels.csv": content}, images)
  teacher = DataSpec("teacher", (4, 4, 1), 2, (0.5,), (0.5,))
  dataset = find(path, teacher=teacher, class_names=("dog", "cat"))
  assert not len(dataset.train_labels)  # without splits nothing is trained on
  assert dataset.test_images[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
  assert dataset.test_labels.tolist() == [0, 1, 0, 1]
  assert "labels are those of labels.csv" in capsys.readouterr().out


@pytest.mark.parametrize(
  ("name", "content"),
  [
    ("labels.csv", "0.PNG,dog\n1.png,cat\n2.png,dog\n3.png,cat\n"),
    ("labels.txt", "0.png dog\r\n1.png cat\r\n2.png dog\r\n3.png cat"),
    ("list.jsonl", "".join(
      f'{{"file_name": "{i}.png", "label": "{name}"}}\n'
      for i, name in enumerate(("dog", "cat", "dog", "cat"))
    )),
  ],
)  # fmt: skip
def test_tables_without_names_of_columns(tmp_path, name, content):
  dataset = find(folder_of(tmp_path, {name: content.encode()}))
  assert dataset.test_labels.tolist() == [1, 0, 1, 0]


def test_tables_in_the_folders_of_splits(tmp_path):
  images = [f"{split}/{i}.png" for split in ("train", "test") for i in range(2)]
  tables = {
    "train/metadata.csv": b"file_name,label\n0.png,1\n1.png,0\n",
    "test/metadata.csv": b"file_name,label\n0.png,0\n1.png,1\n",
  }
  dataset = find(folder_of(tmp_path, tables, images))
  assert dataset.train_images[:, 0, 0, 0].tolist() == [0, 1]
  assert dataset.train_labels.tolist() == [1, 0]
  assert dataset.test_images[:, 0, 0, 0].tolist() == [2, 3]
  assert dataset.test_labels.tolist() == [0, 1]


def test_tables_of_splits(tmp_path):
  images = [f"{split}/{i}.png" for split in ("train", "test") for i in range(3)]
  tables = {
    "train.csv": b"id,target\n0,1\n1,0\n2,1\n",
    "val.csv": b"id,target\ntest/1,0\n",
    "test.csv": b"id\n0\n1\n",  # without labels, as in contests
    "notes.csv": b"",
  }
  dataset = find(folder_of(tmp_path, tables, images))
  assert dataset.train_images[:, 0, 0, 0].tolist() == [0, 1, 2]
  assert dataset.train_labels.tolist() == [1, 0, 1]
  assert dataset.test_images[:, 0, 0, 0].tolist() == [4]
  assert dataset.test_labels.tolist() == [0]


def test_folders_of_splits_with_one_table(tmp_path):
  images = ("train/a.png", "train/b.png", "valid/c.png")
  content = "path,class\ntrain/a.png,x\ntrain/b.png,Käfer\nvalid/c.png,x\n"
  tables = {"all.csv": content.encode("cp1252")}
  dataset = find(folder_of(tmp_path, tables, images))
  assert dataset.train_labels.tolist() == [1, 0]
  np.testing.assert_array_equal(dataset.test_images, 2)
  assert dataset.test_labels.tolist() == [1]


@pytest.mark.parametrize(
  ("line", "message"),
  [
    ("9.png,cat", "names 9.png, and there is no such image"),
    ("0.png, ", "has no label of 0.png"),
  ],
)
def test_lines_without_image_or_label_are_named(tmp_path, line, message):
  tables = {"train.csv": f"{table()}{line}\n".encode()}
  with pytest.raises(JaxkdError, match=message):
    find(folder_of(tmp_path, tables))


def test_other_tables_are_ignored(tmp_path):
  tables = {"sizes.csv": b"file,width\n0.png,4\n", "classes.csv": b"id,name\n"}
  images = ("cat/0.png", "dog/1.png")
  dataset = find(folder_of(tmp_path, tables, images))
  assert dataset.test_labels.tolist() == [0, 1]
