"""Name, shape and layout of each of our arrays in a PyTorch state dict."""

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
  """The tensor of a state dict that holds one of our arrays.

  Attributes:
    name: name of the tensor.
    shape: shape of the tensor.
    array_shape: shape of our array.
    kernel: shape of the tensor as `(O, C, H, W)`; empty if only the shapes
      differ.
    channels_last: whether the tensor is flattened as `(O, H, W, C)` instead.
  """

  name: str
  shape: Shape
  array_shape: Shape
  kernel: Shape = ()
  channels_last: bool = False

  def read(self, tensor: np.ndarray) -> Array:
    """Converts the tensor to our array."""
    tensor = np.asarray(tensor, np.float32)
    if self.channels_last:
      out, channels, height, width = self.kernel
      tensor = tensor.reshape(out, height, width, channels)
      tensor = tensor.transpose(1, 2, 3, 0)
    elif self.kernel:
      tensor = tensor.reshape(self.kernel).transpose(2, 3, 1, 0)
    return jnp.asarray(tensor.reshape(self.array_shape))

  def write(self, array: np.ndarray) -> np.ndarray:
    """Converts our array to the tensor."""
    if self.kernel:
      out, channels, height, width = self.kernel
      array = array.reshape(height, width, channels, out).transpose(3, 2, 0, 1)
    return array.reshape(self.shape).copy()


TensorLayouts = dict[str, TensorLayout]  # by the paths of our arrays


def layouts_of(
  model: str, spec: DataSpec, names: Names, flatten: str
) -> list[TensorLayouts]:
  """Returns the layouts of all arrays of a model, for each naming scheme.

  Args:
    model: name in `jaxkd.models`.
    spec: spec of the inputs.
    names: naming schemes of the model.
    flatten: order in which maps are flattened, `chw` or `hwc`.
  """
  arrays = flatten_dict(models.shapes(model, spec), sep="/")
  map_shape = _map_shape(model, spec, *names.flattened)
  linear = names.flattened[:1]

  def layout(scheme: NamingScheme, path: str, shape: Shape) -> TensorLayout:
    layer, _, leaf = path.partition("/")[2].rpartition("/")
    parameter = f"{layer}/{leaf}".lstrip("/")
    if leaf not in _SUFFIXES:
      # In PyTorch tokens have a batch axis.
      tokens = (1,) * (3 - len(shape)) + shape if shape else ()
      return TensorLayout(scheme.layers[parameter], tokens, shape)
    name = scheme.layers.get(parameter)
    name = name or scheme.layers[layer] + _SUFFIXES[leaf]
    if leaf != "kernel":
      return TensorLayout(name, shape, shape)
    size = scheme.as_conv.get(layer, map_shape if layer in linear else (1, 1))
    kernel = _kernel_shape(shape, size)
    is_conv = len(shape) == 4 and layer not in scheme.as_linear
    if is_conv or layer in scheme.as_conv:
      return TensorLayout(name, kernel, shape, kernel)
    flat = (kernel[0], math.prod(kernel[1:]))
    return TensorLayout(name, flat, shape, kernel, flatten == "hwc")

  return [
    {path: layout(scheme, path, leaf.shape) for path, leaf in arrays.items()}
    for scheme in names.schemes
  ]


def _kernel_shape(shape: Shape, size: tuple[int, int]) -> Shape:
  """Returns `(O, C, H, W)` of a kernel of ours.

  A linear layer is a convolution that covers a map of the given size.
  """
  if len(shape) == 4:
    return shape[3], shape[2], *shape[:2]
  return shape[1], shape[0] // math.prod(size), *size


def _map_shape(
  model: str, spec: DataSpec, linear: str = "", source: str = ""
) -> tuple[int, int]:
  """Returns height and width of the map whose flattened form `linear` takes.

  Our networks treat rows and columns in the same way, so that the height is
  that of the map of a square image, and the width too.
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
