"""What a network costs: parameters, bytes, FLOP and latency."""

from collections.abc import Callable
import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp

from jaxkd import models
from jaxkd.models.cpu import conv
from jaxkd.types import Classifier, DataSpec

WARM_UPS, REPEATS = 3, 30


def measure(classifier: Classifier, spec: DataSpec) -> dict[str, Any]:
  """What a network costs.

  Args:
    classifier: in evaluation mode.
    spec: shape of its input.

  Returns:
    `model` (name); `parameters` (numbers in the collection `params`; all
    variables if there is none); `bytes` of all variables; `flops` of one
    image, as XLA counts them, None where it can't; `latency_ms`, the median of
    a jitted forward pass of one image.
  """
  variables = classifier.variables
  image = jnp.zeros((1, *spec.shape), jnp.float32)

  def forward(classifier: Classifier, image: jax.Array) -> jax.Array:
    return classifier(image).logits

  compiled = jax.jit(forward).lower(classifier, image).compile()
  # An artefact has its weights inside, where nobody counts them.
  parameters = models.count_parameters(variables) or None
  return {
    "model": classifier.name,
    "parameters": parameters,
    "bytes": parameters and sum(x.nbytes for x in jax.tree.leaves(variables)),
    "flops": count_flops(forward, classifier, image),
    "latency_ms": _latency_ms(lambda: compiled(classifier, image)),
  }


def count_flops(function: Callable[..., Any], *arguments: Any) -> float | None:
  """FLOP of `function` as it is defined: before the compiler, without loops of
  which XLA counts the body once, and without the forms that multiply zeros to
  be faster.

  XLA's client for the CPU counts them whatever the backend: those of
  accelerators don't, or leave out what libraries do. None where JAX_PLATFORMS
  leaves the CPU out, or for an artefact that was not made for it.
  """
  try:
    device = jax.local_devices(backend="cpu")[0]
    shapes = jax.eval_shape(lambda *found: found, *arguments)
    with conv.reference_form(), jax.default_device(device):
      # A new function, for what was traced in another form is kept.
      lowered = jax.jit(lambda *found: function(*found)).lower(*shapes)
    found = (lowered.cost_analysis() or {}).get("flops", 0)
  except (RuntimeError, ValueError):
    return None
  return float(found) if found > 0 else None


def _latency_ms(run: Callable[[], Any]) -> float:
  times = []
  for _ in range(WARM_UPS + REPEATS):
    start = time.perf_counter()
    jax.block_until_ready(run())
    times.append(1000 * (time.perf_counter() - start))
  return statistics.median(times[WARM_UPS:])
