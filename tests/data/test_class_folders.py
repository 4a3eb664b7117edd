"""Folders of classes as other people and systems leave them."""

import os
from pathlib import Path

import numpy as np
from PIL import Image
import pytest

from jaxkd.data import class_folders
from jaxkd.data.pictures import open_image
from jaxkd.data.user_data import describe_path, load_path
from jaxkd.serialization.data_spec import check_spec
from jaxkd.types import DataSpec, JaxkdError

TEACHER = DataSpec("bundle", (4, 4, 1), 3, (0.5,), (0.5,))


def put(*paths, value=0):
  for path in paths:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4), value).save(path)


def labels(dataset):
  return dataset.train_labels.tolist(), dataset.test_labels.tolist()


def test_an_empty_folder_is_a_class_without_images(tmp_path, capsys):
  put(tmp_path / "a/1.png", tmp_path / "c/1.png")
  (tmp_path / "b").mkdir()
  (tmp_path / "b" / "photo.heic").write_text("not read")
  loaded = load_path(str(tmp_path), TEACHER)
  assert labels(loaded) == ([], [0, 2])
  assert capsys.readouterr().out == (
    f"user:{tmp_path.name}: {tmp_path.name} has no images of b.\n"
    f"user:{tmp_path.name}: 1 files of type .heic are not read.\n"
  )
  assert load_path(str(tmp_path), None).spec.num_classes == 3


def test_a_pipe_is_no_image(tmp_path, capsys):
  """Opening one waits for ever."""
  put(*(tmp_path / name / "1.png" for name in "abc"))
  os.mkfifo(tmp_path / "b" / "2.png")
  assert labels(load_path(str(tmp_path), TEACHER)) == ([], [0, 1, 2])
  assert "1 files of type .png are not read" in capsys.readouterr().out
  with (
    pytest.raises(JaxkdError, match=r"2\.png is a pipe or device"),
    open_image(tmp_path / "b" / "2.png"),
  ):
    pass


@pytest.mark.parametrize(
  "name",
  ["lost+found", "__MACOSX", ".Trash-1000", "$RECYCLE.BIN", "@eaDir",
   "System Volume Information"],
)  # fmt: skip
def test_folders_of_the_system_are_no_classes(tmp_path, name):
  put(tmp_path / "a/1.png", tmp_path / "b/1.png", tmp_path / name / "._1.png")
  (tmp_path / "Thumbs.db").write_text("no image")
  assert load_path(str(tmp_path), None).spec.num_classes == 2


def test_an_unreadable_folder_is_named(tmp_path, monkeypatch):
  put(tmp_path / "a/1.png", tmp_path / "b/1.png")

  def refuse(path):
    if path.name != tmp_path.name:
      raise PermissionError(13, "Permission denied", str(path))
    return iterdir(path)

  iterdir = Path.iterdir
  monkeypatch.setattr(Path, "iterdir", refuse)
  with pytest.raises(JaxkdError, match=r"a can't be read .Permission denied."):
    load_path(str(tmp_path), None)


def test_images_may_lie_deeper(tmp_path):
  put(
    tmp_path / "train/n01/images/1.JPEG", tmp_path / "train/n02/images/1.JPEG"
  )
  put(tmp_path / "val/n01/1.JPEG", tmp_path / "val/n02/.hidden/2.JPEG")
  put(tmp_path / "test/images/1.JPEG")  # without labels
  assert labels(load_path(str(tmp_path), None)) == ([0, 1], [0])


def test_the_folder_of_an_archive_is_looked_into(tmp_path):
  put(tmp_path / "pets/train/a/1.png", tmp_path / "pets/train/b/1.png")
  put(
    tmp_path / "pets/Validation/b/1.png", tmp_path / "pets/Validation/a/1.png"
  )
  assert labels(load_path(str(tmp_path), None)) == ([0, 1], [0, 1])


@pytest.mark.parametrize(
  ("train", "test"),
  [
    ("train_set", "test_set"),
    ("01 Train", "02 Val"),
    ("seg_train/seg_train", "seg_test/seg_test"),
    ("train/images", "valid/images"),
  ],
)
def test_splits_as_people_name_them(tmp_path, train, test):
  put(*(tmp_path / train / name / "1.png" for name in ("Cat", "dog")))
  put(*(tmp_path / test / name / "1.png" for name in ("cat", "dog ")))
  put(tmp_path / "seg_pred" / "1.png")
  assert labels(load_path(str(tmp_path), None)) == ([0, 1], [0, 1])


def test_classes_may_be_named_as_splits_are(tmp_path):
  put(tmp_path / "train_station/a/1.png", tmp_path / "test_track/b/1.png")
  assert labels(load_path(str(tmp_path), None)) == ([], [0, 1])


