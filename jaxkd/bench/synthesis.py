"""The rounds of CAKE as in a run, and their initial images for PyTorch."""

from collections.abc import Callable
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxkd import methods, models
from jaxkd.bench.cases import Case, Size
from jaxkd.pipeline import exchange, resolution
from jaxkd.pipeline.exchange import RoundInputs, RoundSpec, RunState
from jaxkd.synthesis import priors
from jaxkd.teachers.oracles import WhiteBox
from jaxkd.training import objectives
from jaxkd.training.step import TrainConfig, init_state
from jaxkd.types import Array, Classifier, DataSpec

WEIGHTS = {"classification": 1e3, "contrast": 10.0, "total_variation": 1e5}
GROUP_SIZE, STEP_SIZE = 10, 0.01
HYPER = {"temperature": 1.0, "alpha": 1.0}
# Arguments of the same synthesis in PyTorch.
TORCH_ARGUMENTS = {
  "group_size": GROUP_SIZE, "weights": WEIGHTS, "step_size": STEP_SIZE,
}  # fmt: skip


class SynthesisRunner(NamedTuple):
  """Rounds that make, label and store images.

  Attributes:
    run: runs all rounds and waits for them.
    compiled: the program of one round.
    sets_at_once: the number of sets in a round.
    image_steps: the number of updates of all images together.
  """

  run: Callable[[], RunState]
  compiled: jax.stages.Compiled
  sets_at_once: int
  image_steps: int


def synthesis_runner(
  case: Case,
  size: Size,
  teacher: Classifier,
  sets_at_once: int,
  *,
  rounds: int = 1,
  dtype: str = "float32",
) -> SynthesisRunner:
  """Compiles CAKE with `teacher`: `rounds` rounds of `sets_at_once` sets.

  Every run starts from the same key, and all sets have the same step size.
  Gradients are computed in `dtype`; labels and pixels are float32.
  """
  method = methods.build(
    "cake",
    case.spec,
    hyper=HYPER,
    synthesis={
      "num_sets": rounds * sets_at_once, "set_size": size.set_size,
      "group_size": GROUP_SIZE, "num_steps": size.steps,
      "step_size": STEP_SIZE, "step_size_decades": 0.0, "weights": WEIGHTS,
      "contrast": "groups", "dynamics": "sgd", "sets_per_round": sets_at_once,
    },
  )  # fmt: skip
  recipe = TrainConfig(teacher.apply, optax.identity(), objectives.kd)
  round_spec = RoundSpec(
    method, recipe, case.spec, "white_box", compute_dtype=dtype
  )
  # CAKE does not use the student, so any network can stand for it.
  inputs = RoundInputs(WhiteBox(teacher), teacher, HYPER)
  state, key = init_state(teacher, recipe.tx), jax.random.key(0)
  rounds_key = jax.random.key(1)

  # Compiled, because tracing takes longer than a few steps.
  initialise = jax.jit(functools.partial(exchange.init_state, round_spec))
  start = (inputs, state, key)
  shapes = jax.eval_shape(initialise, *start)
  compiled = (
    jax.jit(functools.partial(exchange.run_round, round_spec), donate_argnums=0)
    .lower(shapes, inputs, key)
    .compile()
  )

  def run() -> RunState:
    state = initialise(*start)
    for index in range(rounds):
      state, _ = compiled(state, inputs, jax.random.fold_in(rounds_key, index))
    return jax.block_until_ready(state)

  images = rounds * sets_at_once * size.set_size
  return SynthesisRunner(run, compiled, sets_at_once, images * size.steps)


def starts(count: int, set_size: int, spec: DataSpec) -> Array:
  """Returns the first sets' initial images `[S N, H, W, C]`, normalised."""

  def start(index: Array) -> Array:
    start_key = jax.random.split(
      jax.random.fold_in(jax.random.key(0), index), 3
    )[0]
    return priors.normal(start_key, set_size, spec)

  return jax.vmap(start)(jnp.arange(count)).reshape(-1, *spec.shape)


def normalise(images: Array, spec: DataSpec) -> Array:
  """Normalises images from pixel space."""
  return (images - jnp.asarray(spec.mean)) / jnp.asarray(spec.std)


def sets_at_once(
  size: Size, teacher: Classifier, spec: DataSpec, dtype: str
) -> int:
  """Returns the number of sets that a run takes in a round."""
  devices = jax.device_count()
  images = resolution.images_per_round(
    models.with_compute_dtype(teacher, dtype),
    spec,
    size.steps,
    devices,
    jax.default_backend(),
  )
  return resolution.sets_per_round(size.sets, images // size.set_size, devices)
