"""Tests the way from a network trained in PyTorch to an exported student."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import jaxkd
from jaxkd import data, import_teacher
from jaxkd.export import __main__ as export
from jaxkd.serialization import bundle

CONFIGS = Path(__file__).parents[2] / "configs"
MEAN, STD = 0.1307, 0.3081


def trained_lenet(torch, images, labels):
  """Trains LeNet-5 for one pass over the images."""
  nn = torch.nn
  torch.manual_seed(0)
  layers = {
    "conv1": nn.Conv2d(1, 6, 5), "relu1": nn.ReLU(), "pool1": nn.MaxPool2d(2),
    "conv2": nn.Conv2d(6, 16, 5), "relu2": nn.ReLU(), "pool2": nn.MaxPool2d(2),
    "conv3": nn.Conv2d(16, 120, 5), "relu3": nn.ReLU(), "flat": nn.Flatten(),
    "fc1": nn.Linear(120, 84), "relu4": nn.ReLU(), "fc2": nn.Linear(84, 10),
  }  # fmt: skip
  net = nn.Sequential()
  for name, layer in layers.items():
    net.add_module(name, layer)
  optimiser = torch.optim.Adam(net.parameters(), 2e-3)
  for rows in torch.randperm(len(images)).split(50):
    optimiser.zero_grad()
    nn.functional.cross_entropy(net(images[rows]), labels[rows]).backward()
    optimiser.step()
  return net.eval()


@pytest.mark.slow
def test_a_lenet_of_pytorch_becomes_a_student(tmp_path, monkeypatch):
  torch = pytest.importorskip("torch")
  from safetensors.torch import save_file

  monkeypatch.chdir(tmp_path)
  digits = data.load("mnist_5k", image_size=32)
  pixels = torch.tensor(digits.train_images / np.float32(255)).permute(
    0, 3, 1, 2
  )
  normal = (pixels - MEAN) / STD
  labels = torch.tensor(digits.train_labels).long()
  net = trained_lenet(torch, normal, labels)
  state = {name: x.contiguous() for name, x in net.state_dict().items()}
  save_file(state, "net.safetensors")
  x = torch.rand(16, 1, 32, 32)
  y = net((x - MEAN) / STD).detach()
  save_file({"images": x, "logits": y}, "probe.safetensors")

  import_teacher.main([
    "net.safetensors", "--model=lenet5", "--image_shape=32,32,1",
    "--num_classes=10", f"--mean={MEAN}", f"--std={STD}",
    "--probe=probe.safetensors", "--out=teacher",
  ])  # fmt: skip
  config = jaxkd.load_config(f"{CONFIGS}/cake.py:smoke")
  config.teacher.checkpoint, config.dataset = "teacher", "none"
  student, report = jaxkd.distill(None, config, tmp_path / "run")
  assert report["teacher"]["model"] == "lenet5"
  assert report["student"]["accuracy"] is None
  assert export.main(["student", "--workdir=run", "--out=student"]) == 0

  images = jnp.asarray(pixels[:64].permute(0, 2, 3, 1).numpy())
  logits = bundle.read("teacher").classifier(images).logits
  expected = net(normal[:64]).detach().numpy()
  np.testing.assert_allclose(logits, expected, atol=1e-4)
  exported = bundle.read("student").classifier(images).logits
  np.testing.assert_allclose(exported, student(images).logits, atol=1e-5)
