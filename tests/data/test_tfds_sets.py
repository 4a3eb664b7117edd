"""Sets that TFDS has prepared, read by their names without TensorFlow."""

import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tfds_folders import grey_of, write_set

from jaxkd import data
from jaxkd.data import other_images
from jaxkd.data.__main__ import main
from jaxkd.types import DataSpec, JaxkdError

CLASSES = ("cat", "dog", "owl")


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
  monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
  monkeypatch.setenv("JAXKD_CACHE", str(tmp_path / "cache"))
  monkeypatch.chdir(tmp_path)
  return tmp_path / "tfds"


def teacher(shape=(8, 8, 1), num_classes=3):
  half = (0.5,) * shape[-1]
  return DataSpec("teacher", shape, num_classes, half, half)


def loaded(name, **options):
  """The set, which is described as it is loaded, twice: from files, cached."""
  summary = data.describe(name, **options)
  dataset = data.find(name, **options)
  assert summary == data.summary_of(dataset)
  again = data.find(name, **options)
  for first, second in zip(dataset[1:], again[1:], strict=True):
    np.testing.assert_array_equal(first, second)
  return dataset


def check_images(images, labels, split, count):
  """Every image and label is one that was written."""
  assert images.dtype == np.uint8 and labels.dtype == np.int32
  read = sorted(zip(images[:, 0, 0, 0].tolist(), labels.tolist(), strict=True))
  assert read == sorted((grey_of(split, i), i % 3) for i in range(count))


@pytest.mark.parametrize(
  ("options", "shape"),
  [
    ({}, (5, 7, 3)),
    ({"kind": "jpeg"}, (5, 7, 3)),
    ({"stated": (5, 7, 1), "shapes": ((5, 7, 1),)}, (5, 7, 1)),
    ({"stated": (5, 7, 4), "shapes": ((5, 7, 4),)}, (5, 7, 3)),  # opaque
    ({"stated": (5, 7, 2), "shapes": ((5, 7, 2),), "kind": ""}, (5, 7, 1)),
    ({"splits": (("train", 12), ("validation", 6))}, (5, 7, 3)),
    ({"splits": (("train", 12), ("test", 6), ("extra", 3))}, (5, 7, 3)),
    ({"config": "160px-v2"}, (5, 7, 3)),
  ],
)
def test_sets_of_every_kind(root, options, shape):
  write_set(root, **options)
  name = "/".join(["pets", *filter(None, [options.get("config")])])
  dataset = loaded(name)
  half = (0.5,) * shape[-1]
  name = name.replace("/", "-")  # weights and files are named so
  assert dataset.spec == DataSpec(name, shape, 3, half, half)
  test = dict(options.get("splits", ())).keys() & {"validation"} or {"test"}
  check_images(*dataset[1:3], "train", 12)
  check_images(*dataset[3:5], *test, 6)
  assert "tensorflow" not in sys.modules


def test_images_are_converted_to_the_teachers_inputs_and_classes(root):
  write_set(root, shapes=((5, 7, 3), (9, 4, 3)))
  names = ("Owl", "dog", "cat")
  dataset = loaded("pets", teacher=teacher(), class_names=names)
  assert dataset.spec == teacher()._replace(name="pets")
  check_images(dataset[1], 2 - dataset[2], "train", 12)
  assert loaded("pets", image_size=6).spec.shape == (6, 6, 3)
  with pytest.raises(JaxkdError, match=r"2 sizes \(5 x 7, 9 x 4 pixels\)"):
    data.find("pets")


def test_transparent_images_need_a_background(root):
  write_set(root, stated=(5, 7, 4), shapes=((5, 7, 4),), alpha=0)
  with pytest.raises(JaxkdError, match=r"\(train, example 0\) has transparent"):
    data.find("pets")
  dataset = data.find("pets", background="white")
  assert (dataset.train_images == 255).all()
  kept = data.find("pets", teacher=teacher((5, 7, 4)))
  assert (kept.train_images[..., 3] == 0).all()


def test_without_a_part_to_test_on_every_tenth_image_is_held_out(root, capsys):
  write_set(root, splits=(("train", 30),))
  dataset = loaded("pets")
  assert (len(dataset.train_labels), len(dataset.test_labels)) == (27, 3)
  both = (np.concatenate(dataset[i::2]) for i in (1, 2))
  check_images(*both, "train", 30)
  assert "every 10th image of train is held out" in capsys.readouterr().out


