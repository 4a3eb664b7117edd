"""The usual causes why an imported network answers differently.

Frameworks differ in defaults, or a network differs from what its owner says of
it.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from jaxkd.data.registry import DATASETS
from jaxkd.serialization.answers import (
  answer,
  answer_in_training,
  answer_padded_same,
  answer_reordered,
  with_epsilon,
)
from jaxkd.types import Classifier

OTHER_EPSILONS = (1e-3, 1e-6, 1e-4, 1e-2, 1e-7, 1e-8)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CAUSE_NAMES = (
  "softmax already applied, channel order, normaliser, padding of strided "
  "convolutions, flatten order, BatchNorm epsilon, train mode"
)


class Cause(NamedTuple):
  """A possible cause of different answers.

  Attributes:
    description: what may be different, and how to correct it.
    answer: computes the logits `[N, K]` that the corrected network would give.
  """

  description: str
  answer: Callable[[], np.ndarray]


def usual_causes(classifier: Classifier, images: np.ndarray) -> Iterator[Cause]:
  """Yields the causes that apply to a classifier, the cheapest to try first."""
  yield from _image_causes(classifier, images)
  yield from _epsilon_causes(classifier, images)
  if hasattr(classifier.apply, "module"):  # the layers of a linen network
    yield from _layer_causes(classifier, images)


def _image_causes(
  classifier: Classifier, images: np.ndarray
) -> Iterator[Cause]:
  """Yields causes that can be undone by changing the images."""

  def answer_to(changed: np.ndarray) -> Callable[[], np.ndarray]:
    return lambda: answer(classifier, changed)

  if images.ndim == 4 and images.shape[-1] == 3:
    yield Cause(
      "Channel order: the expected answers are for BGR images, or the network "
      "takes BGR; swap the channels of the probe's images, or of the first "
      "layer",
      answer_to(images[..., ::-1]),
    )
  mean, std = _normaliser(classifier)
  for description, other_mean, other_std, scale in _other_normalisers(
    mean, std, images.shape[-1]
  ):
    normalised = (images * scale - other_mean) / other_std
    yield Cause(
      f"Normaliser: {description}", answer_to(normalised * std + mean)
    )


def _normaliser(classifier: Classifier) -> tuple[np.ndarray, np.ndarray]:
  """Returns the classifier's mean and std, or 0 and 1 if they are not known."""
  normalise = getattr(classifier.apply, "normalise", None)
  if normalise is None or normalise.mean is None:
    return np.zeros(1), np.ones(1)
  return np.asarray(normalise.mean), np.asarray(normalise.std)


def _other_normalisers(
  mean: np.ndarray, std: np.ndarray, channels: int
) -> Iterator[tuple[str, np.ndarray, np.ndarray, float]]:
  """Yields common normalisers: description, mean, std and scale of images."""

  def flags(mean: Iterable[float], std: Iterable[float]) -> str:
    texts = (",".join(f"{each:.6g}" for each in part) for part in (mean, std))
    return "--mean={} --std={}".format(*texts)

  named = [("of 0.5 and 0.5", ((0.5,) * channels, (0.5,) * channels))]
  if channels == 3:
    named.append(("ImageNet's", IMAGENET))
  named += [
    (f"{name}'s", (info.spec.mean, info.spec.std))
    for name, info in DATASETS.items()
    if len(info.spec.shape) == 3 and len(info.spec.mean) == channels
  ]
  none = np.zeros(channels), np.ones(channels)
  yield f"the probe was made without one; {flags(*none)}", *none, 1.0
  for name, pair in named:
    yield (
      f"the probe was made with {name}; {flags(*pair)}",
      *map(np.asarray, pair),
      1.0,
    )
  if (std > 0).all() and (mean > 0).all():
    yield "mean and std are swapped; exchange --mean and --std", std, mean, 1.0
  scaled = flags(none[0], none[1] / 255)
  yield f"the network takes images in [0, 255]; {scaled}", *none, 255.0
  for name, pair in (("its own", (mean, std)), *named):
    yield (
      f"the network takes images in [0, 255], then {name} mean and std; "
      f"{flags(*(np.asarray(part) / 255 for part in pair))}",
      *map(np.asarray, pair),
      255.0,
    )


def _epsilon_causes(
  classifier: Classifier, images: np.ndarray
) -> Iterator[Cause]:
  """Yields other epsilons, if there is batch normalisation."""
  variables = classifier.variables
  if not (isinstance(variables, dict) and "batch_stats" in variables):
    return
  for epsilon in OTHER_EPSILONS:
    changed = classifier.replace(variables=with_epsilon(variables, epsilon))
    yield Cause(
      f"BatchNorm epsilon: set --batch_norm_epsilon={epsilon:g}",
      lambda changed=changed: answer(changed, images),
    )


def _layer_causes(
  classifier: Classifier, images: np.ndarray
) -> Iterator[Cause]:
  """Yields causes that can be undone by changing layers."""
  yield Cause(
    "Padding of strided convolutions: the probe was made with padding 'SAME' "
    "(Keras, flax), which pads stride 2 unevenly; import such a network as an "
    "artefact, or give it as module:function",
    lambda: answer_padded_same(classifier, images),
  )
  for order in ("chw", "hwc"):
    yield Cause(
      f"Flatten order: set --flatten={order}",
      lambda order=order: answer_reordered(classifier, images, order),
    )
  if "batch_stats" in classifier.variables:
    yield Cause(
      "Train mode: the probe was made with batch statistics; call model.eval() "
      "before making the probe",
      lambda: answer_in_training(classifier, images),
    )
