"""How fast synthesis is, against the same algorithm in PyTorch in one run, and
what a grid of students costs.

  pip install 'jaxkd[torch]'
  python -m jaxkd.bench
  python -m jaxkd.bench grid

Both sides are warmed up, then take turns, so that a noisy machine is noisy for
both; the medians and their ratio are printed. The images of both are compared
first: speed counts only where the result is the same.
"""

from collections.abc import Callable
import os
import statistics
import sys
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxkd import methods, models, objectives, resolution, training
from jaxkd.data import spec as data_spec
from jaxkd.errors import fail
from jaxkd.types import Array, Classifier, Context, DataSpec, Nets, Samples

SPEC = data_spec("mnist", image_size=32)
WEIGHTS = {"classification": 1e3, "contrast": 10.0, "total_variation": 1e5}
SET_SIZE, GROUP_SIZE, STEP_SIZE = 500, 10, 0.01


class Result(NamedTuple):
  """Medians of one comparison, in image-steps per second."""

  ours: float
  rival: float
  difference: float  # of the images of both, 99th percentile, normalised space

  @property
  def ratio(self) -> float:
    return self.ours / self.rival


def synthesise(
  teacher: Classifier, num_sets: int, num_steps: int, step_size: float
) -> Callable[[], tuple[Array, Array]]:
  """Our CAKE: a function that makes all sets in one dispatch.

  Returns inputs `[S N, H, W, C]` in the normalised space, and their labels.
  """
  method = methods.build(
    "cake",
    SPEC,
    hyper={"temperature": 1.0, "alpha": 1.0},
    synthesis={
      "num_sets": num_sets, "set_size": SET_SIZE, "group_size": GROUP_SIZE,
      "num_steps": num_steps, "step_size": step_size,
      "step_size_decades": 0.0, "weights": WEIGHTS, "contrast": "groups",
      "dynamics": "sgd", "sets_per_round": num_sets,
    },
  )  # fmt: skip
  nets = Nets(teacher, teacher)
  key = jax.random.key(0)
  ask = jax.jit(lambda nets, key: method.phases[0].ask(
    method.init(key, nets), nets, key
  )[1])  # fmt: skip

  def run() -> tuple[Array, Array]:
    samples = jax.block_until_ready(ask(nets, key))
    return normalise(samples.images, SPEC), samples.labels

  return run


def normalise(images: Array, spec: DataSpec) -> Array:
  """From pixel space to the normalised space."""
  return (images - jnp.asarray(spec.mean)) / jnp.asarray(spec.std)


def compare(num_steps: int = 10, repeats: int = 3) -> Result:
  """Times both sides by turns."""
  import torch

  from jaxkd import rival

  torch.set_num_threads(os.cpu_count() or 1)
  most = resolution.IMAGES_PER_ROUND["cpu"] // SET_SIZE
  num_sets = resolution.sets_per_round(2, most, jax.device_count())
  teacher = models.init("lenet5", jax.random.key(1), SPEC)
  starts, labels = synthesise(teacher, num_sets, num_steps, 1e-30)()
  ours = synthesise(teacher, num_sets, num_steps, STEP_SIZE)
  network = rival.lenet5(teacher.variables)
  inputs = torch.tensor(np.asarray(starts)).permute(0, 3, 1, 2).contiguous()
  targets = torch.tensor(np.asarray(labels)).long()

  def theirs() -> torch.Tensor:
    sets = zip(inputs.split(SET_SIZE), targets.split(SET_SIZE), strict=True)
    return torch.cat([
      rival.optimise(
        network, x, y, group_size=GROUP_SIZE, weights=WEIGHTS,
        step_size=STEP_SIZE, num_steps=num_steps,
      )
      for x, y in sets
    ])  # fmt: skip

  found, expected = ours()[0], theirs().permute(0, 2, 3, 1).numpy()
  seconds = {ours: [], theirs: []}
  for _ in range(repeats):
    for side, times in seconds.items():
      began = time.perf_counter()
      side()
      times.append(time.perf_counter() - began)
  work = num_sets * SET_SIZE * num_steps
  return Result(
    ours=work / statistics.median(seconds[ours]),
    rival=work / statistics.median(seconds[theirs]),
    # Total variation's sign flips where neighbours are equal to rounding, so
    # single pixels may part.
    difference=float(np.percentile(np.abs(found - expected), 99)),
  )


def grid_cost(
  networks: int = 16, num_steps: int = 8, repeats: int = 3
) -> float:
  """How much longer `networks` students at points of a grid take than one.

  The plain CNN on 28x28 images in batches of 128, trained by HTC on stored
  answers; both take turns, medians are compared.
  """
  spec = data_spec("fashion_mnist")
  keys = jax.random.split(jax.random.key(0), 3)
  count = 128 * num_steps
  samples = Samples(
    jax.random.uniform(keys[0], (count, *spec.shape)),
    jax.random.randint(keys[1], (count,), 0, spec.num_classes),
    jax.random.normal(keys[2], (count, spec.num_classes)),
  )
  student = models.init("cnn", jax.random.key(1), spec)
  tx = optax.adam(1e-3)
  recipe = training.Recipe(student.apply, tx, objectives.htc)
  run_epoch = training.epoch_function(recipe)
  batches = training.batches(samples, jax.random.key(2), 128)
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
    return lambda: jax.block_until_ready(run_epoch((states, lesson), batches))

  one, many = epoch_of(1), epoch_of(networks)
  seconds = {one: [], many: []}
  for _ in range(repeats + 1):  # the first time compiles
    for side, times in seconds.items():
      began = time.perf_counter()
      side()
      times.append(time.perf_counter() - began)
  medians = {side: statistics.median(t[1:]) for side, t in seconds.items()}
  return medians[many] / medians[one]


def main(what: str) -> None:
  """Prints one of the comparisons."""
  print(f"device     {jax.devices()[0].device_kind}, {os.cpu_count()} cores")
  if what == "grid":
    print(f"16 points of a grid take {grid_cost():.1f} times as long as one")
    return
  result = compare()
  print(f"jaxkd      {result.ours:,.0f} image-steps/s")
  print(f"PyTorch    {result.rival:,.0f} image-steps/s (eager)")
  print(f"ratio      {result.ratio:.1f}")
  print(f"difference {result.difference:.1e} between the images of both")


if __name__ == "__main__":
  names = sys.argv[1:] or ["cake"]
  if names not in (["cake"], ["grid"]):
    fail(f"What is {' '.join(names)}? Choose cake or grid.")
  main(*names)
