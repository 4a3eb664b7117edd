"""The steps of further synthesis engines, each with its own config.

  dafl           one update of the generator through the teacher, and of the
                 student on the same images
  dfme           one update of the generator by finite differences: the teacher
                 and the student evaluate (M + 1) B images
  deepinversion  one update of a batch of images, with the terms on all batch
                 normalisations

The size `full` is the published recipe for CIFAR-10 with ResNet-34 and
ResNet-18, with a few steps only; `small` is our recipe for `mnist_5k`.
"""

from collections.abc import Callable
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import optax

from jaxkd import config as configs, data, methods, models
from jaxkd.bench import timing
from jaxkd.bench.cases import STUDENT, TEACHER, network
from jaxkd.bench.results import OURS, Row
from jaxkd.pipeline import exchange
from jaxkd.pipeline.exchange import RoundInputs, RoundSpec, RunState
from jaxkd.teachers.oracles import WhiteBox
from jaxkd.training.step import TrainConfig, init_state

STEPS = 8  # in a dispatch


class Engine(NamedTuple):
  """An engine that is measured, by a method that uses it.

  Attributes:
    config: the config of the method, without its data set.
    steps: the field of `synthesis` with the number of steps of the first phase.
    others: fields of `synthesis` that keep the store small.
  """

  config: str
  steps: str
  others: dict[str, int]


ENGINES = {
  "dafl": Engine("configs/dafl.py", "steps_per_round", {"num_rounds": 1}),
  "dfme": Engine("configs/dfme.py", "generator_steps", {"num_rounds": 1}),
  "deepinversion": Engine(
    "configs/deepinversion.py", "num_steps", {"num_rounds": 1}
  ),
}
DATA = {"full": "cifar10", "small": "mnist_5k"}


def measure(
  size: str, dtypes: tuple[str, ...], repeats: int, steps: int = STEPS
) -> list[Row]:
  """Measures steps per second for every engine and type."""
  return [
    _measure_engine(name, size, dtype, repeats, steps)
    for name in ENGINES
    for dtype in dtypes
  ]


def _measure_engine(
  name: str, size: str, dtype: str, repeats: int, steps: int
) -> Row:
  engine = ENGINES[name]
  config = configs.load_config(f"{engine.config}:dataset={DATA[size]}")
  with config.unlocked():
    config.synthesis.update({engine.steps: steps, **engine.others})
  run = _phase(config, dtype)
  run()
  seconds = timing.interleaved({name: run}, repeats)[name]
  note = (
    f"{config.teacher.model} to {config.student.model}, {config.dataset}, "
    f"{steps} steps"
  )
  return Row(
    name, "engine", OURS, dtype, config.synthesis.batch_size, steps / seconds,
    "steps", seconds, note=note,
  )  # fmt: skip


def _phase(config: ConfigDict, dtype: str) -> Callable[[], RunState]:
  """Compiles a method's first phase; every call runs it from the same state."""
  spec = data.spec(config.dataset, config.image_size)
  method = methods.build(
    config.method,
    spec,
    config.hyper.to_dict(),
    config.synthesis.to_dict(),
    budget=config.queries.budget,
  )
  teacher, student = (
    network(config[role].model, spec, seed)
    for role, seed in (("teacher", TEACHER), ("student", STUDENT))
  )
  apply = models.with_compute_dtype(student, dtype).apply
  recipe = TrainConfig(apply, optax.sgd(0.1), method.objective)
  round_spec = RoundSpec(method, recipe, spec, "white_box", compute_dtype=dtype)
  hyper = {name: jnp.float32(value) for name, value in method.hyper.items()}
  inputs = RoundInputs(WhiteBox(teacher), student, hyper)
  init_key, key = jax.random.split(jax.random.key(0))
  state = exchange.init_state(
    round_spec, inputs, init_state(student, recipe.tx), init_key
  )
  step = jax.jit(functools.partial(exchange.run_phase, round_spec, 0))
  return lambda: jax.block_until_ready(step(state, inputs, key))
