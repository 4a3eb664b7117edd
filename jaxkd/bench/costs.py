"""FLOP, bytes and memory of programs, as XLA counts them.

XLA's cost analysis counts the body of a loop once, however often it runs. A
program that makes images is mostly one loop over T steps, so it moves about T
times its bytes; what is outside the loop is counted T times as well. FLOP are
counted for the forward pass and the gradient of one batch without a loop
(`jaxkd.evaluation.network_costs.count_flops`).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxkd import models
from jaxkd.evaluation.network_costs import count_flops
from jaxkd.types import Classifier, DataSpec, JaxkdError, Variables

BATCH = 8


def shapes(model: str, spec: DataSpec) -> Classifier:
  """Returns the network `model` with shapes in place of weights."""
  return jax.eval_shape(
    lambda key: models.init(model, key, spec), jax.random.key(0)
  )


def image_step(classifier: Classifier, spec: DataSpec) -> float:
  """Counts the FLOP of one update of one image.

  They are those of the forward pass and of the gradient with respect to the
  image, without the terms of the loss.
  """

  def run(classifier: Classifier, images: jax.Array) -> jax.Array:
    return jax.grad(lambda x: classifier(x).logits.sum())(images)

  return _flops(run, classifier, spec)


def training_step(classifier: Classifier, spec: DataSpec) -> float:
  """Counts the FLOP of one image in one update of the weights.

  They are those of the forward pass and of the gradient with respect to the
  weights.
  """

  def run(classifier: Classifier, images: jax.Array) -> Variables:
    def total(params: Variables) -> jax.Array:
      variables = {**classifier.variables, "params": params}
      return classifier.apply(variables, images, train=True)[0].logits.sum()

    return jax.grad(total)(classifier.variables["params"])

  return _flops(run, classifier, spec)


def _flops(
  run: Callable[..., object], classifier: Classifier, spec: DataSpec
) -> float:
  images = jax.ShapeDtypeStruct((BATCH, *spec.shape), jnp.float32)
  flops = count_flops(run, classifier, images)
  if flops is None:
    raise JaxkdError(
      "FLOP are counted by JAX's CPU backend, which JAX_PLATFORMS leaves out; "
      "set JAX_PLATFORMS=cuda,cpu."
    )
  return flops / BATCH


def moved_bytes(compiled: jax.stages.Compiled) -> float | None:
  """Counts the bytes that a program moves on a device, each loop's body once.

  Returns:
    None where XLA does not count them, as on GPUs, where it leaves out the
    libraries' kernels.
  """
  if jax.default_backend() == "gpu":
    return None
  try:
    num_bytes = (compiled.cost_analysis() or {}).get("bytes accessed", 0)
  except RuntimeError:
    return None
  return float(num_bytes) if num_bytes > 0 else None


def working_bytes(compiled: jax.stages.Compiled) -> int:
  """Returns a program's temporary memory: without arguments and results."""
  return compiled.memory_analysis().temp_size_in_bytes
