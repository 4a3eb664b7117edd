"""No random key of a whole run is used twice.

JAX's key-reuse checker follows what is traced, also inside of loops, `pmap` and
`shard_map`, but not what is compiled ahead of time, as rounds are; here rounds
are compiled when they are called. Nor does it report a key that is drawn from
and also folded, or a key that is derived in two ways; hence the test also
records every key that is used, with the lines that use it.
"""

import collections
import functools
from pathlib import Path
import traceback

from dense_generator import dense_generator
import jax
import numpy as np
import pytest

import jaxkd
from jaxkd import data
from jaxkd.methods import ideal
from jaxkd.pipeline import exchange, rounds
from jaxkd.report import writer
from jaxkd.runtime import checkpoints, devices
from jaxkd.training.epoch import epoch_function

ROOT = Path(__file__).parents[2]
SOURCES = str(ROOT / "jaxkd")
SMALL = {
  "teacher.model": "mlp",
  "student.model": "mlp",
  "student.epochs": 2,
  "student.augment": ("flip",),
  "student.validation_fraction": 0.1,
}
RUNS = {
  "cake": {
    "teacher.validation_fraction": 0.25,
    "teacher.augment": ("flip",),
    "student.seeds": 2,
    "student.at_once": 1,
    "student.augment": ("flip", "crop"),
    "synthesis.sets_per_round": 2,
    "synthesis.dynamics": "langevin",
    "synthesis.start": "noise",  # others compile for half a minute
    "synthesis.set_size": 20,
  },
  "ideal": {
    "synthesis.batch_size": 20,
    "synthesis.pass_batch_size": 20,
    "synthesis.views": ("flip",),
    "synthesis.ensemble": 2,
    "synthesis.extra_images": 2,
    "queries.budget": 40,
  },
  "dafl": {"synthesis.width": 2, "synthesis.weights.activation": 0.0},
}
DRAWS = (
  "bernoulli", "bits", "choice", "normal", "permutation", "randint", "split",
  "uniform",
)  # fmt: skip


@functools.cache
def digits():
  whole = data.load("mnist_5k", image_size=8)
  return jaxkd.Dataset(whole.spec, *(array[:80] for array in whole[1:]))


def linear(weights, images):
  return images.reshape(len(images), -1) @ weights


def run(name, folder):
  """Distils; CAKE trains its teacher too."""
  weights = np.random.default_rng(0).normal(size=(64, 10)).astype(np.float32)
  teacher = None if name == "cake" else jaxkd.from_function(linear, weights)
  config = jaxkd.load_config(str(ROOT / "configs" / f"{name}.py:smoke"))
  config.update_from_flattened_dict(SMALL | RUNS[name])
  jaxkd.distill(teacher, config, folder, dataset=digits())


@pytest.fixture(autouse=True)
def traced_anew(tmp_path, monkeypatch):
  """Clears all caches of compiled functions and of teachers."""
  monkeypatch.setenv("JAXKD_CACHE", str(tmp_path / "cache"))

  def clear():
    epoch_function.cache_clear()
    jax.clear_caches()

  clear()
  yield
  clear()


@pytest.fixture
def compiled_when_called(monkeypatch):
  """Compiles rounds when they are called, so that the checker sees them."""

  def compile_round(setup, teacher, run):
    del teacher, run
    run_round = jax.jit(functools.partial(exchange.run_round, setup.round))
    return lambda run, key: run_round(
      run, setup.inputs, devices.replicate(key)
    ), 0.0

  monkeypatch.setattr(rounds, "compile_round", compile_round)


@pytest.fixture
def nothing_drawn_or_saved(monkeypatch):
  """Leaves out what takes seconds and has no random keys."""
  monkeypatch.setattr(writer, "draw", lambda *args: [])
  monkeypatch.setattr(checkpoints.Checkpoints, "_save", lambda *args: None)


@pytest.fixture
def uses(monkeypatch):
  """Records the lines of our sources that draw from or split each key.

  A key that is folded gets the entry `"fold"`. Uses in compiled functions are
  recorded too.
  """
  places = collections.defaultdict(set)

  def record(place, words):
    for key in np.asarray(words).reshape(-1, words.shape[-1]):
      places[tuple(key.tolist())].add(place)

  def recorded(name, function):
    def call(key, *args, **fields):
      place = "fold" if name == "fold_in" else (name, *_stack())
      jax.debug.callback(
        functools.partial(record, place), jax.random.key_data(key)
      )
      return function(key, *args, **fields)

    return call

  for name in (*DRAWS, "fold_in"):
    monkeypatch.setattr(
      jax.random, name, recorded(name, getattr(jax.random, name))
    )
  return places


def _stack():
  """Returns the lines of our sources in the current stack."""
  return tuple(
    f"{frame.filename.removeprefix(SOURCES)}:{frame.lineno}"
    for frame in traceback.extract_stack()
    if frame.filename.startswith(SOURCES)
  )


@pytest.fixture
def dense(monkeypatch):
  """A generator for IDEAL that compiles at once; DAFL has a published one."""
  monkeypatch.setattr(
    ideal, "create_generator", lambda *args, **fields: dense_generator(side=8)
  )


@pytest.mark.parametrize(
  "name",
  # Each traces and compiles a whole run anew.
  [
    "ideal",
    pytest.param("cake", marks=pytest.mark.slow),
    pytest.param("dafl", marks=pytest.mark.slow),
  ],
)
def test_every_key_has_one_use(
  tmp_path, compiled_when_called, dense, nothing_drawn_or_saved, uses, name
):
  with jax.debug_key_reuse(True):
    run(name, tmp_path)
  jax.effects_barrier()
  assert sum("fold" in places for places in uses.values()) > 20
  assert sum("fold" not in places for places in uses.values()) > 20
  assert [places for places in uses.values() if len(places) > 1] == []
