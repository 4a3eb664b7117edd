"""Networks as files."""

import jax
from network_weights import same
import pytest

from jaxkd import models, weights
from jaxkd.types import DataSpec

SPEC = DataSpec("tiny", (8, 8, 1), 3, (0.2,), (0.3,))


@pytest.fixture(scope="module")
def network():
  return models.init("ideal_lenet", jax.random.key(0), SPEC)


def test_the_same_network_is_the_same_bytes(network, tmp_path):
  written = set()
  for index in range(12):  # the library shuffles texts afresh for each file
    path = tmp_path / f"{index}.safetensors"
    weights.save(path, network, SPEC, "ideal_lenet")
    written.add(path.read_bytes())
  assert len(written) == 1


def test_a_saved_network_comes_back(network, tmp_path):
  path = tmp_path / "network.safetensors"
  weights.save(path, network, SPEC, "ideal_lenet")
  found, spec = weights.load_classifier(path)
  assert spec == SPEC
  same(found, network)
  header = int.from_bytes(path.read_bytes()[:8], "little")
  assert header % 8 == 0