def test_splits_without_labels_are_not_tested_on(root):
  count = iter(range(18))
  write_set(root, label=lambda _: -1 if next(count) >= 12 else 0)
  assert data.describe("pets").num_test == 1  # of train
  write_set(root, "bare", label=lambda _: -1)
  with pytest.raises(JaxkdError, match="bare has 12 images without a label"):
    data.find("bare")
  images = other_images.load_images("bare", (5, 7, 3))
  assert len(images) == other_images.count_images("bare") == 11


def test_the_newest_version_is_taken_or_the_one_that_is_named(root):
  write_set(root, version="1.9.0")
  newest = write_set(root, version="1.10.0", splits=(("test", 3),))
  assert data.describe("pets").num_test == 3
  assert data.describe(str(newest)).num_test == 3
  assert data.describe(str(newest.parent)).num_test == 3
  for name in ("pets:1.9.0", "pets/1.9.0"):
    assert data.describe(name).num_train == 12
  with pytest.raises(JaxkdError, match="in version 1.9.0, 1.10.0, not 2.0.0"):
    data.describe("pets:2.0.0")


def test_other_features_are_skipped(root):
  write_set(
    root,
    features={
      "id": tfds.features.Text(),
      "picture": tfds.features.Image(),
      "kind": tfds.features.ClassLabel(names=CLASSES),
      "boxes": tfds.features.Sequence({"box": tfds.features.BBoxFeature()}),
    },
    example=lambda image, label: {
      "id": "x", "picture": image, "kind": label, "boxes": []
    },
    keys=None,
  )  # fmt: skip
  check_images(*loaded("pets")[1:3], "train", 12)


def test_another_format_is_refused_with_the_command(root):
  for name in ("pets", "mnist"):
    path = write_set(root, name, stated=(28, 28, 1)) / "dataset_info.json"
    path.write_text(path.read_text().replace("array_record", "tfrecord"))
  with pytest.raises(JaxkdError, match="format tfrecord") as error:
    data.describe("pets")
  assert "tfds.builder('pets').download_and_prepare(" in str(error.value)
  with pytest.raises(JaxkdError, match="jaxkd.data prepare mnist --data_dir"):
    data.load("mnist")


@pytest.mark.parametrize(
  ("name", "message"),
  [
    ("stl10", r"Unknown dataset 'stl10'.*\n.*builder\('stl10'\)"),
    ("mnsit", "Did you mean mnist"),
    ("pets", "which has pets/160px; choose one"),
    ("pets/320px", "which has pets/160px; choose one"),
    ("no/such", r"no such file or folder.*\n.*builder\('no/such'\)"),
    ("./no/such", "no such folder"),
    ("~/no", "no such folder"),
    ("no/such.npz", "no such folder or .npz"),
  ],
)
def test_names_of_nothing(root, name, message):
  write_set(root, config="160px")
  with pytest.raises(JaxkdError, match=message) as error:
    data.describe(name)
  assert str(error.value).count("\n") <= 1


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"splits": (("alpha", 6),)}, "has alpha; it needs a split train or test"),
    (
      {
        "features": {"label": tfds.features.ClassLabel(num_classes=3)},
        "example": lambda _, label: {"label": label},
        "keys": None,
      },
      "no set for image classification: .* and has label",
    ),
  ],
)
def test_sets_of_another_kind_are_refused(root, options, message):
  write_set(root, **options)
  with pytest.raises(JaxkdError, match=message):
    data.describe("pets")


def test_other_classes_than_the_teachers_are_refused(root):
  write_set(root)
  with pytest.raises(JaxkdError, match=r"3 classes \(cat, dog, owl\), the tea"):
    data.describe("pets", teacher=teacher(num_classes=2))


@pytest.mark.parametrize("file", ["features.json", "*test*", "dataset_info*"])
def test_damaged_sets_are_named(root, file):
  folder = write_set(root)
  for path in folder.glob(file):
    path.write_text("{")
  with pytest.raises(JaxkdError, match="pets/1.0.0 is damaged"):
    data.find("pets")


def test_prepared_sets_are_listed(root, capsys):
  write_set(root, config="160px")
  main(["list"])
  assert "pets/160px: prepared by TFDS" in capsys.readouterr().out
