"""The cost of training students at points of a grid, beside one student."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxkd import models
from jaxkd.bench import timing
from jaxkd.bench.results import OURS, Row
from jaxkd.bench.student import random_samples
from jaxkd.data import spec as data_spec
from jaxkd.runtime import devices
from jaxkd.training import objectives
from jaxkd.training.epoch import epoch_function, epoch_indices
from jaxkd.training.step import EpochInputs, TrainConfig, init_state
from jaxkd.types import LossContext

BATCH_SIZE, NETWORKS = 128, 16


def row(repeats: int) -> Row:
  """Measures an epoch of `NETWORKS` students and its ratio to one student's."""
  seconds = epochs(repeats=repeats)
  times = seconds[NETWORKS] / seconds[1]
  return Row(
    "grid", "student", OURS, "float32", BATCH_SIZE, None, "",
    seconds[NETWORKS],
    note=f"{NETWORKS} students at points of a grid take {times:.1f} times as "
    "long as one",
  )  # fmt: skip


def epochs(
  networks: int = NETWORKS, num_steps: int = 8, repeats: int = 3
) -> dict[int, float]:
  """Times an epoch of one student, and of `networks` at points of a grid.

  The student is the plain CNN on 28x28 images in batches of 128, trained by HTC
  on stored answers. Returns seconds by the number of students.
  """
  spec = data_spec("fashion_mnist")
  samples = devices.replicate(random_samples(BATCH_SIZE * num_steps, spec))
  student = models.init("cnn", jax.random.key(1), spec)
  tx = optax.adam(1e-3)
  recipe = TrainConfig(student.apply, tx, objectives.htc)
  run_epoch = epoch_function(recipe)
  order = epoch_indices(jax.random.key(2), len(samples.labels), BATCH_SIZE)
  context = LossContext(jnp.int32(0), jnp.ones(spec.num_classes))

  def epoch_of(size: int) -> Callable[[], None]:
    state = init_state(student, tx)
    states = jax.tree.map(lambda leaf: jnp.stack([leaf] * size), state)
    hyper = {
      "temperature": jnp.linspace(4.0, 100.0, size),
      "alpha": jnp.linspace(0.1, 0.9, size),
      "multiplier": jnp.linspace(1.0, 50.0, size),
    }
    inputs = EpochInputs(hyper, context, jax.random.key(3))

    def run() -> None:
      nonlocal states
      states, loss = run_epoch(states, (inputs, samples), order)
      jax.block_until_ready(loss)

    return run

  runs = {size: epoch_of(size) for size in (1, networks)}
  for run in runs.values():
    run()
  return timing.interleaved(runs, repeats)
