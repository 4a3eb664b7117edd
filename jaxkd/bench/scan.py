"""A step inside `lax.scan` against the same step outside of it.

XLA:CPU runs the gradients of a plain convolution in a loop up to a hundred
times slower than outside (see `jaxkd.models.cpu.conv`). One network of every
family of the zoo shows that ours are not: T steps in one dispatch, and one by
one.
"""

from collections.abc import Callable
from typing import Any

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
from jaxkd.types import Classifier, DataSpec, LossContext, Samples

BATCH_SIZE, STEPS = 32, 4
# network: side and channels of its images
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

Steps = Callable[[], Any]


def measure(
  names: tuple[str, ...] = tuple(FAMILIES),
  *,
  batch_size: int = BATCH_SIZE,
  steps: int = STEPS,
  repeats: int = 3,
) -> list[Row]:
  """Four rows for every network: synthesis and training, in one `scan` and one
  by one. The note of the former has the ratio; above 1 the scan is slower.
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
    form: _run(*PARTS[part](network, samples), steps, form == "scan")
    for form in ("scan", "one by one")
  }
  for run in runs.values():
    run()
  seconds = timing.interleaved(runs, repeats)
  ratio = seconds["scan"] / seconds["one by one"]
  return [
    Row(
      name, part, form, "float32", batch_size,
      steps * batch_size / seconds[form], "image-steps", seconds[form],
      note=f"{ratio:.2f} of one by one" if form == "scan" else "",
    )
    for form in runs
  ]  # fmt: skip


def _run(step: Callable[[Any], Any], carry: Any, count: int, scanned: bool):
  """`count` steps from `carry`, in one dispatch or in as many."""
  if scanned:
    together = jax.jit(
      lambda carry: jax.lax.scan(
        lambda carry, _: (step(carry), None), carry, length=count
      )[0]
    )
    return lambda: jax.block_until_ready(together(carry))
  alone = jax.jit(step)

  def run() -> Any:
    now = carry
    for _ in range(count):
      now = alone(now)
    return jax.block_until_ready(now)

  return run


def _synthesis(network: Classifier, samples: Samples):
  def loss(images: jax.Array) -> jax.Array:
    logits = network(images).logits
    return optax.softmax_cross_entropy_with_integer_labels(
      logits, samples.labels
    ).mean()

  step = lambda images: images - 0.1 * jax.grad(loss)(images)
  return step, samples.images


def _training(network: Classifier, samples: Samples):
  tx = optax.sgd(0.01, 0.9)
  recipe = TrainConfig(network.apply, tx, objectives.cross_entropy)
  context = LossContext(jnp.int32(0), jnp.ones(samples.targets.shape[-1]))
  lesson = EpochInputs({}, context, jax.random.key(1))

  def step(state: TrainState) -> TrainState:
    key = jax.random.fold_in(lesson.key, state.step)
    return train_step(recipe, state, samples, lesson, key)[0]

  return step, init_state(network, tx)


PARTS = {"synthesis": _synthesis, "training": _training}
