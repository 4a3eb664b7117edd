"""Modules of PyTorch that are networks of this package."""

import jax
import numpy as np
import pytest

from jaxkd import models
from jaxkd.serialization import probe as probes
from jaxkd.serialization.probe import Probe
from jaxkd.serialization.pytorch import known_networks
from jaxkd.serialization.pytorch.weights import to_torch
from jaxkd.types import DataSpec

SPEC = DataSpec("net", (16, 16, 3), 5, (0.2, 0.4, 0.6), (0.3, 0.25, 0.2))


@pytest.fixture(scope="module")
def example():
  """A state dict as of torchvision's ResNet-18, narrower, with its probe."""
  network = models.init("resnet8_16", jax.random.key(0), SPEC)
  images = probes.images(SPEC)
  answers = probes.answer(network, images)
  return to_torch("resnet8_16", SPEC, network.variables), Probe(images, answers)


def test_names_shapes_and_answers_tell_the_network(example):
  tensors, probe = example
  counter = {"bn1.num_batches_tracked": np.array(3)}
  known = known_networks.find(tensors | counter, SPEC, probe, "torchvision")
  assert known.architecture == "resnet8_16" and not known.artefact
  assert known.notes == ("the layers are those of resnet8_16 here",)
  np.testing.assert_allclose(
    known.classifier(probe.images).logits, probe.logits, atol=1e-4
  )


@pytest.mark.parametrize("change", ["answers", "equal answers", "names"])
def test_another_module_is_none(example, change):
  tensors, probe = example
  if change == "answers":
    probe = probe._replace(logits=probe.logits + np.float32(0.1))
  elif change == "equal answers":
    probe = probe._replace(logits=0 * probe.logits)
  else:
    tensors = tensors | {"extra.weight": np.zeros((2, 2), np.float32)}
  assert known_networks.find(tensors, SPEC, probe, "torchvision") is None


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_of_equal_networks_that_of_the_library_is_tried_first(library):
  layers = {"conv1", "layer4.1.bn2", "fc"}
  names = known_networks.candidates(layers, SPEC, library)
  assert names[0] == f"{library}_resnet18"
