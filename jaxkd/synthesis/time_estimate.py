"""An estimate of how many images an accelerator optimises within a time.

A run that is told to stop waits for its dispatch, so a dispatch should not take
long. Nothing is compiled or run for the estimate.
"""

import jax
import jax.numpy as jnp

from jaxkd.evaluation import matrix_work
from jaxkd.runtime import accelerators, compile_target
from jaxkd.runtime.accelerators import Accelerator
from jaxkd.synthesis import memory_estimate
from jaxkd.synthesis.memory_estimate import BATCH
from jaxkd.types import Array, Classifier, DataSpec

SECONDS = 10.0  # of a dispatch, at most
# How often what is kept for the backward pass is moved: fitted to the cycles
# that XLA's compiler for a TPU v5e estimates for LeNet-5 and ResNet-34.
MOVES = 8


def image_step_seconds(
  network: Classifier, spec: DataSpec, accelerator: Accelerator
) -> float:
  """Returns the time of one update of one image on one device.

  That is the time of the products, filled with zeros up to the size of the
  matrix units, and of moving what is kept for the backward pass.
  """

  def gradient(network: Classifier, images: Array) -> Array:
    return jax.grad(lambda x: network(x).logits.sum())(images)

  images = jax.ShapeDtypeStruct((BATCH, *spec.shape), jnp.float32)
  work = matrix_work.count(gradient, network, images)
  flop = matrix_work.flop(work, accelerator.tile) / BATCH
  moved = MOVES * memory_estimate.residual_bytes(network, spec)
  return flop / accelerator.flops + moved / accelerator.bandwidth


def images_per_dispatch(
  network: Classifier, spec: DataSpec, num_steps: int
) -> int | None:
  """Returns how many images all devices optimise in `SECONDS`.

  Args:
    network: the teacher, in the type that it computes in.
    spec: spec of its inputs.
    num_steps: number of updates of an image.

  Returns:
    At least one image for each device; None if the rates of these devices are
    not known.
  """
  devices = compile_target.devices()
  accelerator = accelerators.find(devices[0].device_kind)
  if accelerator is None or not accelerator.flops:
    return None
  seconds = num_steps * image_step_seconds(network, spec, accelerator)
  return len(devices) * max(int(SECONDS / seconds), 1)
