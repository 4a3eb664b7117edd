"""A network's answers to a probe, as it is and with changes to its layers.

The changes undo usual differences between frameworks, see
`jaxkd.serialization.mismatch_causes`.
"""

from collections.abc import Callable

import flax.linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict
import jax
import jax.numpy as jnp
import numpy as np

from jaxkd.models.cpu import conv
from jaxkd.models.layers import Conv, Dense, DepthwiseConv
from jaxkd.types import Array, Classifier, Variables

EPSILON = 1e-5  # of our BatchNorm, and of PyTorch's


def answer(classifier: Classifier, images: np.ndarray) -> np.ndarray:
  """Computes logits `[N, K]` with products in full float32 on every device."""
  with jax.default_matmul_precision("highest"):
    return np.asarray(_logits(classifier, images.astype(np.float32)))


@jax.jit
def _logits(classifier: Classifier, images: Array) -> Array:
  return classifier(images).logits.astype(jnp.float32)


def with_epsilon(variables: Variables, epsilon: float) -> Variables:
  """Returns variables with which BatchNorm acts as if it had another epsilon.

  The difference of the epsilons is added to the running variances, which gives
  the same outputs in evaluation mode.
  """
  flat = flatten_dict(variables)
  for path in flat:
    if path[0] == "batch_stats" and path[-1] == "var":
      flat[path] = flat[path] + np.float32(epsilon - EPSILON)
  return unflatten_dict(flat)


def answer_padded_same(
  classifier: Classifier, images: np.ndarray
) -> np.ndarray:
  """Computes logits with the padding 'SAME' of TensorFlow and flax.

  It differs from PyTorch's in strided convolutions.
  """
  return _answer_with(_pad_same, classifier, images)


def answer_reordered(
  classifier: Classifier, images: np.ndarray, order: str
) -> np.ndarray:
  """Computes logits with another order of the flattened map.

  Args:
    classifier: the network.
    images: images of the probe, `[N, H, W, C]`.
    order: order of the map for which the first linear layer was trained, `chw`
      or `hwc`.
  """
  return _answer_with(_ReorderInputs(order), classifier, images)


def answer_in_training(
  classifier: Classifier, images: np.ndarray
) -> np.ndarray:
  """Computes logits in training mode, with the statistics of the batch."""
  with jax.default_matmul_precision("highest"):
    outputs, _ = classifier.apply(
      classifier.variables,
      jnp.asarray(images),
      train=True,
      rng=jax.random.key(0),
    )
  return np.asarray(outputs.logits)


def _answer_with(
  interceptor: Callable, classifier: Classifier, images: np.ndarray
) -> np.ndarray:
  """Computes logits with an interceptor of the layers' methods.

  Networks are traced without the forms for the CPU, some of which do not call
  their layers.
  """
  with (
    conv.reference_form(),
    jax.default_matmul_precision("highest"),
    nn.intercept_methods(interceptor),
  ):
    return np.asarray(classifier(jnp.asarray(images)).logits)


def _pad_same(call, args, kwargs, context):
  """Intercepts strided convolutions, to pad as TensorFlow and flax do."""
  layer = context.module
  if (
    not isinstance(layer, Conv | DepthwiseConv)
    or context.method_name != "__call__"
    or layer.stride == 1
  ):
    return call(*args, **kwargs)
  weights = layer.variables["params"]
  y = jax.lax.conv_general_dilated(
    args[0],
    weights["kernel"],
    (layer.stride,) * 2,
    "SAME",
    dimension_numbers=conv.LAYOUT,
    feature_group_count=args[0].shape[-1] // weights["kernel"].shape[2],
  )
  return y + weights.get("bias", 0)


class _ReorderInputs:
  """Intercepts the first linear layer, to reorder its flattened inputs.

  The number of channels is that of the last layer before it or, if there is
  none, that of the images.

  Args:
    order: order of the flattened inputs that the weights are for.
  """

  def __init__(self, order: str):
    self.order, self.channels, self.done = order, 0, False

  def __call__(self, call, args, kwargs, context):
    if context.method_name != "__call__" or self.done or not args:
      return call(*args, **kwargs)
    x = args[0]
    if not isinstance(context.module, Dense) or x.ndim != 2:
      if not self.channels:
        self.channels = x.shape[-1]
      y = call(*args, **kwargs)
      if isinstance(y, jax.Array) and y.ndim == 4:
        self.channels = y.shape[-1]
      return y
    self.done = True
    if self.channels and x.shape[-1] % self.channels == 0:
      # The weights were read in the other order, to which the inputs are moved.
      first = self.channels if self.order == "hwc" else -1
      last = -1 if self.order == "hwc" else self.channels
      x = x.reshape(len(x), first, last).swapaxes(1, 2).reshape(x.shape)
    return call(x)
