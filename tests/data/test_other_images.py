"""Images without labels come from a data set, a folder, or one file."""

import numpy as np
from PIL import Image
import pytest

from jaxkd.data import load, other_images
from jaxkd.types import JaxkdError


@pytest.fixture
def folder(tmp_path):
  """A folder of three images of several sizes, kinds and depths, and a note."""
  (tmp_path / "deeper").mkdir()
  wide = np.zeros((10, 30, 3), np.uint8)
  wide[:, 10:20] = (255, 0, 0)
  Image.fromarray(wide).save(tmp_path / "a.png")
  Image.new("L", (8, 8), 77).save(tmp_path / "deeper" / "b.JPG")
  Image.new("RGB", (4, 6), (0, 0, 255)).save(tmp_path / "c.bmp")
  (tmp_path / "note.txt").write_text("no image")
  return tmp_path


def test_a_folder_is_read_whole_and_cut_about_the_middle(folder):
  assert other_images.count_images(str(folder)) == 3
  images = other_images.load_images(str(folder), (5, 5, 3))
  assert images.shape == (3, 5, 5, 3) and images.dtype == np.uint8
  # The middle third of the wide one, but for the interpolated border.
  assert (images[0, :, 1:-1] == (255, 0, 0)).all()
  assert (images[1] == (0, 0, 255)).all()  # c.bmp comes before deeper/
  assert np.ptp(images[2]) == 0 and abs(int(images[2, 0, 0, 0]) - 77) <= 2


@pytest.mark.parametrize("size", [(4, 1), (1, 4), (31, 30), (30, 37), (5, 58)])
def test_any_image_is_cut_to_a_square_of_whole_pixels(tmp_path, size):
  """Its sides are those of the shorter one, and nothing outside is read."""
  Image.new("L", size, 200).save(tmp_path / "a.png")
  side = min(size)
  images = other_images.load_images(str(tmp_path), (side, side, 1))
  assert (images == 200).all()


@pytest.mark.parametrize("name", ["mnist_5k", "two_moons"])
def test_a_data_set_is_no_photo(name):
  with pytest.raises(JaxkdError, match=f"{name}: give one image file"):
    other_images.load_photo(name, 1)


def test_only_sets_of_images_are_proposed():
  with pytest.raises(JaxkdError, match="mnist_5k") as caught:
    other_images.count_images("mnist_6k")
  assert "two_moons" not in str(caught.value)


def test_grey_inputs_get_grey_images(folder):
  assert other_images.load_images(str(folder), (5, 5, 1)).shape == (3, 5, 5, 1)


def test_a_data_set_is_resized_and_coloured():
  images = other_images.load_images("mnist_5k", (16, 16, 3))
  assert len(images) == other_images.count_images("mnist_5k") == 4000
  grey = load("mnist_5k", image_size=16).train_images
  np.testing.assert_array_equal(images, np.repeat(grey, 3, -1))


def test_a_photo_keeps_its_size(folder):
  photo = other_images.load_photo(str(folder / "a.png"), 3)
  assert photo.shape == (10, 30, 3)
  assert other_images.load_photo(str(folder / "a.png"), 1).shape == (10, 30, 1)


@pytest.mark.parametrize(
  ("name", "words"),
  [
    ("nowhere", "no such data set, folder or file"),
    ("deeper/empty", "the folder has no image"),
    ("note.txt", "cannot be read as an image"),
  ],
)
def test_what_is_no_image_is_named(folder, monkeypatch, name, words):
  monkeypatch.chdir(folder)
  (folder / "deeper" / "empty").mkdir()
  with pytest.raises(JaxkdError, match=words) as error:
    other_images.load_images(name, (5, 5, 3))
  assert name in str(error.value)


def test_sets_fit_inputs_that_are_not_square():
  assert other_images.load_images("mnist_5k", (24, 40, 3)).shape[1:] == (
    24,
    40,
    3,
  )


def test_a_photo_that_was_turned_by_the_camera_is_turned_back(folder):
  picture, exif = Image.new("RGB", (30, 10)), Image.Exif()
  exif[0x0112] = 6
  picture.save(folder / "turned.jpg", exif=exif)
  photo = other_images.load_photo(str(folder / "turned.jpg"), 3)
  assert photo.shape == (30, 10, 3)


def test_two_photos_come_with_a_library():
  assert other_images.load_photo("china", 3).shape == (427, 640, 3)
  assert other_images.load_photo("flower", 1).shape == (427, 640, 1)


def test_other_numbers_of_channels_are_refused(folder):
  with pytest.raises(JaxkdError, match="5 channels, and images are read"):
    other_images.load_images(str(folder), (5, 5, 5))


def test_a_folder_is_no_photo(folder):
  with pytest.raises(JaxkdError, match="give one image file, such as"):
    other_images.load_photo(str(folder), 3)


def test_hidden_folders_are_not_read(tmp_path):
  for name in ("a", ".thumbnails", "__MACOSX"):
    (tmp_path / name).mkdir()
    Image.new("L", (4, 4)).save(tmp_path / name / "1.png")
  assert other_images.image_files(str(tmp_path)) == [tmp_path / "a" / "1.png"]
