"""Our networks agree with PyTorch's that have the same weights."""

import numpy as np
import pytest

from jaxkd.models import resnet
from jaxkd.models.cpu import conv as convolutions
from jaxkd.serialization.pytorch import weights as torch_weights

torch = pytest.importorskip("torch", reason="needs the extra torch")
import torch_networks as networks  # noqa: E402
from torch_parity import classifier, compare, spec_for, to_torch  # noqa: E402

pytestmark = pytest.mark.slow


def conv(layer):
  actual = {"kernel": layer.weight.detach().numpy().transpose(2, 3, 1, 0)}
  if layer.bias is not None:
    actual["bias"] = layer.bias.detach().numpy()
  return actual


def norm(layer):
  parameters = {"scale": layer.weight, "bias": layer.bias}
  statistics = {"mean": layer.running_mean, "var": layer.running_var}
  return tuple(
    {name: tensor.detach().numpy().copy() for name, tensor in group.items()}
    for group in (parameters, statistics)
  )


NETWORKS = [
  ("alexnet_quarter", "zsdb3kd_alexnet_quarter", 32),
  ("cake_cnn", "cake_cnn", 28),
  ("cnn", "cnn", 32),
  ("dast_medium", "dast_medium", 28),
  ("ideal_alexnet", "ideal_alexnet", 28),
  ("ideal_cnn", "ideal_cnn", 32),
  ("ideal_lenet", "ideal_lenet", 28),
  ("lenet5", "lenet5", 32),
  ("lenet5_linear", "lenet5", 32),
  ("mlp", "mlp", 8),
  ("mobilenet_quarter", "mobilenet_v2_quarter", 32),
  ("shufflenet_quarter", "shufflenet_v2_quarter", 32),
  ("zsdb3kd_lenet5", "zsdb3kd_lenet5", 28),
]
LARGE = [
  (networks.resnet, ((2, 2, 2, 2), False, 64), "resnet18", 16),
  (networks.resnet, ((3, 4, 6, 3), True, 64), "resnet50", 16),
  (networks.resnet, ((1, 1, 1), False, 16), "resnet8_16", 32),
  (networks.vgg, ((1, 1, 2, 2, 2),), "vgg11", 32),
  (networks.wide_resnet, (16, 1), "wrn16_1", 32),
  (networks.wide_resnet, (22, 2), "wrn22_2", 16),
]


@pytest.mark.parametrize(("build", "model", "side"), NETWORKS)
def test_plain_networks(build, model, side):
  torch.manual_seed(0)
  network = networks.randomise(getattr(networks, build)(3, 7))
  compare(model, network, spec_for(side))


@pytest.mark.parametrize(("build", "args", "model", "side"), LARGE)
def test_networks_of_blocks(build, args, model, side):
  torch.manual_seed(0)
  network = networks.randomise(build(*args, 3, 7))
  # The CPU's form rounds by 1e-6, which changes the sign of the input of some
  # of the many ReLUs, and with it the gradient.
  compare(model, network, spec_for(side), convolutions.reference_form)


def test_vit():
  torch.manual_seed(0)
  network = networks.randomise(networks.ViT(4, 3, 7, 16))
  compare("vit4", network, spec_for(16))


def test_trained():
  torch.manual_seed(0)
  network = networks.resnet((1, 1, 1), False, 16, 1, 7)
  patterns = torch.randn(7, 1, 16, 16)
  optimiser = torch.optim.Adam(network.parameters(), 1e-3)
  for _ in range(30):
    labels = torch.randint(7, (32,))
    images = patterns[labels] + 0.5 * torch.randn(32, 1, 16, 16)
    loss = torch.nn.functional.cross_entropy(network(images), labels)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
  compare("resnet8_16", network, spec_for(16, 1))
  images = patterns.permute(0, 2, 3, 1).numpy()
  logits = classifier("resnet8_16", network, spec_for(16, 1))(images).logits
  assert (logits.argmax(1) == np.arange(7)).all()


def test_back_to_torch():
  torch.manual_seed(0)
  spec = spec_for(16)
  network = networks.randomise(networks.resnet((1, 1, 1), False, 16, 3, 7))
  tensors = torch_weights.to_torch(
    "resnet8_16", spec, classifier("resnet8_16", network, spec).variables
  )
  other = networks.resnet((1, 1, 1), False, 16, 3, 7).eval()
  other.load_state_dict({k: torch.tensor(v) for k, v in tensors.items()})
  images = torch.randn(2, 3, 16, 16)
  assert torch.equal(other(images), network(images))


def test_wrong_flatten_order_gives_other_logits():
  torch.manual_seed(0)
  spec = spec_for(28)
  network = networks.zsdb3kd_lenet5(3, 7)
  images = np.float32(np.random.default_rng(0).normal(size=(4, 28, 28, 3)))
  expected = network(to_torch(images)).detach().numpy()
  for flatten, agrees in (("chw", True), ("hwc", False)):
    actual = classifier("zsdb3kd_lenet5", network, spec, flatten=flatten)
    difference = np.abs(actual(images).logits - expected).max()
    assert (difference < 1e-4) == agrees


@pytest.mark.parametrize("train", [False, True])
def test_resnet_block(train):
  torch.manual_seed(0)
  convs = [
    torch.nn.Conv2d(4, 8, 3, 2, 1, bias=False),
    torch.nn.Conv2d(8, 8, 3, 1, 1, bias=False),
    torch.nn.Conv2d(4, 8, 1, 2, bias=False),
  ]
  norms = [torch.nn.BatchNorm2d(8) for _ in convs]
  for layer in norms:
    torch.nn.init.uniform_(layer.weight)
    torch.nn.init.uniform_(layer.running_mean)
    layer.train(train)
  parameters, statistics = zip(*map(norm, norms), strict=True)
  variables = {
    "params": {f"Conv_{i}": conv(layer) for i, layer in enumerate(convs)}
    | {f"BatchNorm_{i}": group for i, group in enumerate(parameters)},
    "batch_stats": {
      f"BatchNorm_{i}": group for i, group in enumerate(statistics)
    },
  }
  images = np.random.default_rng(1).normal(size=(4, 8, 8, 4))
  images = np.float32(images)
  inputs = to_torch(images)
  y = torch.relu(norms[0](convs[0](inputs)))
  y = norms[1](convs[1](y)) + norms[2](convs[2](inputs))
  expected = torch.relu(y).permute(0, 2, 3, 1)

  block = resnet.Block(8, 2, False, np.float32)
  actual, changed = block.apply(
    variables, images, train=train, mutable=["batch_stats"]
  )
  np.testing.assert_allclose(actual, expected.detach(), atol=1e-5)
  for index, layer in enumerate(norms):
    np.testing.assert_allclose(
      changed["batch_stats"][f"BatchNorm_{index}"]["mean"],
      layer.running_mean,
      atol=1e-5,
    )
