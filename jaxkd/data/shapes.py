"""The size and the channels that images of a data set are converted to."""

from collections.abc import Iterable

from jaxkd.data.pixels import MODES
from jaxkd.runtime.formatting import first_three
from jaxkd.types import DataSpec, JaxkdError

Shape = tuple[int, int, int]


def opaque(shapes: Iterable[Shape]) -> set[Shape]:
  """Returns shapes of images without the channel of transparency.

  >>> opaque([(8, 8, 4), (8, 8, 2)]) == {(8, 8, 3), (8, 8, 1)}
  True
  """
  return {(*size, channels - 1 + channels % 2) for *size, channels in shapes}


def common_shape(
  source: object, shapes: Iterable[Shape], image_size: int
) -> Shape:
  """Returns the shape of all images, with 3 channels if one has colours.

  Args:
    source: what messages call the data.
    shapes: of the images.
    image_size: side of the square images in pixels, 0 for their own size.

  Raises:
    JaxkdError: if sizes differ and there is no `image_size`.
  """
  shapes = set(shapes)
  if image_size < 0:
    raise JaxkdError(
      f"image_size={image_size} is negative; use 0 for the images' own size."
    )
  channels = max(shape[-1] for shape in shapes)
  if image_size:
    return image_size, image_size, channels
  pixels = sorted({shape[:2] for shape in shapes})
  if len(pixels) > 1:
    raise JaxkdError(
      f"{source} has images of {len(pixels)} sizes ({sizes(pixels)} pixels); "
      "choose one with image_size."
    )
  return *pixels[0], channels


def check_shapes(
  source: object, shapes: Iterable[Shape], spec: DataSpec
) -> None:
  """Refuses images that can't be converted to the inputs of a teacher.

  Args:
    source: what messages call the data.
    shapes: of the images.
    spec: of the teacher's inputs.
  """
  if len(spec.shape) != 3:
    raise JaxkdError(
      f"The teacher takes inputs of shape {spec.shape}, and {source} has "
      "images; choose other data, or dataset=none."
    )
  channels = {shape[-1] for shape in shapes} | {spec.shape[-1]}
  if len(channels) > 1 and not channels <= set(MODES):
    raise JaxkdError(
      f"{source} has images of {sizes(sorted(shapes))}, the teacher takes "
      f"{sizes([spec.shape])}; only images with 1 to 4 channels are converted."
    )


def sizes(shapes: Iterable[tuple[int, ...]]) -> str:
  """Returns the first three shapes as a person reads them.

  >>> sizes([(28, 28, 1), (32, 32, 3)])
  '28 x 28 x 1, 32 x 32 x 3'
  """
  return first_three([" x ".join(map(str, shape)) for shape in shapes])