def test_links_are_followed_but_not_in_circles(tmp_path):
  put(*(tmp_path / "photos" / name / "1.png" for name in "ab"))
  for name in "ab":
    (tmp_path / "data" / name).mkdir(parents=True)
    (tmp_path / "data" / name / "part").symlink_to(tmp_path / "photos" / name)
    (tmp_path / "data" / name / "all").symlink_to(tmp_path / "data")
  assert labels(load_path(str(tmp_path / "data"), None)) == ([], [0, 1])


def test_names_that_are_no_utf_8_can_be_printed(tmp_path):
  put(tmp_path / "a/1.png")
  (tmp_path / os.fsdecode(b"caf\xe9")).mkdir()
  assert class_folders.read(tmp_path).classes == ("a", "café")


def test_folders_around_it_may_be_several(tmp_path):
  put(
    *(
      tmp_path / f"data/images/{k}/{n}/1.png"
      for k in ("train", "valid")
      for n in "ab"
    )
  )
  assert labels(load_path(str(tmp_path), None)) == ([0, 1], [0, 1])
  put(tmp_path / "one/2/deeper/1.png")
  assert labels(load_path(str(tmp_path / "one"), TEACHER)) == ([], [2])


def test_a_folder_of_documents_is_no_class_of_the_teacher(tmp_path, capsys):
  put(*(tmp_path / name / "1.png" for name in ("a", "b", "z")))
  (tmp_path / "docs").mkdir()
  (tmp_path / "docs" / "readme.md").write_text("about")
  assert load_path(str(tmp_path), TEACHER).test_labels.tolist() == [0, 1, 2]
  assert "docs has no images and is no class" in capsys.readouterr().out


def test_a_split_that_is_left_out_is_said(tmp_path, capsys):
  for split in ("train", "valid", "test"):
    put(tmp_path / split / "a/1.png", tmp_path / split / "b/1.png")
  load_path(str(tmp_path), None)
  assert "valid is left out, test is used" in capsys.readouterr().out


def test_images_without_classes_are_said_to_be_left_out(tmp_path, capsys):
  for split in ("train", "valid"):
    put(tmp_path / split / "a/1.png", tmp_path / split / "b/1.png")
  put(tmp_path / "test/1.png")
  assert labels(load_path(str(tmp_path), None)) == ([0, 1], [0, 1])
  said = capsys.readouterr().out
  assert "test has images without classes and is left out" in said


def test_files_of_data_beside_folders_are_said_to_be_left_out(tmp_path, capsys):
  put(*(tmp_path / name / "1.png" for name in "abc"))
  for name in (".x.zip", "more.zip", "readme.md", "t.tfrecord-00000-of-00004"):
    (tmp_path / name).write_text("not read")
  assert labels(load_path(str(tmp_path), TEACHER)) == ([], [0, 1, 2])
  said = capsys.readouterr().out
  assert "more.zip, t.tfrecord-00000-of-00004 is left out, the fo" in said


def test_a_class_without_test_images(tmp_path, capsys):
  put(*(tmp_path / "train" / name / "1.png" for name in "abc"))
  put(*(tmp_path / "test" / name / "1.png" for name in "ac"))
  assert labels(load_path(str(tmp_path), None)) == ([0, 1, 2], [0, 2])
  assert "test has no images of b." in capsys.readouterr().out


def test_a_class_without_training_images_needs_a_teacher(tmp_path):
  put(*(tmp_path / "train" / name / "1.png" for name in "ac"))
  put(*(tmp_path / "test" / name / "1.png" for name in "abc"))
  assert labels(load_path(str(tmp_path), TEACHER)) == ([0, 2], [0, 1, 2])
  with pytest.raises(JaxkdError, match="b is a class in train or test only"):
    load_path(str(tmp_path), None)


def test_folders_named_as_the_teachers_classes_have_its_order(tmp_path):
  put(tmp_path / "Two_legs/1.png", tmp_path / "one/1.png")
  names = ("zero", "one", "two legs")
  loaded = load_path(str(tmp_path), TEACHER, class_names=names)
  assert loaded.test_labels.tolist() == [1, 2]
  summary = describe_path(str(tmp_path), TEACHER, class_names=names)
  assert summary.num_test == 2
  put(tmp_path / "tree/1.png")
  with pytest.raises(JaxkdError, match="tree is none of the teacher's classes"):
    load_path(str(tmp_path), TEACHER, class_names=names)


def test_other_names_are_in_order_of_the_folders(tmp_path):
  put(*(tmp_path / name / "1.png" for name in ("n3", "n1", "n2")))
  names = ("cat", "ant", "bee")
  loaded = load_path(str(tmp_path), TEACHER, class_names=names)
  assert loaded.test_labels.tolist() == [0, 1, 2]


