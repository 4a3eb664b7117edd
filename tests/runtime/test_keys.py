"""No two uses of one random key, in whole runs.

JAX's checker follows what is traced, the loops and `pmap` and `shard_map` in it
as well. Not what is compiled ahead of time, as rounds are; here they are
compiled when they are called. Nor does it mind a key that is drawn from and
also folded, or one that is made in two ways; hence every key that is used is
written down as well, with the lines that use it.
"""

import collections
import functools
from pathlib import Path
import traceback

import jax
import numpy as np
import pytest

import jaxkd
from jaxkd import data
from jaxkd.pipeline import exchange, rounds
from jaxkd.runtime import devices
from jaxkd.training.epoch import epoch_function

ROOT = Path(__file__).parents[2]
SOURCES = str(ROOT / "jaxkd")
SMALL = {
  "teacher.model": "mlp",
  "teacher.holdout": 0.25,
  "teacher.augment": ("flip",),
  "student.model": "mlp",
  "student.seeds": 2,
  "student.at_once": 1,
  "student.epochs": 2,
  "student.augment": ("flip", "crop"),
  "student.holdout": 0.1,
}
RUNS = {
  "cake": {
    "synthesis.sets_per_round": 2,
    "synthesis.dynamics": "langevin",
    "synthesis.set_size": 20,
  },
  "ideal": {
    "synthesis.batch_size": 20,
    "synthesis.pass_batch_size": 20,
    "synthesis.views": ("flip",),
    "synthesis.committee": 2,
    "synthesis.unasked": 2,
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


def run(name, folder):
  config = jaxkd.load_config(str(ROOT / "configs" / f"{name}.py:smoke"))
  config.update_from_flattened_dict(SMALL | RUNS[name])
  jaxkd.distill(None, config, folder, dataset=digits())


@pytest.fixture(autouse=True)
def traced_anew(tmp_path, monkeypatch):
  """Nothing was compiled, or trained, before."""
  monkeypatch.setenv("JAXKD_CACHE", str(tmp_path / "cache"))

  def forget():
    epoch_function.cache_clear()
    jax.clear_caches()

  forget()
  yield
  forget()


@pytest.fixture
def compiled_when_called(monkeypatch):
  """Rounds that the checker sees."""

  def player(game, asked, play):
    del asked, play
    play_round = jax.jit(functools.partial(exchange.run_round, game.rules))
    return lambda play, key: play_round(
      play, game.table, devices.replicate(key)
    ), 0.0

  monkeypatch.setattr(rounds, "compile_round", player)


@pytest.fixture
def uses(monkeypatch):
  """The places in our sources, by key, that draw from it or split it, and
  `"fold"` for one that is folded; also in compiled functions.
  """
  found = collections.defaultdict(set)

  def note(place, words):
    for key in np.asarray(words).reshape(-1, words.shape[-1]):
      found[tuple(key.tolist())].add(place)

  def noting(name, function):
    def noted(key, *args, **fields):
      place = "fold" if name == "fold_in" else (name, *_ours())
      jax.debug.callback(
        functools.partial(note, place), jax.random.key_data(key)
      )
      return function(key, *args, **fields)

    return noted

  for name in (*DRAWS, "fold_in"):
    monkeypatch.setattr(
      jax.random, name, noting(name, getattr(jax.random, name))
    )
  return found


def _ours():
  """The lines of our sources that led here."""
  return tuple(
    f"{frame.filename.removeprefix(SOURCES)}:{frame.lineno}"
    for frame in traceback.extract_stack()
    if frame.filename.startswith(SOURCES)
  )


@pytest.mark.parametrize("name", RUNS)
def test_every_key_has_one_use(tmp_path, compiled_when_called, uses, name):
  with jax.debug_key_reuse(True):
    run(name, tmp_path)
  jax.effects_barrier()
  assert sum("fold" in places for places in uses.values()) > 30
  assert sum("fold" not in places for places in uses.values()) > 30
  assert [places for places in uses.values() if len(places) > 1] == []
