"""FLOP, bytes and memory, as XLA counts them.

XLA's cost analysis counts the body of a loop once, however often it runs. A
program that makes images is one loop over T steps and little else, so T times
its bytes is what it moves, slightly overrated by what stands outside the loop.
FLOP are those of the definition: the forward pass and the gradient of one batch
without any loop (`jaxkd.evaluation.network_costs.count_flops`).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxkd import models
from jaxkd.evaluation.network_costs import count_flops
from jaxkd.types import Classifier, DataSpec, JaxkdError, Variables

BATCH = 8


def shapes(model: str, spec: DataSpec) -> Classifier:
  """The network `model` as shapes; there is nothing in it."""
  return jax.eval_shape(
    lambda key: models.init(model, key, spec), jax.random.key(0)
  )


def image_step(classifier: Classifier, spec: DataSpec) -> float:
  """FLOP of one update of one image: the network forwards, and its gradient
  with respect to the image. The parts of the loss are left out.
  """

  def run(classifier: Classifier, images: jax.Array) -> jax.Array:
    return jax.grad(lambda x: classifier(x).logits.sum())(images)

  return _flops(run, classifier, spec)


def training_step(classifier: Classifier, spec: DataSpec) -> float:
  """FLOP of one image in one update of the weights: forwards, and the gradient
  with respect to the weights.
  """

  def run(classifier: Classifier, images: jax.Array) -> Variables:
    def total(params: Variables) -> jax.Array:
      variables = {**classifier.variables, "params": params}
      return classifier.apply(variables, images, train=True)[0].logits.sum()

    return jax.grad(total)(classifier.variables["params"])

  return _flops(run, classifier, spec)


def _flops(
  run: Callable[..., Any], classifier: Classifier, spec: DataSpec
) -> float:
  images = jax.ShapeDtypeStruct((BATCH, *spec.shape), jnp.float32)
  found = count_flops(run, classifier, images)
  if found is None:
    raise JaxkdError(
      "FLOP are counted by JAX's CPU backend, and JAX_PLATFORMS leaves it out; "
      "add it: JAX_PLATFORMS=cuda,cpu."
    )
  return found / BATCH


def moved_bytes(compiled: jax.stages.Compiled) -> float | None:
  """Bytes that a program moves on a device, each loop's body once; None where
  XLA does not say, as on GPUs, whose libraries it leaves out of the count.
  """
  if jax.default_backend() == "gpu":
    return None
  try:
    found = (compiled.cost_analysis() or {}).get("bytes accessed", 0)
  except RuntimeError:
    return None
  return float(found) if found > 0 else None


def working_bytes(compiled: jax.stages.Compiled) -> int:
  """Memory that a program takes while it runs, beside its arguments and
  results.
  """
  return compiled.memory_analysis().temp_size_in_bytes