def test_fewer_numbers_than_classes_are_the_classes(tmp_path):
  """The folders of `jaxkd.export images` are named so."""
  put(tmp_path / "0002/1.png", tmp_path / "0000/1.png")
  assert load_path(str(tmp_path), TEACHER).test_labels.tolist() == [0, 2]


def test_one_class_is_enough_to_test_a_teacher(tmp_path):
  put(tmp_path / "2/1.png")
  assert load_path(str(tmp_path), TEACHER).test_labels.tolist() == [2]


def test_only_other_files(tmp_path):
  (tmp_path / "a").mkdir()
  (tmp_path / "a" / "1.heic").write_text("")
  with pytest.raises(JaxkdError, match=r"It has files of type \.heic"):
    load_path(str(tmp_path), TEACHER)


def test_labels_from_one_on(tmp_path, capsys):
  pixels = np.zeros((3, 4, 4), np.uint8)
  path = write(tmp_path / "a.npz", images=pixels, labels=np.array([1, 3, 2]))
  assert load_path(path, TEACHER).test_labels.tolist() == [0, 2, 1]
  assert "labels of 1 to 3 are counted from 0" in capsys.readouterr().out
  path = write(tmp_path / "a.npz", images=pixels, labels=np.array([1, 4, 2]))
  with pytest.raises(JaxkdError, match="labels 1 to 4; expected 0 to 2"):
    load_path(path, TEACHER)


def test_what_is_no_data_set_is_named(tmp_path):
  path = write(tmp_path / "a.npz", images=np.zeros((0, 4, 4)), labels=[])
  with pytest.raises(JaxkdError, match="holds no image"):
    load_path(path, None)
  (tmp_path / "a.zip").write_text("")
  with pytest.raises(JaxkdError, match=r"neither a folder nor.*unpack an arch"):
    load_path(str(tmp_path / "a.zip"), None)


def write(path, **arrays):
  np.savez(path, **arrays)
  return str(path)


@pytest.mark.parametrize(
  ("given", "expected"),
  [
    (np.array(["bee", "ant", "bee"]), [2, 1, 2]),
    (np.array([b"bee", b"ant", b"bee"]), [2, 1, 2]),
    (np.array(["Bee", "ant", "bee"]), [2, 1, 2]),
    (np.array([2.0, 1.0, 2.0]), [2, 1, 2]),
    (np.array([[0, 0, 1.0], [0, 1, 0], [0, 0, 1]]), [2, 1, 2]),
    (np.array([True, False, True]), [1, 0, 1]),
    (np.array([2, 2, 2]), [2, 2, 2]),
  ],
)
@pytest.mark.parametrize(
  "names",
  [("X_test", "y_test"), ("images", "labels"), ("x", "y"), ("data", "target")],
)
def test_labels_of_arrays(tmp_path, given, expected, names):
  arrays = dict(zip(names, (np.zeros((3, 4, 4), np.uint8), given), strict=True))
  path = write(tmp_path / "a.npz", **arrays)
  names = ("cat", "ant", "bee")
  loaded = load_path(path, TEACHER, class_names=names)
  assert loaded.test_labels.tolist() == expected


@pytest.mark.parametrize(
  ("pixels", "note"),
  [
    (np.arange(256).reshape(16, 4, 4), "int64 are taken as pixels of 0 to 255"),
    (np.arange(256.0, dtype="f4").reshape(16, 4, 4), "float32 are taken"),
    (np.arange(0, 65536, 257, "u2").reshape(16, 4, 4), "16 bits are scaled"),
    (np.arange(256, dtype="u1").reshape(16, 1, 4, 4)[:, :, :, :], ""),
    ((np.arange(256) / 255).reshape(16, 4, 4), ""),
  ],
)
def test_pixels_of_arrays(tmp_path, capsys, pixels, note):
  path = write(tmp_path / "a.npz", images=pixels, labels=np.arange(16) % 2)
  loaded = load_path(path, None)
  assert loaded.test_images.ravel().tolist() == list(range(256))
  said = capsys.readouterr().out
  assert note in said and bool(said) == bool(note)


def test_zeros_and_ones_are_black_and_white(tmp_path, capsys):
  for dtype in (bool, np.uint8, np.int64):
    pixels = np.eye(4, dtype=dtype)[None].repeat(2, 0)
    path = write(tmp_path / "a.npz", images=pixels, labels=np.arange(2))
    expected = 255 * np.eye(4)[None, :, :, None].repeat(2, 0)
    np.testing.assert_array_equal(load_path(path, None).test_images, expected)
    assert "black and white" in capsys.readouterr().out


