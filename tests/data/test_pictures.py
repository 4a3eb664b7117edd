"""Image files that are turned, transparent, or of 16 bits."""

import struct
import zlib

import numpy as np
from PIL import Image
import pytest

from jaxkd.data import other_images, pictures
from jaxkd.data.pixels import Background
from jaxkd.data.user_data import describe_path, load_path
from jaxkd.types import JaxkdError

PIXELS = np.arange(8 * 6, dtype=np.uint8).reshape(8, 6) * 5
WHITE = Background.named("--background", "white")


def exif(orientation):
  tags = Image.Exif()
  tags[0x0112] = orientation
  return tags


def read(path, channels=1, background=WHITE):
  height, width, _ = pictures.shape_of(path)
  return pictures.read(path, (height, width, channels), background)


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp", "jpg"])
def test_a_turned_image_is_upright_in_header_and_pixels(tmp_path, suffix):
  path = tmp_path / f"a.{suffix}"
  options = {"webp": {"lossless": True}, "jpg": {"quality": 95}}
  turned = Image.fromarray(np.rot90(PIXELS).copy()).convert("RGB")
  turned.save(path, exif=exif(6), **options.get(suffix, {}))
  assert pictures.shape_of(path) == (8, 6, 3)
  pixels, note = read(path)
  assert not note
  np.testing.assert_allclose(pixels[..., 0], PIXELS, atol=4)


def test_damaged_exif_says_nothing(tmp_path):
  Image.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=b"Exif\0\0rubbish")
  assert pictures.shape_of(tmp_path / "a.jpg") == (8, 6, 1)
  assert read(tmp_path / "a.jpg")[0].shape == (8, 6, 1)


def write_png(path, pixels, kind):
  """Writes a PNG with 16 bits: kind 0 is grey, 2 RGB, 4 and 6 with alpha."""

  def chunk(name, data):
    crc = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + crc

  height, width = pixels.shape[:2]
  rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
  path.write_bytes(
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
    + chunk(b"IDAT", zlib.compress(rows))
    + chunk(b"IEND", b"")
  )


@pytest.mark.parametrize("kind", ["png", "rgb", "rgba", "tiff", "pgm", "ppm"])
def test_sixteen_bits_are_scaled_and_it_is_said(tmp_path, kind):
  deep = PIXELS * np.uint16(257)
  path = tmp_path / f"a.{kind}"
  if kind in ("png", "rgb", "rgba"):
    path, alpha = tmp_path / "a.png", np.full_like(deep, 65535)
    planes = {"png": [deep], "rgb": [deep] * 3, "rgba": [deep] * 3 + [alpha]}
    number = {"png": 0, "rgb": 2, "rgba": 6}[kind]
    write_png(path, np.stack(planes[kind], -1), number)
  elif kind == "tiff":
    Image.fromarray(deep).save(path)
  else:
    magic, planes = {"pgm": ("P5", 1), "ppm": ("P6", 3)}[kind]
    content = np.stack([deep] * planes, -1).astype(">u2").tobytes()
    path.write_bytes(f"{magic} 6 8 65535\n".encode() + content)
  pixels, note = read(path)
  np.testing.assert_array_equal(pixels[..., 0], PIXELS)
  assert "16 bits are scaled to 8" in note


def test_floats_are_pixels_of_0_to_1_alone(tmp_path):
  path = tmp_path / "a.tiff"
  Image.fromarray(PIXELS.astype(np.float32) / 255).save(path)
  np.testing.assert_array_equal(read(path)[0][..., 0], PIXELS)
  Image.fromarray(PIXELS.astype(np.float32)).save(path)
  with pytest.raises(JaxkdError, match=r"a\.tiff has float32 pixels from 0 to"):
    read(path)


@pytest.fixture
def folder(tmp_path):
  """Two classes of turned, transparent and deep images."""
  folder = tmp_path / "photos"
  for name in ("a", "b"):
    (folder / name).mkdir(parents=True)
    turned = Image.fromarray(np.rot90(PIXELS).copy())
    turned.save(folder / name / "turned.png", exif=exif(6))
  clear = np.zeros((8, 6, 4), np.uint8)  # black under the alpha
  Image.fromarray(clear).save(folder / "b" / "clear.png")
  Image.fromarray(PIXELS * np.uint16(257)).save(folder / "b" / "deep.png")
  return folder


def test_a_folder_of_them(folder, capsys):
  assert describe_path(str(folder), None).spec.shape == (8, 6, 3)
  with pytest.raises(JaxkdError, match=r"clear\.png has transparent pixels; "):
    load_path(str(folder), None)
  images = load_path(str(folder), None, background="white").test_images
  turned, clear, deep, _ = images[..., 0]
  np.testing.assert_array_equal(turned, PIXELS)
  np.testing.assert_array_equal(deep, PIXELS)
  assert (clear == 255).all()
  assert "1 images with 16 bits are scaled to 8" in capsys.readouterr().out
  with pytest.raises(JaxkdError, match="background='snow1' is no colour"):
    describe_path(str(folder), None, background="snow1")


def test_images_without_labels_are_read_alike(folder):
  with pytest.raises(JaxkdError, match=r"clear\.png has transparent pixels"):
    other_images.load_images(str(folder), (8, 6, 1))
  images = other_images.load_images(str(folder), (8, 6, 1), "white")
  assert (images[1] == 255).all()
  np.testing.assert_array_equal(images[2, ..., 0], PIXELS)
  photo = other_images.load_photo(str(folder / "b/clear.png"), 3, "#00ff00")
  assert (photo == (0, 255, 0)).all()


def test_twelve_bits_in_sixteen_are_said(tmp_path, capsys):
  for name, brightest in (("a", 4_095), ("b", 65_535)):
    (tmp_path / name).mkdir()
    ramp = np.linspace(0, brightest, 48).astype(np.uint16).reshape(8, 6)
    Image.fromarray(ramp).save(tmp_path / name / "1.png")
  images = load_path(str(tmp_path), None).test_images
  assert [images[0].max(), images[1].max()] == [16, 255]
  said = capsys.readouterr().out
  assert "1 images with 16 bits have no pixel above 4,095" in said
  assert "1 images with 16 bits are scaled to 8" in said
