"""Users' data in three formats, converted to the inputs of the teacher."""

import io
import os
from pathlib import Path
import pickle
import zipfile

from data_archives import write_idx, write_mnist
import numpy as np
from PIL import Image
import pytest

from jaxkd.data.registry import DatasetSummary
from jaxkd.data.user_data import describe_path, load_path
from jaxkd.types import DataSpec, JaxkdError

TEACHER = DataSpec("bundle", (4, 6, 3), 2, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
RANDOM = np.random.default_rng(0)


def picture(height=5, width=7, channels=3):
  """Returns random pixels, as an array and as a Pillow image."""
  pixels = RANDOM.integers(0, 256, (height, width, channels), dtype=np.uint8)
  return pixels, Image.fromarray(pixels[..., 0] if channels == 1 else pixels)


def write_classes(folder, *names, count=2, **shape):
  """Writes `count` images for each class; returns their pixels by class."""
  pixels = []
  for name in names:
    (folder / name).mkdir(parents=True)
    for i in range(count):
      array, image = picture(**shape)
      image.save(folder / name / f"{i}.png")
      pixels.append(array)
  return np.stack(pixels)


def write_npz(folder, **arrays):
  path = folder / "digits.npz"
  np.savez(path, **arrays)
  return str(path)


def images(*shape, dtype=np.uint8):
  return RANDOM.integers(0, 256, shape).astype(dtype)


def test_a_folder_per_class_is_test_data_in_the_order_of_the_names(tmp_path):
  pixels = write_classes(tmp_path / "pets", "cat", "dog", "eel")
  (tmp_path / "pets" / ".cache").mkdir()
  (tmp_path / "pets" / "cat" / "notes.txt").write_text("no image")
  (tmp_path / "pets" / "cat" / "._0.png").write_text("left by a Mac")
  loaded = load_path(str(tmp_path / "pets"), None)
  half = (0.5,) * 3
  assert loaded.spec == DataSpec("user:pets", (5, 7, 3), 3, half, half)
  np.testing.assert_array_equal(loaded.test_images, pixels)
  assert loaded.test_labels.tolist() == [0, 0, 1, 1, 2, 2]
  assert loaded.test_labels.dtype == np.int32
  assert loaded.train_images.shape == (0, 5, 7, 3)
  assert loaded.train_labels.shape == (0,)


@pytest.mark.parametrize(
  ("first", "split"),
  [
    ("train", "test"),
    ("train", "val"),
    ("train", "valid"),
    ("train", "validation"),
    ("Train", "Test"),
    ("training", "testing"),
  ],
)
def test_train_and_test_folders(tmp_path, first, split):
  train = write_classes(tmp_path / first, "a", "b", count=3)
  test = write_classes(tmp_path / split, "a", "b", count=1)
  loaded = load_path(str(tmp_path), None)
  np.testing.assert_array_equal(loaded.train_images, train)
  np.testing.assert_array_equal(loaded.test_images, test)
  assert loaded.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
  assert loaded.test_labels.tolist() == [0, 1]


def test_a_class_may_be_called_train(tmp_path):
  write_classes(tmp_path, "bus", "train")
  loaded = load_path(str(tmp_path), None)
  assert loaded.spec.num_classes == 2
  assert len(loaded.test_labels) == 4


def test_images_are_converted_for_the_teacher_and_it_is_printed_once(
  tmp_path, capsys
):
  write_classes(tmp_path / "pets", "cat", channels=1)
  write_classes(tmp_path / "pets", "dog", height=8, width=12)
  loaded = load_path(str(tmp_path / "pets"), TEACHER, 32)
  assert loaded.spec == TEACHER._replace(name="user:pets")
  assert loaded.test_images.shape == (4, 4, 6, 3)
  assert np.ptp(loaded.test_images[0], axis=-1).max() == 0  # still grey
  image = Image.open(tmp_path / "pets" / "dog" / "0.png")
  expected = image.resize((6, 4), Image.Resampling.BILINEAR)
  np.testing.assert_array_equal(loaded.test_images[2], expected)
  assert capsys.readouterr().out.splitlines() == [
    "user:pets: images of 5 x 7 x 1, 8 x 12 x 3 pixels are converted to "
    "4 x 6 x 3."
  ]


def test_images_that_fit_are_left_alone(tmp_path, capsys):
  pixels = write_classes(tmp_path, "a", "b", height=4, width=6)
  loaded = load_path(str(tmp_path), TEACHER)
  np.testing.assert_array_equal(loaded.test_images, pixels)
  assert capsys.readouterr().out == ""


def test_one_colour_image_makes_all_coloured(tmp_path):
  write_classes(tmp_path, "a", channels=1)
  write_classes(tmp_path, "b")
  assert load_path(str(tmp_path), None).spec.shape == (5, 7, 3)
  assert load_path(str(tmp_path), None, 9).spec.shape == (9, 9, 3)


def test_palettes_and_opaque_transparency(tmp_path):
  pixels = write_classes(tmp_path, "a", "b")
  image = Image.fromarray(pixels[0])
  image.putalpha(255)
  image.save(tmp_path / "a" / "0.png")
  Image.fromarray(pixels[1]).quantize(4).save(
    tmp_path / "a" / "1.png", transparency=bytes([255] * 4)
  )
  loaded = load_path(str(tmp_path), None)
  assert loaded.spec.shape == (5, 7, 3)
  np.testing.assert_array_equal(loaded.test_images[0], pixels[0])


def test_npz_is_test_data(tmp_path):
  pixels, labels = images(6, 5, 7), np.array([0, 1, 2, 0, 1, 2])
  loaded = load_path(write_npz(tmp_path, images=pixels, labels=labels), None)
  assert loaded.spec == DataSpec("user:digits", (5, 7, 1), 3, (0.5,), (0.5,))
  np.testing.assert_array_equal(loaded.test_images[..., 0], pixels)
  np.testing.assert_array_equal(loaded.test_labels, labels)
  assert len(loaded.train_labels) == 0


def test_npz_in_parts_as_floats_with_labels_in_a_column(tmp_path):
  pixels = images(8, 5, 7, 3)
  labels = np.array([[0], [1]] * 4, np.uint8)
  path = write_npz(
    tmp_path,
    train_images=pixels[:6] / 255,
    train_labels=labels[:6],
    val_images=pixels[:1] / 255,
    val_labels=labels[:1],
    test_images=(pixels[6:] / 255).astype(np.float16),
    test_labels=labels[6:],
  )
  loaded = load_path(path, None)
  np.testing.assert_array_equal(loaded.train_images, pixels[:6])
  np.testing.assert_allclose(loaded.test_images, pixels[6:], atol=1)
  assert loaded.train_labels.tolist() == [0, 1, 0, 1, 0, 1]
  assert loaded.test_labels.tolist() == [0, 1]


def test_npz_is_converted_for_the_teacher(tmp_path):
  path = write_npz(tmp_path, images=images(4, 8, 8), labels=[0, 1, 0, 1])
  loaded = load_path(path, TEACHER)
  assert loaded.test_images.shape == (4, 4, 6, 3)


def test_idx_files_of_mnist(tmp_path):
  arrays = write_mnist(tmp_path)
  loaded = load_path(str(tmp_path), None)
  for got, expected in zip(loaded[1:], arrays, strict=True):
    np.testing.assert_array_equal(got, expected)


def test_idx_files_of_another_size_without_training_images(tmp_path):
  write_idx(tmp_path / "t10k-images.idx3-ubyte", images(4, 5, 7))
  write_idx(tmp_path / "t10k-labels.idx1-ubyte.gz", np.array([0, 1, 2, 3]))
  loaded = load_path(str(tmp_path), None)
  assert loaded.spec.shape == (5, 7, 1)
  assert (len(loaded.train_labels), len(loaded.test_labels)) == (0, 4)
  (tmp_path / "t10k-labels.idx1-ubyte.gz").unlink()
  with pytest.raises(JaxkdError, match="no file t10k-labels.idx1-ubyte or"):
    load_path(str(tmp_path), None)


GOOD = {"images": images(4, 4, 6, 3), "labels": np.array([0, 1, 0, 1])}


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"labels": np.array([0, 1, 0, 2])}, "labels 0 to 2; expected 0 to 1"),
    ({"labels": np.array([0, 1, 0, -1])}, "labels -1 to 1; expected 0 to 1"),
    ({"labels": np.array([0, 1, 0])}, "each of 4 images"),
    ({"labels": np.array([0.5, 1, 0, 1])}, "labels float64"),
    ({"labels": np.array(1)}, r"shape \(\)"),
    ({"labels": np.array(["a", "b", "a", "c"])}, "3 classes .a, b, c., the t"),
    ({"images": np.zeros((4, 9))}, r"shape \(4, 9\)"),
    ({"images": images(4, 8, 6, 5)}, "8 x 6 x 5, the teacher takes 4 x 6 x 3"),
    ({"images": 2 * np.ones((4, 4, 6, 3))}, r"from 0 to 2; .* Divide by 255"),
    ({"images": -np.ones((4, 4, 6, 3))}, "from -1 to 0"),
    ({"images": np.full((4, 4, 6, 3), np.nan)}, "from nan to nan"),
    ({"images": images(4, 4, 6, 3).astype(int) * 300}, "from 0 to 7"),
    ({"images": -images(4, 4, 6, 3, dtype=int)}, "from -"),
    ({"images": np.array(["a"] * 4)[:, None, None]}, "U1 pixels"),
  ],
)
def test_invalid_arrays_are_refused(tmp_path, changes, message):
  path = write_npz(tmp_path, **GOOD | changes)
  with pytest.raises(JaxkdError, match=message) as error:
    load_path(path, TEACHER)
  assert "digits.npz" in str(error.value)
  assert len(str(error.value).splitlines()) <= 2