def test_channels_first(tmp_path):
  pixels = np.arange(2 * 3 * 8 * 9, dtype=np.uint8).reshape(2, 3, 8, 9)
  path = write(tmp_path / "a.npz", images=pixels, labels=np.arange(2))
  loaded = load_path(path, None)
  np.testing.assert_array_equal(
    loaded.test_images, pixels.transpose(0, 2, 3, 1)
  )


def test_a_folder_of_training_images_alone_is_trained_on(tmp_path):
  put(*(tmp_path / "train" / name / "1.png" for name in ("a", "b")))
  assert labels(load_path(str(tmp_path), None)) == ([0, 1], [])


def test_accents_are_compared_however_a_system_writes_them(tmp_path):
  put(tmp_path / "cafe\u0301/1.png", value=1)
  put(tmp_path / "dog/1.png", value=2)
  loaded = load_path(
    str(tmp_path),
    TEACHER._replace(num_classes=2),
    class_names=("dog", "caf\u00e9"),
  )
  assert labels(loaded) == ([], [0, 1])
  assert loaded.test_images[:, 0, 0, 0].tolist() == [2, 1]


def test_numbers_in_the_order_of_names_are_said(tmp_path, capsys):
  put(*(tmp_path / name / "1.png" for name in ("1", "2", "10")))
  load_path(str(tmp_path), None)
  assert "as in torchvision: 10 comes before 2" in capsys.readouterr().out


def test_folders_of_one_class(tmp_path):
  put(*(tmp_path / name / "1.png" for name in ("Cat", "cat", "dog")))
  teacher = TEACHER._replace(num_classes=2)
  loaded = load_path(str(tmp_path), teacher, class_names=("dog", "cat"))
  assert loaded.test_labels.tolist() == [0, 1, 1]
  assert load_path(str(tmp_path), None).spec.num_classes == 3


def test_letters_of_both_cases_are_classes(tmp_path):
  places = [
    tmp_path / split / name for split in ("train", "test") for name in "Aab"
  ]
  put(*(place / "1.png" for place in places))
  assert labels(load_path(str(tmp_path), None)) == ([0, 1, 2], [0, 1, 2])
  loaded = load_path(str(tmp_path), TEACHER, class_names=("a", "A", "b"))
  assert labels(loaded) == ([0, 1, 2], [0, 1, 2])


def test_splits_without_classes_are_no_classes(tmp_path):
  put(tmp_path / "train_images/1.png", tmp_path / "valid/1.png")
  message = "train_images, valid have images without classes"
  with pytest.raises(JaxkdError, match=message):
    load_path(str(tmp_path), None)


def test_parts_of_a_download_are_no_classes(tmp_path):
  names = (f"pets-20240101T000000Z-00{i}" for i in (1, 2))
  put(*(tmp_path / name / "pets" / "cat" / "1.png" for name in names))
  with pytest.raises(JaxkdError, match="parts of one download; merge the"):
    load_path(str(tmp_path), None)


def test_a_copy_of_all_classes_is_no_class(tmp_path, capsys):
  for folder in (tmp_path / "cells", tmp_path / "cells" / "cells"):
    put(folder / "a" / "1.png", folder / "b" / "1.png")
  assert labels(load_path(str(tmp_path), None)) == ([], [0, 1])
  assert "cells has the same folders and is left" in capsys.readouterr().out


def test_masks_beside_images_are_no_images(tmp_path, capsys):
  for kind, value in (("images", 1), ("masks", 255)):
    for name in "ab":
      put(tmp_path / kind / name / "1.png", value=value)
  loaded = load_path(str(tmp_path), None)
  assert loaded.test_images.max() == 1
  assert loaded.test_labels.tolist() == [0, 1]
  assert "masks is left out, images is used" in capsys.readouterr().out


def test_a_test_split_of_other_folders_is_said(tmp_path, capsys):
  for split in ("train", "valid"):
    put(*(tmp_path / split / name / "1.png" for name in "ab"))
  put(tmp_path / "test" / "unknown" / "1.png")
  assert labels(load_path(str(tmp_path), None)) == ([0, 1], [0, 1])
  assert "test has other folders than train" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["x" * 200, "ä\\ \n", "🦊" * 60, b"caf\xe9"])
def test_any_name_of_a_folder_can_be_saved(tmp_path, name):
  folder = tmp_path / os.fsdecode(name)
  put(folder / "a" / "1.png", folder / "b" / "1.png")
  spec = describe_path(str(folder), None).spec
  check_spec(spec, "")
  assert len(spec.name.encode()) < 100


def test_the_folder_of_the_images_beside_others(tmp_path):
  put(tmp_path / "images/a/1.png", tmp_path / "images/b/1.png")
  (tmp_path / "meta").mkdir()
  (tmp_path / "meta" / "classes.txt").write_text("a\nb\n")
  assert labels(load_path(str(tmp_path), None)) == ([], [0, 1])
