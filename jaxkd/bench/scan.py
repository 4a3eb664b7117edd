"""The time of steps inside `lax.scan`, beside the same steps outside of it.

XLA:CPU runs the gradients of a plain convolution in a loop up to a hundred
times slower than outside (see `jaxkd.models.cpu.conv`). One network of every
family is measured with T steps in one dispatch, and with a dispatch for each.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import optax

from jaxkd import models
from jaxkd.bench import timing
from jaxkd.bench.results import Row
from jaxkd.bench.student import random_samples
from jaxkd.training import objectives
from jaxkd.training.step import (
  EpochInputs,
  TrainConfig,
  TrainState,
  init_state,
  train_step,
)
from jaxkd.types import Array, Classifier, DataSpec, LossContext, Samples

BATCH_SIZE, STEPS = 32, 4
# Side and channels of the images of each network.
FAMILIES = {
  "lenet5": (32, 1),
  "ideal_lenet": (28, 1),
  "cnn": (32, 3),
  "cake_cnn": (28, 1),
  "ideal_cnn": (32, 3),
  "dast_small": (28, 1),
  "ideal_alexnet": (28, 1),
  "ideal_mlp": (28, 1),
  "zsdb3kd_alexnet_quarter": (32, 3),
  "resnet8_16": (32, 3),
  "wrn16_1": (32, 3),
  "vgg8": (32, 3),
  "vit4": (32, 3),
  "mobilenet_v2_quarter": (32, 3),
  "shufflenet_v2_quarter": (32, 3),
  "skeptical_cnn_quarter": (32, 3),
}

Carry = TypeVar("Carry")


def measure(
  names: tuple[str, ...] = tuple(FAMILIES),
  *,
  batch_size: int = BATCH_SIZE,
  steps: int = STEPS,
  repeats: int = 3,
) -> list[Row]:
  """Measures synthesis and training of every network, in a scan and outside.

  The note of the scan's row has the ratio of their times; above 1, the scan is
  slower.
  """
  return [
    row
    for name in names
    for part in PARTS
    for row in _rows(name, part, batch_size, steps, repeats)
  ]


def _rows(
  name: str, part: str, batch_size: int, steps: int, repeats: int
) -> list[Row]:
  side, channels = FAMILIES[name]
  half = (0.5,) * channels
  spec = DataSpec("images", (side, side, channels), 10, half, half)
  network = models.init(name, jax.random.key(0), spec)
  samples = random_samples(batch_size, spec)
  runs = {
    program: _run(*PARTS[part](network, samples), steps, program == "scan")
    for program in ("scan", "one by one")
  }
  for run in runs.values():
    run()
  seconds = timing.interleaved(runs, repeats)
  ratio = seconds["scan"] / seconds["one by one"]
  return [
    Row(
      name, part, program, "float32", batch_size,
      steps * batch_size / seconds[program], "image-steps", seconds[program],
      note=f"{ratio:.2f} of one by one" if program == "scan" else "",
    )
    for program in runs
  ]  # fmt: skip


def _run(
  step: Callable[[Carry], Carry], start: Carry, count: int, scanned: bool
) -> Callable[[], Carry]:
  """Returns a function that runs `count` steps, in one dispatch or in many."""
  if scanned:
    scan = jax.jit(
      lambda carry: jax.lax.scan(
        lambda carry, _: (step(carry), None), carry, length=count
      )[0]
    )
    return lambda: jax.block_until_ready(scan(start))
  compiled = jax.jit(step)

  def run() -> Carry:
    carry = start
    for _ in range(count):
      carry = compiled(carry)
    return jax.block_until_ready(carry)

  return run


def _synthesis(
  network: Classifier, samples: Samples
) -> tuple[Callable[[Array], Array], Array]:
  def loss(images: jax.Array) -> jax.Array:
    logits = network(images).logits
    return optax.softmax_cross_entropy_with_integer_labels(
      logits, samples.labels
    ).mean()

  step = lambda images: images - 0.1 * jax.grad(loss)(images)
  return step, samples.images


def _training(
  network: Classifier, samples: Samples
) -> tuple[Callable[[TrainState], TrainState], TrainState]:
  tx = optax.sgd(0.01, 0.9)
  recipe = TrainConfig(network.apply, tx, objectives.cross_entropy)
  context = LossContext(jnp.int32(0), jnp.ones(samples.targets.shape[-1]))
  inputs = EpochInputs({}, context, jax.random.key(1))

  def step(state: TrainState) -> TrainState:
    key = jax.random.fold_in(inputs.key, state.step)
    return train_step(recipe, state, samples, inputs, key)[0]

  return step, init_state(network, tx)


PARTS = {"synthesis": _synthesis, "training": _training}