def test_npz_with_other_arrays_lists_them(tmp_path):
  path = write_npz(tmp_path, a=images(4, 4, 6), b=[0, 1, 0, 1])
  with pytest.raises(JaxkdError, match="holds a, b; it needs images and"):
    load_path(path, None)


class Attack:
  """A pickle that makes a folder when it is loaded."""

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return os.mkdir, (self.path,)


def lying_npz(path, name):
  """Writes a file in which the header of one array claims 2^62 bytes."""
  with zipfile.ZipFile(path, "w") as archive:
    for member, array in GOOD.items():
      content = io.BytesIO()
      if member == name:
        np.lib.format.write_array_header_1_0(
          content,
          {"descr": "|u1", "fortran_order": False, "shape": (4, 2**30, 2**30)},
        )
      else:
        np.save(content, array)
      archive.writestr(f"{member}.npy", content.getvalue())


@pytest.mark.parametrize(
  "kind", ["pickle", "objects", "images", "labels", "noise"]
)
def test_hostile_files_are_refused(tmp_path, kind):
  path, trap = tmp_path / "digits.npz", str(tmp_path / "trap")
  if kind == "pickle":
    path.write_bytes(pickle.dumps(Attack(trap)))
  elif kind == "objects":
    array = np.array([Attack(trap)], object)
    np.savez(path, images=array, labels=array)
  elif kind in GOOD:
    lying_npz(path, kind)
  else:
    path.write_bytes(b"PK\x03\x04" + bytes(range(256)))
  with pytest.raises(JaxkdError, match=r"digits\.npz is damaged, or holds"):
    load_path(str(path), TEACHER)
  assert not os.path.exists(trap)


