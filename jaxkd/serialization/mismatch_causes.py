"""The usual causes of other answers: what differs between two frameworks, or
between what an owner believes of a network and what it is.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import flax.linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict
import jax
import jax.numpy as jnp
import numpy as np

from jaxkd.data.registry import DATASETS
from jaxkd.models.cpu import conv
from jaxkd.models.layers import Conv, Dense, DepthwiseConv
from jaxkd.types import Array, Classifier, Variables

EPSILON = 1e-5  # of the zoo's BatchNorm, and of PyTorch's
EPSILONS = (1e-3, 1e-6, 1e-4, 1e-2, 1e-7, 1e-8)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
NAMES = (
  "softmax already applied, channel order, normaliser, padding of strided "
  "convolutions, flatten order, BatchNorm epsilon, train mode"
)


class Cause(NamedTuple):
  """Attributes:

  words: what may have been different, and what mends it.
  answer: `[N, K]`, what would be answered with the cause undone.
  """

  words: str
  answer: Callable[[], np.ndarray]


def answer(classifier: Classifier, images: np.ndarray) -> np.ndarray:
  """Logits `[N, K]` in full float32; some devices round products otherwise."""
  with jax.default_matmul_precision("highest"):
    return np.asarray(_logits(classifier, images.astype(np.float32)))


@jax.jit
def _logits(classifier: Classifier, images: Array) -> Array:
  return classifier(images).logits.astype(jnp.float32)


def with_epsilon(variables: Variables, epsilon: float) -> Variables:
  """Variables whose BatchNorm, in evaluation, is that of another epsilon: the
  running variances take up what it is above ours.
  """
  flat = flatten_dict(variables)
  for path in flat:
    if path[0] == "batch_stats" and path[-1] == "var":
      flat[path] = flat[path] + np.float32(epsilon - EPSILON)
  return unflatten_dict(flat)


def usual(classifier: Classifier, images: np.ndarray) -> Iterator[Cause]:
  """The causes that may be tried on this classifier; those first that need no
  compilation.
  """
  yield from _of_images(classifier, images)
  yield from _of_epsilon(classifier, images)
  if hasattr(classifier.apply, "module"):  # a linen network: look inside
    yield from _of_layers(classifier, images)


def _of_images(classifier: Classifier, images: np.ndarray) -> Iterator[Cause]:
  """Causes that other images undo: nothing of the network is known."""

  def asked(other: np.ndarray) -> Callable[[], np.ndarray]:
    return lambda: answer(classifier, other)

  if images.ndim == 4 and images.shape[-1] == 3:
    yield Cause(
      "Channel order: the expected answers are to BGR, or the network is; swap "
      "the channels of the probe's images, or of the first layer",
      asked(images[..., ::-1]),
    )
  mean, std = _normaliser(classifier)
  channels = images.shape[-1]
  for words, other_mean, other_std, scale in _normalisers(mean, std, channels):
    normalised = (images * scale - other_mean) / other_std
    yield Cause(f"Normaliser: {words}", asked(normalised * std + mean))


def _normaliser(classifier: Classifier) -> tuple[np.ndarray, np.ndarray]:
  """What is applied inside, as far as it is known."""
  inside = getattr(classifier.apply, "normalise", None)
  if inside is None or inside.mean is None:
    return np.zeros(1), np.ones(1)
  return np.asarray(inside.mean), np.asarray(inside.std)


def _normalisers(
  mean: np.ndarray, std: np.ndarray, channels: int
) -> Iterator[tuple[str, np.ndarray, np.ndarray, float]]:
  """Others that people use: words, mean, std, and what images are scaled by."""

  def flags(mean, std) -> str:
    texts = (",".join(f"{each:.6g}" for each in part) for part in (mean, std))
    return "--mean={} --std={}".format(*texts)

  sets = [("of 0.5 and 0.5", ((0.5,) * channels, (0.5,) * channels))]
  if channels == 3:
    sets.append(("ImageNet's", IMAGENET))
  sets += [
    (f"{name}'s", (entry.spec.mean, entry.spec.std))
    for name, entry in DATASETS.items()
    if len(entry.spec.shape) == 3 and len(entry.spec.mean) == channels
  ]
  none = np.zeros(channels), np.ones(channels)
  yield f"the probe was made without one; {flags(*none)}", *none, 1.0
  for name, pair in sets:
    yield f"the probe was made with {name}; {flags(*pair)}", *_arrays(pair), 1.0
  if (std > 0).all() and (mean > 0).all():
    yield "mean and std are swapped; exchange --mean and --std", std, mean, 1.0
  scaled = flags(none[0], none[1] / 255)
  yield f"the network takes images in [0, 255]; {scaled}", *none, 255.0
  for name, pair in (("its own", (mean, std)), *sets):
    yield (
      f"the network takes images in [0, 255], then {name} mean and std; "
      f"{flags(*(np.asarray(part) / 255 for part in pair))}",
      *_arrays(pair),
      255.0,
    )


def _arrays(pair) -> tuple[np.ndarray, np.ndarray]:
  mean, std = map(np.asarray, pair)
  return mean, std


def _of_epsilon(classifier: Classifier, images: np.ndarray) -> Iterator[Cause]:
  """Other epsilons, if there is BatchNorm."""
  variables = classifier.variables
  if not (isinstance(variables, dict) and "batch_stats" in variables):
    return
  for epsilon in EPSILONS:
    changed = classifier.replace(variables=with_epsilon(variables, epsilon))
    yield Cause(
      f"BatchNorm epsilon: say --batch_norm_epsilon={epsilon:g}",
      lambda changed=changed: answer(changed, images),
    )


def _of_layers(classifier: Classifier, images: np.ndarray) -> Iterator[Cause]:
  """Causes that other layers undo."""
  yield Cause(
    "Padding of strided convolutions: the probe was made with padding 'SAME' "
    "(Keras, flax), which pads stride 2 unevenly; bring such a network as "
    "module:function or as an artefact",
    lambda: _intercepted(classifier, images, _same_padding),
  )
  for order in ("chw", "hwc"):
    yield Cause(
      f"Flatten order: say --flatten={order}",
      lambda order=order: _intercepted(classifier, images, _Reordered(order)),
    )
  if "batch_stats" in classifier.variables:
    yield Cause(
      "Train mode: the probe was made with batch statistics; call model.eval() "
      "before it is made",
      lambda: _in_training(classifier, images),
    )


def _intercepted(
  classifier: Classifier, images: np.ndarray, interceptor: Callable
) -> np.ndarray:
  """What is answered with layers that do something else; as defined, because
  the CPU's form of some networks does not call their layers.
  """
  with (
    conv.reference_form(),
    jax.default_matmul_precision("highest"),
    nn.intercept_methods(interceptor),
  ):
    return np.asarray(classifier(jnp.asarray(images)).logits)


def _in_training(classifier: Classifier, images: np.ndarray) -> np.ndarray:
  with jax.default_matmul_precision("highest"):
    outputs, _ = classifier.apply(
      classifier.variables,
      jnp.asarray(images),
      train=True,
      rng=jax.random.key(0),
    )
  return np.asarray(outputs.logits)


def _same_padding(call, args, kwargs, context):
  """Strided convolutions as TensorFlow and flax pad them."""
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


class _Reordered:
  """The first linear layer behind a flatten sees its inputs in another order.

  Channels are those of the last layer before it, of the images without one.
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
      # The weights were read in the other order: undo that on the inputs.
      first = self.channels if self.order == "hwc" else -1
      last = -1 if self.order == "hwc" else self.channels
      x = x.reshape(len(x), first, last).swapaxes(1, 2).reshape(x.shape)
    return call(x)
