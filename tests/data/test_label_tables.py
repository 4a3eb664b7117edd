"""Folders of images whose labels stand in tables."""

import unicodedata

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
    ("labels.csv", "0,0.png,dog\n1,1.png,cat\n2,2.png,dog\n3,3.png,cat\n"),
    ("labels.csv", "sep=;\nfile;label\n0.png;b\n1.png;a\n2.png;b\n3.png;a\n"),
    ("labels.csv", "# made by us\n\nid_code,diagnosis\n0,1\n1,0\n2,1\n3,0\n"),
    ("labels.csv", "file, a, b\n0.png, 0, 1\n1,1.0,0.0\n2.png,0,1\n3,1,0\n"),
    ("labels.json", '{"0.png": "dog", "1": "cat", "2": "dog", "3": "cat"}'),
    ("labels.json", '{"labels": [["0.png", 1], ["1.png", 0], ["2.png", 1], '
     '["3.png", 0]]}'),
    ("labels.json", '[{"image": "/data/upload/1/0.png", "id": 7, "choice": "b"}'
     ', {"image": "1.png", "choice": "a"}, {"image": "2.png", "choice": "b"}'
     ', {"image": "/data/local-files/?d=a%2F3.png", "choice": "a"}]'),
    ("list.jsonl", "".join(
      f'{{"file_name": "{i}.png", "label": "{name}"}}\n'
      for i, name in enumerate(("dog", "cat", "dog", "cat"))
    )),
  ],
)  # fmt: skip
def test_tables_without_names_of_columns(tmp_path, name, content):
  dataset = find(folder_of(tmp_path, {name: content.encode()}))
  assert dataset.test_images[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
  assert dataset.test_labels.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
  "folder", ["C:\\ours\\", "/home/us/data/", "file:///a/"]
)
def test_paths_of_another_computer(tmp_path, folder):
  images = ("b/ä 1.png", "a/ä 1.png", "c.png")
  end = folder[-1]
  given = [folder + name.replace("/", end) for name in images]
  if folder.startswith("file"):
    given = [name.replace("ä ", "%C3%A4%20") for name in given]
  # macOS takes letters and their accents apart.
  images = [unicodedata.normalize("NFD", name) for name in images]
  lines = "".join(f'"{name}";{i}\r\n' for i, name in enumerate(given))
  tables = {"t.csv": f"image;label\r\n{lines}".encode("utf-8-sig")}
  dataset = find(folder_of(tmp_path, tables, images))
  assert dataset.test_images[:, 0, 0, 0].tolist() == [0, 1, 2]
  assert dataset.test_labels.tolist() == [0, 1, 2]


def test_a_list_of_files_for_each_class(tmp_path):
  tables = {"t.json": b'{"b": ["0.png", "2.png"], "a": ["1.png"]}'}
  dataset = find(folder_of(tmp_path, tables, NAMES[:3]))
  assert dataset.test_images[:, 0, 0, 0].tolist() == [0, 2, 1]
  assert dataset.test_labels.tolist() == [1, 1, 0]


def test_one_name_for_several_images(tmp_path):
  tables = {"t.csv": b"file,label\n1.png,x\n2.png,y\n"}
  path = folder_of(tmp_path, tables, ("a/1.png", "b/1.png", "2.png"))
  with pytest.raises(JaxkdError, match=r"2 such images .a/1.png, b/1.png."):
    find(path)


def test_file_names_with_spaces(tmp_path):
  images = ("my cat.png", "my dog.png")
  tables = {"t.txt": b"my cat.png  3\nmy dog.png  1\n"}
  dataset = find(folder_of(tmp_path, tables, images))
  assert dataset.test_labels.tolist() == [3, 1]


def test_numbers_as_programs_write_them(tmp_path):
  images = [f"{i}.png" for i in range(11)]
  lines = "".join(f"{i}.png,{i}.0\n" for i in range(11))
  dataset = find(
    folder_of(tmp_path, {"t.csv": f"file,label\n{lines}".encode()}, images)
  )
  assert dataset.test_labels.tolist() == list(range(11))


def test_numbers_of_classes_beside_their_names(tmp_path):
  table = b"file,class_name,class_id\n0.png,yak,0\n1.png,ant,1\n2.png,yak,0\n"
  path = folder_of(tmp_path, {"t.csv": table}, NAMES[:3])
  teacher = DataSpec("teacher", (4, 4, 1), 2, (0.5,), (0.5,))
  assert find(path, teacher=teacher).test_labels.tolist() == [0, 1, 0]
  named = find(path, teacher=teacher, class_names=("ant", "yak"))
  assert named.test_labels.tolist() == [1, 0, 1]


