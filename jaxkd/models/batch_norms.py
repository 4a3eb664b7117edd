"""Recording of what the batch normalisations of a network got as inputs.

Layers of flax.linen are intercepted, so any linen network will do unchanged.
Networks of other libraries report theirs with `report`. Not recorded are layers
that are called in a compiled, rolled or rematerialised part of the network
(`jax.jit`, `nn.scan`, `nn.remat`).
"""

from collections.abc import Iterator
import contextlib
import contextvars
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from jaxkd.types import Array


class BatchNormCall(NamedTuple):
  """One call of a batch normalisation.

  Attributes:
    inputs: `[B, ..., D]`.
    running_mean: `[D]`, what is stored.
    running_variance: `[D]`, likewise.
  """

  inputs: Array
  running_mean: Array
  running_variance: Array


_calls: contextvars.ContextVar[list[BatchNormCall] | None] = (
  contextvars.ContextVar("batch_norm_calls", default=None)
)


@contextlib.contextmanager
def record() -> Iterator[list[BatchNormCall]]:
  """Yields a list to which networks that are applied inside add their calls."""
  calls: list[BatchNormCall] = []
  token = _calls.set(calls)
  try:
    with nn.intercept_methods(_intercept):
      yield calls
  finally:
    _calls.reset(token)


def report(inputs: Array, mean: Array, variance: Array, axis: int) -> None:
  """Adds a call to the innermost record, if there is one.

  Args:
    inputs: of the batch normalisation.
    mean: `[D]`, the running mean.
    variance: `[D]`, the running variance.
    axis: of the inputs that has D channels.
  """
  calls = _calls.get()
  if calls is not None:
    inputs = jnp.moveaxis(inputs, axis, -1)
    calls.append(BatchNormCall(inputs, mean, variance))


def _intercept(call, args, kwargs, context):
  layer = context.module
  if isinstance(layer, nn.BatchNorm) and context.method_name == "__call__":
    mean, variance = (
      layer.get_variable("batch_stats", name) for name in ("mean", "var")
    )
    inputs = args[0] if args else kwargs["x"]
    report(inputs, mean, variance, layer.axis)
  return call(*args, **kwargs)
