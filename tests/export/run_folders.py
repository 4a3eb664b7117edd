"""Folders of runs that are done, without the runs."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxkd import models, store as stores, weights
from jaxkd.checkpointing import Checkpoints
from jaxkd.exchange import Play
from jaxkd.runtime.files import write_json
from jaxkd.training import TrainState
from jaxkd.types import DataSpec, Samples

SPEC = DataSpec("tiny", (8, 8, 1), 3, (0.2,), (0.3,))
ACCURACY = 0.75


def network(seed, spec=SPEC):
  return models.init("ideal_lenet", jax.random.key(seed), spec)


def save_network(folder, role, seed, spec=SPEC):
  path = folder / f"{role}.safetensors"
  weights.save(path, network(seed, spec), spec, "ideal_lenet")


def save_report(folder, method="cake", access="white_box", **synthesis):
  config = {
    "method": method,
    "dataset": SPEC.name,
    "seed": 3,
    "synthesis": synthesis,
    "teacher": {
      "model": "ideal_lenet",
      "checkpoint": "",
      "access": access,
    },
  }
  write_json(folder / "config.json", config)
  report = {
    "method": method,
    "dataset": SPEC.name,
    "student": {"accuracies": [ACCURACY]},
    "teacher": {"model": "ideal_lenet"},
    "commit": "0123abc",
    "date": "2026-01-02T03:04:05+00:00",
    "versions": {"jaxkd": "0.1.0"},
  }
  write_json(folder / "report.json", report)


def samples(teacher, images, meant=True, soft=True):
  """Images as a run stores them."""
  targets = jax.nn.log_softmax(teacher(jnp.asarray(images)).logits)
  count = len(images)
  labels = (
    jnp.arange(count, dtype=jnp.int32) % 3
    if meant
    else -jnp.ones(count, jnp.int32)
  )
  if not soft:
    targets = targets.argmax(-1).astype(jnp.int32)
  return Samples(jnp.asarray(images), labels, targets)


def save_samples(folder, given, capacity):
  """A checkpoint that holds the samples, in a store of `capacity`."""
  store = stores.insert(stores.init(capacity, given), given)
  other = {"params": {"kernel": jnp.ones((2, 2))}}
  student = TrainState(other, {"count": jnp.int32(0)}, jnp.int32(0))
  play = Play({"generator": other, "none": None}, student, store)
  with Checkpoints(folder / "checkpoints" / "synthesis") as checkpoints:
    checkpoints.tick(1, {"round": 1, "play": play}, last=True)


def pixels(count, spread=1.0, seed=0):
  """Floats, of which some lie outside [0, 1] if `spread` is above 1."""
  draw = np.random.default_rng(seed)
  return (0.5 + spread * (draw.random((count, *SPEC.shape)) - 0.5)).astype(
    np.float32
  )