def test_labels_in_other_case_are_the_teachers_classes(tmp_path):
  table = b"file,label\n0.png,Cat\n1.png,dog\n2.png,cat\n3.png,DOG\n"
  teacher = DataSpec("teacher", (4, 4, 1), 2, (0.5,), (0.5,))
  path = folder_of(tmp_path, {"t.csv": table})
  dataset = find(path, teacher=teacher, class_names=("dog", "cat"))
  assert dataset.test_labels.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
  "table",
  [
    "file,label,split\n0.png,b,train\n1.png,a,train\n2.png,b,val\n",
    "TRAINING,gs://a/0.png,b\nTRAINING,gs://a/1.png,a\nTEST,gs://a/2.png,b\n",
  ],
)
def test_a_column_of_splits(tmp_path, table, capsys):
  dataset = find(folder_of(tmp_path, {"all.csv": table.encode()}))
  assert dataset.train_labels.tolist() == [1, 0]
  assert dataset.test_images[:, 0, 0, 0].tolist() == [2]
  assert dataset.test_labels.tolist() == [1]
  assert "1 other images are left out" in capsys.readouterr().out


def test_an_example_of_answers_has_no_labels(tmp_path, capsys):
  images = ("train/0.png", "train/1.png", "test/2.png")
  tables = {
    "train.csv": b"id,label\n0,1\n1,0\n",
    "sample_submission.csv": b"id,label\n2,0\n",
  }
  dataset = find(folder_of(tmp_path, tables, images))
  assert dataset.train_labels.tolist() == [1, 0]
  assert not len(dataset.test_labels)
  assert "sample_submission.csv is left out" in capsys.readouterr().out


def test_several_lines_for_one_image(tmp_path):
  table = "filename,class,x\n0.png,b,1\n0.png,b,2\n1.png,a,3\n"
  path = folder_of(tmp_path, {"t.csv": table.encode()}, NAMES[:2])
  assert find(path).test_labels.tolist() == [1, 0]
  (tmp_path / "t.csv").write_text(f"{table}1.png,b,4\n")
  with pytest.raises(JaxkdError, match=r"1.png has the labels a and b"):
    find(path)
  (tmp_path / "t.csv").write_text("file,a,b\n0.png,1,1\n1.png,0,1\n")
  with pytest.raises(JaxkdError, match=r"has 2 classes of 0.png"):
    find(path)


def test_a_table_of_all_images_beside_those_of_splits(tmp_path):
  tables = {
    "all.csv": b"file,label\n0.png,1\n1.png,0\n2.png,1\n",
    "train.csv": b"file,label\n0.png,1\n1.png,0\n",
  }
  dataset = find(folder_of(tmp_path, tables, NAMES[:3]))
  assert dataset.train_labels.tolist() == [1, 0]
  assert dataset.test_images[:, 0, 0, 0].tolist() == [2]


def test_a_list_of_the_folders_is_no_table(tmp_path):
  tables = {"map.csv": b"id,label\n0,cat\n1,dog\n"}
  images = ("cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png")
  dataset = find(folder_of(tmp_path, tables, images))
  assert dataset.test_labels.tolist() == [0, 0, 1, 1]


def test_the_path_of_a_table_leads_to_its_folder(tmp_path):
  path = folder_of(tmp_path, {"t.csv": table().encode()})
  with pytest.raises(
    JaxkdError, match=f"Name the folder of the images.*{path}"
  ):
    find(f"{path}/t.csv")


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
    ("0.png", "has no label of 0.png"),
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


def test_numbers_of_images_are_no_labels(tmp_path):
  images = ("images/a/0.jpg", "images/a/1.jpg", "images/b/2.jpg")
  lines = b"1 a/0.jpg\n2 a/1.jpg\n3 b/2.jpg\n"
  tables = {"images.txt": lines, "image_class_labels.txt": b"1 1\n2 1\n3 2\n"}
  dataset = find(folder_of(tmp_path, tables, images))
  assert dataset.test_labels.tolist() == [0, 0, 1]


def test_a_table_of_other_images_beside_those_of_splits(tmp_path):
  images = ("Train/0.png", "Train/1.png", "Test/2.png", "Meta/3.png")
  header = "Width,ClassId,Path"
  tables = {
    "Train.csv": f"{header}\n4,1,Train/0.png\n4,0,Train/1.png\n".encode(),
    "Test.csv": f"{header}\n4,1,Test/2.png\n".encode(),
    "Meta.csv": f"{header}\n4,0,Meta/3.png\n".encode(),
  }
  dataset = find(folder_of(tmp_path, tables, images))
  assert dataset.train_labels.tolist() == [1, 0]
  assert dataset.test_images[:, 0, 0, 0].tolist() == [2]


def test_a_number_that_is_missing(tmp_path):
  tables = {"t.csv": b"file,label\n0.png,1.0\n1.png,0.0\n2.png,nan\n"}
  with pytest.raises(JaxkdError, match="no label of 2.png"):
    find(folder_of(tmp_path, tables))


def test_what_is_no_table_is_not_read(tmp_path):
  tables = {"log.csv": b"file,label\n" + b"x" * 200_000, "a.json": b"{"}
  images = ("cat/0.png", "dog/1.png")
  dataset = find(folder_of(tmp_path, tables, images))
  assert dataset.test_labels.tolist() == [0, 1]