@pytest.mark.parametrize("spec", [None, TEACHER])
def test_a_mixed_folder_is_described_as_it_is_loaded(tmp_path, spec, capsys):
  """Also where the only image with colours is the last one of its class."""
  write_classes(tmp_path / "pets", "cat", "dog", channels=1)
  picture()[1].save(tmp_path / "pets" / "cat" / "9.png")
  summary = describe_path(str(tmp_path / "pets"), spec)
  assert capsys.readouterr().out == ""
  loaded = load_path(str(tmp_path / "pets"), spec)
  assert summary == DatasetSummary(loaded.spec, 0, 5)
  assert summary.spec.shape == (spec.shape if spec else (5, 7, 3))


def test_what_only_pixels_show_is_refused_when_they_are_read(tmp_path):
  path = write_npz(tmp_path, **GOOD | {"images": 2 * np.ones((4, 4, 6, 3))})
  assert describe_path(path, TEACHER).num_test == 4
  with pytest.raises(JaxkdError, match="from 0 to 2"):
    load_path(path, TEACHER)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"labels": np.array([0, 1, 0, 2])}, "labels 0 to 2; expected 0 to 1"),
    ({"images": images(4, 4, 6, 3, dtype=complex)}, "complex128 pixels"),
    ({"images": images(5, 4, 6, 3)}, "each of 5 images"),
  ],
)
def test_what_headers_and_labels_show_is_refused_before(
  tmp_path, changes, message
):
  path = write_npz(tmp_path, **GOOD | changes)
  with pytest.raises(JaxkdError, match=message):
    describe_path(path, TEACHER)


