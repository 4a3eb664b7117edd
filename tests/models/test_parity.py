"""The networks against PyTorch's, with the same weights."""

import jax
import numpy as np
import pytest

from jaxkd.models import lenet, resnet

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow


def linear(layer):
  return {
    "kernel": layer.weight.detach().numpy().T,
    "bias": layer.bias.detach().numpy(),
  }


def conv(layer):
  found = {"kernel": layer.weight.detach().numpy().transpose(2, 3, 1, 0)}
  if layer.bias is not None:
    found["bias"] = layer.bias.detach().numpy()
  return found


def norm(layer):
  parameters = {"scale": layer.weight, "bias": layer.bias}
  statistics = {"mean": layer.running_mean, "var": layer.running_var}
  return tuple(
    {name: tensor.detach().numpy().copy() for name, tensor in group.items()}
    for group in (parameters, statistics)
  )


def to_torch(images):
  return torch.tensor(images.transpose(0, 3, 1, 2), requires_grad=True)


def test_lenet5():
  torch.manual_seed(0)
  net = torch.nn.Sequential(
    torch.nn.Conv2d(1, 6, 5),
    torch.nn.ReLU(),
    torch.nn.MaxPool2d(2),
    torch.nn.Conv2d(6, 16, 5),
    torch.nn.ReLU(),
    torch.nn.MaxPool2d(2),
    torch.nn.Conv2d(16, 120, 5),
    torch.nn.ReLU(),
    torch.nn.Flatten(),
    torch.nn.Linear(120, 84),
    torch.nn.ReLU(),
    torch.nn.Linear(84, 10),
  )
  params = {f"Conv_{i}": conv(net[j]) for i, j in enumerate((0, 3, 6))}
  params |= {f"Dense_{i}": linear(net[j]) for i, j in enumerate((9, 11))}
  images = np.random.default_rng(0).normal(size=(4, 32, 32, 1))
  images = np.float32(images)
  inputs = to_torch(images)
  expected = net(inputs)
  torch.logsumexp(expected, 1).sum().backward()

  def total(images):
    logits = lenet.LeNet(10).apply({"params": params}, images).logits
    return jax.nn.logsumexp(logits, axis=1).sum(), logits

  gradient, logits = jax.jit(jax.grad(total, has_aux=True))(images)
  np.testing.assert_allclose(logits, expected.detach(), atol=1e-5)
  np.testing.assert_allclose(
    gradient, inputs.grad.permute(0, 2, 3, 1), atol=1e-5
  )


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
  found, changed = block.apply(
    variables, images, train=train, mutable=["batch_stats"]
  )
  np.testing.assert_allclose(found, expected.detach(), atol=1e-5)
  for index, layer in enumerate(norms):
    np.testing.assert_allclose(
      changed["batch_stats"][f"BatchNorm_{index}"]["mean"],
      layer.running_mean,
      atol=1e-5,
    )
