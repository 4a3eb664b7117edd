"""Where each of our arrays is in a PyTorch state dict, and in which layout."""

import math
from typing import NamedTuple

from flax.traverse_util import flatten_dict
import jax.numpy as jnp
import numpy as np

from jaxkd import models
from jaxkd.serialization.pytorch.naming_schemes import Names, NamingScheme
from jaxkd.types import Array, DataSpec

Shape = tuple[int, ...]

_SUFFIXES = {
  "kernel": ".weight",
  "scale": ".weight",
  "bias": ".bias",
  "mean": ".running_mean",
  "var": ".running_var",
}


class TensorLayout(NamedTuple):
  """Where one of our arrays is in a state dict.

  Attributes:
    name: name of the tensor.
    shape: shape of the tensor.
    ours: the shape of our array.
    kernel: the tensor as `(O, C, H, W)`; empty where the layout is ours.
    channels_last: whether it is flat as `(O, H, W, C)` instead.
  """

  name: str
  shape: Shape
  ours: Shape
  kernel: Shape = ()
  channels_last: bool = False

  def read(self, tensor: np.ndarray) -> Array:
    """The tensor as our array."""
    tensor = np.asarray(tensor, np.float32)
    if self.channels_last:
      out, channels, height, width = self.kernel
      tensor = tensor.reshape(out, height, width, channels)
      tensor = tensor.transpose(1, 2, 3, 0)
    elif self.kernel:
      tensor = tensor.reshape(self.kernel).transpose(2, 3, 1, 0)
    return jnp.asarray(tensor.reshape(self.ours))

  def write(self, array: np.ndarray) -> np.ndarray:
    """Our array as the tensor."""
    if self.kernel:
      out, channels, height, width = self.kernel
      array = array.reshape(height, width, channels, out).transpose(3, 2, 0, 1)
    return array.reshape(self.shape).copy()


TensorLayouts = dict[str, TensorLayout]  # by the path of our array


def layouts_of(
  model: str, spec: DataSpec, names: Names, flatten: str
) -> list[TensorLayouts]:
  """The places of all arrays of `model`, for each style of its names.

  Args:
    model: name in `jaxkd.models`.
    spec: spec of the inputs.
    names: names of this model.
    flatten: `chw` or `hwc`, the order in which a map was flattened.
  """
  ours = flatten_dict(models.shapes(model, spec), sep="/")
  map_shape = _map_shape(model, spec, *names.flattened)
  linear = names.flattened[:1]

  def place(style: NamingScheme, path: str, shape: Shape) -> TensorLayout:
    layer, _, leaf = path.partition("/")[2].rpartition("/")
    parameter = f"{layer}/{leaf}".lstrip("/")
    if parameter in style.layers:
      # Tokens have an axis for the batch there.
      tokens = (1,) * (3 - len(shape)) + shape if shape else ()
      return TensorLayout(style.layers[parameter], tokens, shape)
    name = style.layers[layer] + _SUFFIXES[leaf]
    if leaf != "kernel":
      return TensorLayout(name, shape, shape)
    size = style.as_conv.get(layer, map_shape if layer in linear else (1, 1))
    kernel = _kernel(shape, size)
    is_conv = len(shape) == 4 and layer not in style.as_linear
    if is_conv or layer in style.as_conv:
      return TensorLayout(name, kernel, shape, kernel)
    flat = (kernel[0], math.prod(kernel[1:]))
    return TensorLayout(name, flat, shape, kernel, flatten == "hwc")

  return [
    {path: place(style, path, leaf.shape) for path, leaf in ours.items()}
    for style in names.styles
  ]


def _kernel(shape: Shape, size: tuple[int, int]) -> Shape:
  """`(O, C, H, W)` of a kernel of ours, where a linear layer covers a map of
  this size.
  """
  if len(shape) == 4:
    return shape[3], shape[2], *shape[:2]
  return shape[1], shape[0] // math.prod(size), *size


def _map_shape(
  model: str, spec: DataSpec, linear: str = "", source: str = ""
) -> tuple[int, int]:
  """Height and width of the map that the layer `linear` sees flat.

  Rows and columns go through our networks alike, so that either has the side of
  the map of a square image.
  """
  if source == "images":
    return spec.shape[:2] if len(spec.shape) == 3 else (1, 1)
  if not source:
    return 1, 1

  def side(pixels: int) -> int:
    square = spec._replace(shape=(pixels, pixels, spec.shape[2]))
    shapes = flatten_dict(models.shapes(model, square), sep="/")
    channels = shapes[f"params/{source}/kernel"].shape[-1]
    return math.isqrt(shapes[f"params/{linear}/kernel"].shape[0] // channels)

  return side(spec.shape[0]), side(spec.shape[1])
