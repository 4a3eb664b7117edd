"""What a grid of students costs."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxkd import models, objectives, parallel, training
from jaxkd.bench import timing
from jaxkd.bench.student import random_samples
from jaxkd.bench.table import OURS, Row
from jaxkd.data import spec as data_spec
from jaxkd.types import Context

BATCH_SIZE, NETWORKS = 128, 16


def row(repeats: int) -> Row:
  """An epoch of all `NETWORKS`, and how much longer it takes than one's."""
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
  """Seconds of an epoch of one student, and of `networks` at points of a grid.

  The plain CNN on 28x28 images in batches of 128, trained by HTC on stored
  answers; both take turns.
  """
  spec = data_spec("fashion_mnist")
  samples = parallel.replicate(random_samples(BATCH_SIZE * num_steps, spec))
  student = models.init("cnn", jax.random.key(1), spec)
  tx = optax.adam(1e-3)
  recipe = training.Recipe(student.apply, tx, objectives.htc)
  run_epoch = training.epoch_function(recipe)
  order = training.order(jax.random.key(2), len(samples.labels), BATCH_SIZE)
  context = Context(jnp.int32(0), jnp.ones(spec.num_classes))

  def epoch_of(size: int) -> Callable[[], None]:
    state = training.create(student, tx)
    states = jax.tree.map(lambda leaf: jnp.stack([leaf] * size), state)
    hyper = {
      "temperature": jnp.linspace(4.0, 100.0, size),
      "alpha": jnp.linspace(0.1, 0.9, size),
      "multiplier": jnp.linspace(1.0, 50.0, size),
    }
    lesson = training.Lesson(hyper, context, jax.random.key(3))
    carry = states, lesson, samples
    return lambda: jax.block_until_ready(run_epoch(carry, order))

  runs = {size: epoch_of(size) for size in (1, networks)}
  for run in runs.values():
    run()
  return timing.by_turns(runs, repeats)
