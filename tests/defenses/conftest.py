import blobs
import jax
import jax.numpy as jnp
import pytest

from jaxkd.runtime.metrics import MetricsWriter
from jaxkd.training import trained_network
from jaxkd.types import Samples


@pytest.fixture
def make_trainer(tmp_path, monkeypatch):
  """`make_trainer(folder, **fields)`, on the blobs, with an empty cache."""
  monkeypatch.setenv("JAXKD_CACHE", str(tmp_path / "cache"))
  with MetricsWriter(tmp_path) as metrics:

    def make(folder="run", **fields):
      return trained_network.Trainer(
        blobs.teacher_block(**fields),
        blobs.SPEC,
        Samples(*map(jnp.asarray, blobs.blobs())),
        Samples(*map(jnp.asarray, blobs.blobs(16, seed=2))),
        jax.random.key(4),
        tmp_path / folder,
        metrics,
      )

    yield make
