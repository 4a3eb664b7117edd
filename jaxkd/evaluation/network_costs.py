"""Costs of a network: parameters, bytes, FLOP and latency."""

from collections.abc import Callable
import statistics
import time
from typing import Any

import chex
import jax
import jax.numpy as jnp

from jaxkd import models
from jaxkd.models.cpu import conv
from jaxkd.types import Classifier, DataSpec

WARM_UPS, REPEATS = 3, 30


def measure(classifier: Classifier, spec: DataSpec) -> dict[str, Any]:
  """Measures the costs of a network in evaluation mode.

  Args:
    classifier: the network.
    spec: spec of its inputs.

  Returns:
    `model`, its name; `parameters`, as `jaxkd.models.count_parameters` counts
    them, and `bytes` of all variables, both None for an artefact; `flops` of
    one image as XLA counts them, None where it cannot; `latency_ms`, the median
    of a jitted forward pass of one image.
  """
  variables = classifier.variables
  image = jnp.zeros((1, *spec.shape), jnp.float32)

  def forward(classifier: Classifier, image: jax.Array) -> jax.Array:
    return classifier(image).logits

  compiled = jax.jit(forward).lower(classifier, image).compile()
  # The weights of an artefact are inside of its program and are not counted.
  parameters = models.count_parameters(variables) or None
  return {
    "model": classifier.name,
    "parameters": parameters,
    "bytes": parameters and sum(x.nbytes for x in jax.tree.leaves(variables)),
    "flops": count_flops(forward, classifier, image),
    "latency_ms": _latency_ms(lambda: compiled(classifier, image)),
  }


def count_flops(
  function: Callable[..., chex.ArrayTree], *arguments: chex.ArrayTree
) -> float | None:
  """Counts the FLOP of a function as it is defined, before compilation.

  The layers are traced without the forms for the CPU, which multiply zeros. The
  body of a loop is counted once. XLA's client for the CPU does the counting on
  every backend, because those of accelerators do not count, or leave out calls
  to libraries.

  Returns:
    The number, or None if JAX_PLATFORMS excludes the CPU, or for an artefact
    that was not exported for the CPU.
  """
  try:
    device = jax.local_devices(backend="cpu")[0]
    shapes = jax.eval_shape(lambda *trees: trees, *arguments)
    with conv.reference_form(), jax.default_device(device):
      # A new function, because a trace in another form may be cached.
      lowered = jax.jit(lambda *trees: function(*trees)).lower(*shapes)
    flops = (lowered.cost_analysis() or {}).get("flops", 0)
  except (RuntimeError, ValueError):
    return None
  return float(flops) if flops > 0 else None


def _latency_ms(run: Callable[[], jax.Array]) -> float:
  times = []
  for _ in range(WARM_UPS + REPEATS):
    start = time.perf_counter()
    jax.block_until_ready(run())
    times.append(1000 * (time.perf_counter() - start))
  return statistics.median(times[WARM_UPS:])