def test_a_damaged_archive_is_refused_when_its_pixels_are_read(tmp_path):
  changes = {"images": images(4, 64, 64, 3)}
  path = Path(write_npz(tmp_path, **GOOD | changes))
  content = bytearray(path.read_bytes())
  content[20_000] ^= 1  # a pixel: the checksum of the array is wrong
  path.write_bytes(content)
  assert describe_path(str(path), TEACHER).num_test == 4
  with pytest.raises(JaxkdError, match=r"digits\.npz is damaged, or holds"):
    load_path(str(path), TEACHER)


def test_invalid_folders_are_refused(tmp_path):
  def refused(message, spec=None):
    with pytest.raises(JaxkdError, match=message):
      load_path(str(folder), spec)

  folder = tmp_path / "pets"
  refused("there is no such folder or .npz")
  folder.mkdir()
  refused("neither a folder of images per class, such as pets/cat/1.png")
  write_classes(folder, "cat")
  refused("2 images of one class")
  write_classes(folder, "dog", height=6)
  refused("2 sizes .5 x 7, 6 x 7 pixels.; choose one with image_size")
  refused(r"2 classes .cat, dog., the teacher has 5", spec_of(5))
  refused(r"inputs of shape \(2,\)", TEACHER._replace(shape=(2,)))
  (folder / "eel").mkdir()
  (folder / "eel" / "1.PNG").write_bytes(b"no image")
  refused("eel/1.PNG cannot be read as an image")
  (folder / "eel" / "1.PNG").unlink()
  Image.fromarray(np.ones((4, 6), np.int32)).save(folder / "eel" / "1.tif")
  refused("eel/1.tif has int32 pixels from 1 to 1; save it", spec_of(3))


def spec_of(num_classes):
  return TEACHER._replace(num_classes=num_classes)


def test_a_cut_image_is_named(tmp_path):
  write_classes(tmp_path, "a", "b", height=40, width=40)
  path = tmp_path / "b" / "1.png"
  path.write_bytes(path.read_bytes()[:400])
  with pytest.raises(JaxkdError, match="b/1.png cannot be read as an image"):
    load_path(str(tmp_path), None)


def test_splits_need_the_same_classes(tmp_path):
  write_classes(tmp_path / "train", "a", "b")
  write_classes(tmp_path / "test", "a", "c")
  with pytest.raises(JaxkdError, match="b, c is a class in train or test"):
    load_path(str(tmp_path), None)


def test_a_negative_size_is_refused(tmp_path):
  write_classes(tmp_path, "a", "b")
  with pytest.raises(JaxkdError, match="image_size=-1"):
    load_path(str(tmp_path), None, -1)
