"""The last layer of a network, found by what its weights do."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxkd.types import Array, Classifier

TOLERANCE = 1e-3  # relative to the largest logit


def with_scaled_logits(
  classifier: Classifier, factor: float, images: Array
) -> Classifier | None:
  """Returns the network with weights that multiply its logits by a factor.

  These are all parameters of the layer that is linear in the logits, whatever
  its name: it is tried on a few images.

  Args:
    classifier: any network with parameters in `variables["params"]`.
    factor: above 0.
    images: `[N, ...]` floats in pixel space, on which it is tried.

  Returns:
    The network; None if no layer is as it should be, for instance where the
    logits are normalised.
  """
  before = classifier(images).logits
  allowed = TOLERANCE * jnp.abs(factor * before).max()
  paths = jax.tree_util.tree_flatten_with_path(classifier.variables["params"])
  layers = dict.fromkeys(path[:-1] for path, _ in reversed(paths[0]))
  num_classes = before.shape[-1]
  for layer in layers:
    scaled = _scaled(classifier, layer, factor, num_classes)
    if scaled is None:
      continue
    gap = jnp.abs(scaled(images).logits - factor * before).max()
    if gap <= allowed:
      return scaled
  return None


def _scaled(
  classifier: Classifier,
  layer: tuple[Any, ...],
  factor: float,
  num_classes: int,
) -> Classifier | None:
  """Scales the parameters of a layer, if K is a side of all of them."""
  found = []

  def scale(path: tuple[Any, ...], leaf: Array) -> Array:
    if path[:-1] != layer:
      return leaf
    found.append(leaf.ndim > 0 and num_classes in leaf.shape)
    return factor * leaf

  params = jax.tree_util.tree_map_with_path(
    scale, classifier.variables["params"]
  )
  if not all(found):
    return None
  return classifier.replace(
    variables={**classifier.variables, "params": params}
  )
