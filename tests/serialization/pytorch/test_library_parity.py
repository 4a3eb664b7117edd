"""Networks of ours agree with torchvision's and timm's of the same weights."""

import numpy as np
import pytest

from jaxkd.models.cpu import conv as convolutions

torch = pytest.importorskip("torch", reason="needs the extra torch")
import torch_networks as networks  # noqa: E402
from torch_parity import compare, spec_for  # noqa: E402

pytestmark = pytest.mark.slow


def compare_library(library, name, network, side):
  """Compares a network of torchvision or timm with weights of all kinds."""
  networks.randomise(network)
  with torch.no_grad():
    for tensor in network.parameters():
      if not tensor.any():  # as of the last layer of a new transformer
        tensor.normal_(std=0.1)
  # Where two values of a pool are nearly equal, rounding moves the gradient.
  form = convolutions.reference_form
  compare(f"{library}_{name}", network, spec_for(side), form, image=np.min)


@pytest.mark.parametrize(
  ("name", "side"),
  [
    ("resnet18", 64),
    ("resnet34", 47),
    ("resnet50", 64),
    ("vgg11", 64),
    ("vgg11_bn", 33),
    ("vgg13", 64),
    ("vgg13_bn", 80),
    ("vgg16", 224),
    ("vgg16_bn", 64),
    ("mobilenet_v2", 64),
    ("mobilenet_v2", 75),
    ("shufflenet_v2_x1_0", 64),
    ("shufflenet_v2_x1_0", 75),
    ("vit_b_16", 64),
    ("vit_b_16", 224),
  ],
)
def test_torchvision(name, side):
  library = pytest.importorskip("torchvision", reason="needs torchvision")
  torch.manual_seed(0)
  size = {"image_size": side} if name.startswith("vit") else {}
  network = getattr(library.models, name)(num_classes=7, **size)
  compare_library("torchvision", name, network, side)


@pytest.mark.parametrize(
  "name",
  [
    "mobilenetv2_100", "resnet18", "resnet34", "resnet50",
    "vit_base_patch16_224",
  ],
)  # fmt: skip
def test_timm(name):
  library = pytest.importorskip("timm", reason="needs timm")
  torch.manual_seed(0)
  size = {"img_size": 64} if name.startswith("vit") else {}
  network = library.create_model(name, num_classes=7, **size)
  compare_library("timm", name, network, 64)
