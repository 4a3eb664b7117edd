"""Classifiers as safetensors files."""

import jax
from network_weights import same
import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxkd import models
from jaxkd.serialization import weights
from jaxkd.types import DataSpec, JaxkdError

SPEC = DataSpec("tiny", (8, 8, 1), 3, (0.2,), (0.3,))


@pytest.fixture(scope="module")
def network():
  return models.init("ideal_lenet", jax.random.key(0), SPEC)


def test_the_same_network_is_the_same_bytes(network, tmp_path):
  written = set()
  for index in range(12):  # the library shuffles metadata in each file
    path = tmp_path / f"{index}.safetensors"
    weights.save(path, network, SPEC, "ideal_lenet")
    written.add(path.read_bytes())
  assert len(written) == 1


def test_a_saved_network_is_loaded(network, tmp_path):
  path = tmp_path / "network.safetensors"
  weights.save(path, network, SPEC, "ideal_lenet")
  actual, spec = weights.load_classifier(path)
  assert spec == SPEC
  same(actual, network)
  header = int.from_bytes(path.read_bytes()[:8], "little")
  assert header % 8 == 0


def test_arrays_in_fortran_order_are_saved(network, tmp_path):
  variables = jax.tree.map(
    lambda leaf: np.array(leaf, order="F"), network.variables
  )
  path = tmp_path / "network.safetensors"
  weights.save(path, network.replace(variables=variables), SPEC, "ideal_lenet")
  same(weights.load_classifier(path)[0], network)


def test_an_invalid_spec_is_not_saved(network, tmp_path):
  path = tmp_path / "network.safetensors"
  for name in ("../up", "a\\b", ".hidden", "", "a\nb"):
    with pytest.raises(JaxkdError, match=r"spec\.name"):
      weights.save(path, network, SPEC._replace(name=name), "ideal_lenet")
  assert not list(tmp_path.iterdir())


def test_other_files_are_refused(network, tmp_path):
  with pytest.raises(JaxkdError, match="no checkpoint"):
    weights.load_classifier(tmp_path / "none")
  with pytest.raises(JaxkdError, match="is a folder"):
    weights.load_classifier(tmp_path)
  path = tmp_path / "foreign"
  save_file({"a": np.zeros(3, np.float32)}, path)
  with pytest.raises(JaxkdError, match="import_teacher"):
    weights.load_classifier(path)
