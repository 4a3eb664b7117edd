"""LeNet-5, ResNets and the vision transformer in PyTorch, with our weights.

Layers have our names, so that weights are copied by name. Inputs are normalised
images `[N, C, H, W]`. Needs the extra `torch`.
"""

from collections.abc import Callable
from typing import Any

import flax
import numpy as np
import torch
from torch import Tensor, nn
import torch.nn.functional as F


class LeNet(nn.Module):
  """LeNet-5, or its half; see `jaxkd.models.lenet.LeNet`."""

  def __init__(self, inputs: int, classes: int, half: bool = False):
    super().__init__()
    first, second, third = (3, 8, 60) if half else (6, 16, 120)
    hidden = 42 if half else 84
    self.Conv_0 = nn.Conv2d(inputs, first, 5)
    self.Conv_1 = nn.Conv2d(first, second, 5)
    self.Conv_2 = nn.Conv2d(second, third, 5)
    self.Dense_0 = nn.Linear(third, hidden)
    self.Dense_1 = nn.Linear(hidden, classes)

  def forward(self, x: Tensor) -> Tensor:
    x = F.max_pool2d(F.relu(self.Conv_0(x)), 2)
    x = F.max_pool2d(F.relu(self.Conv_1(x)), 2)
    x = F.relu(self.Conv_2(x)).flatten(1)
    return self.Dense_1(F.relu(self.Dense_0(x)))


class Block(nn.Module):
  """A basic residual block; see `jaxkd.models.resnet.Block`."""

  def __init__(self, inputs: int, width: int, stride: int):
    super().__init__()
    self.Conv_0 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
    self.BatchNorm_0 = nn.BatchNorm2d(width)
    self.Conv_1 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
    self.BatchNorm_1 = nn.BatchNorm2d(width)
    self.projects = stride != 1 or inputs != width
    if self.projects:
      self.Conv_2 = nn.Conv2d(inputs, width, 1, stride, bias=False)
      self.BatchNorm_2 = nn.BatchNorm2d(width)

  def forward(self, x: Tensor) -> Tensor:
    y = F.relu(self.BatchNorm_0(self.Conv_0(x)))
    y = self.BatchNorm_1(self.Conv_1(y))
    if self.projects:
      x = self.BatchNorm_2(self.Conv_2(x))
    return F.relu(x + y)


class ResNet(nn.Module):
  """A ResNet of basic blocks; see `jaxkd.models.resnet.ResNet`."""

  def __init__(self, inputs: int, classes: int, blocks: tuple[int, ...]):
    super().__init__()
    self.Conv_0 = nn.Conv2d(inputs, 64, 3, 1, 1, bias=False)
    self.BatchNorm_0 = nn.BatchNorm2d(64)
    channels, self.blocks = 64, []
    for stage, count in enumerate(blocks):
      for index in range(count):
        stride = 2 if stage > 0 and index == 0 else 1
        block = Block(channels, 64 * 2**stage, stride)
        self.add_module(f"Block_{len(self.blocks)}", block)
        self.blocks.append(block)
        channels = 64 * 2**stage
    self.Dense_0 = nn.Linear(channels, classes)

  def forward(self, x: Tensor) -> Tensor:
    x = F.relu(self.BatchNorm_0(self.Conv_0(x)))
    for block in self.blocks:
      x = block(x)
    return self.Dense_0(x.mean((2, 3)))


class ShiftedPatches(nn.Module):
  """Shifted patch tokenization; see `jaxkd.models.vit.ShiftedPatches`."""

  def __init__(self, inputs: int, dim: int, patch: int = 4):
    super().__init__()
    self.patch = patch
    self.LayerNorm_0 = nn.LayerNorm(5 * inputs * patch**2)
    self.Dense_0 = nn.Linear(5 * inputs * patch**2, dim)

  def forward(self, x: Tensor) -> Tensor:
    height, width = x.shape[2:]
    padded = F.pad(x, (1, 1, 1, 1))
    x = torch.cat(
      [
        padded[:, :, row : row + height, column : column + width]
        for row, column in ((1, 1), (1, 0), (1, 2), (0, 1), (2, 1))
      ],
      dim=1,
    )
    rows, columns = height // self.patch, width // self.patch
    x = x.reshape(len(x), -1, rows, self.patch, columns, self.patch)
    x = x.permute(0, 2, 4, 3, 5, 1).reshape(len(x), rows * columns, -1)
    return self.Dense_0(self.LayerNorm_0(x))


class LocalityAttention(nn.Module):
  """Attention to the other tokens; see `jaxkd.models.vit.LocalityAttention`.

  It uses PyTorch's fused attention.
  """

  def __init__(self, dim: int, heads: int = 8, head_dim: int = 64):
    super().__init__()
    self.heads = heads
    self.Dense_0 = nn.Linear(dim, 3 * heads * head_dim, bias=False)
    self.Dense_1 = nn.Linear(heads * head_dim, dim)
    self.log_scale = nn.Parameter(torch.zeros(()))

  def forward(self, x: Tensor) -> Tensor:
    batch, tokens, _ = x.shape
    qkv = self.Dense_0(x).reshape(batch, tokens, 3, self.heads, -1)
    query, key, value = qkv.permute(2, 0, 3, 1, 4)
    query = query * self.log_scale.exp().to(query.dtype)
    others = ~torch.eye(tokens, dtype=torch.bool, device=x.device)
    x = F.scaled_dot_product_attention(query, key, value, others, scale=1.0)
    return self.Dense_1(x.transpose(1, 2).reshape(batch, tokens, -1))


class ViT(nn.Module):
  """A vision transformer for 32x32 images; see `jaxkd.models.vit.ViT`."""

  def __init__(self, inputs: int, classes: int, depth: int, dim: int = 64):
    super().__init__()
    self.depth = depth
    self.ShiftedPatches_0 = ShiftedPatches(inputs, dim)
    self.class_token = nn.Parameter(torch.zeros(dim))
    self.position = nn.Parameter(torch.zeros(65, dim))
    for layer in range(depth):
      self.add_module(f"LocalityAttention_{layer}", LocalityAttention(dim))
      for index in (2 * layer, 2 * layer + 1):
        self.add_module(f"LayerNorm_{index}", nn.LayerNorm(dim))
        self.add_module(f"Dense_{index}", nn.Linear(dim, dim))
    self.add_module(f"LayerNorm_{2 * depth}", nn.LayerNorm(dim))
    self.add_module(f"Dense_{2 * depth}", nn.Linear(dim, classes))

  def layer(self, kind: str, index: int) -> nn.Module:
    """Returns a layer by its kind and index."""
    return self.get_submodule(f"{kind}_{index}")

  def forward(self, x: Tensor) -> Tensor:
    x = self.ShiftedPatches_0(x)
    token = self.class_token.to(x.dtype).expand(len(x), 1, -1)
    x = torch.cat([token, x], dim=1) + self.position
    for i in range(self.depth):
      normed = self.layer("LayerNorm", 2 * i)(x)
      x = x + self.layer("LocalityAttention", i)(normed)
      y = self.layer("Dense", 2 * i)(self.layer("LayerNorm", 2 * i + 1)(x))
      x = x + self.layer("Dense", 2 * i + 1)(F.gelu(y))
    x = self.layer("LayerNorm", 2 * self.depth)(x[:, 0])
    return self.layer("Dense", 2 * self.depth)(x)


NETWORKS: dict[str, Callable[[int, int], nn.Module]] = {
  "lenet5": LeNet,
  "lenet5_half": lambda *sizes: LeNet(*sizes, half=True),
  "resnet18": lambda *sizes: ResNet(*sizes, (2, 2, 2, 2)),
  "resnet34": lambda *sizes: ResNet(*sizes, (3, 4, 6, 3)),
  "vit4": lambda *sizes: ViT(*sizes, 4),
  "vit8": lambda *sizes: ViT(*sizes, 8),
}
# PyTorch's names of a layer's arrays, by ours.
_NAMES = {
  "kernel": "weight",
  "scale": "weight",
  "mean": "running_mean",
  "var": "running_var",
}


def create(
  name: str, channels: int, classes: int, variables: dict[str, Any]
) -> nn.Module:
  """Makes the network `name` with our weights.

  Args:
    name: one of `NETWORKS`.
    channels: the number of channels of an image.
    classes: K.
    variables: the variables of our network.
  """
  network = NETWORKS[name](channels, classes)
  state = {}
  for collection in variables.values():
    for path, leaf in flax.traverse_util.flatten_dict(collection).items():
      *layers, array = path
      key = ".".join([*layers, _NAMES.get(array, array)])
      state[key] = torch.tensor(_transpose(np.asarray(leaf), array))
  missing, unknown = network.load_state_dict(state, strict=False)
  # Only PyTorch's counters of batches have no counterpart.
  assert not unknown and all("num_batches" in name for name in missing)
  return network


def _transpose(leaf: np.ndarray, array: str) -> np.ndarray:
  """Transposes a kernel `[i, j, C, O]` or `[D, O]` to PyTorch's layout."""
  if array != "kernel":
    return leaf
  return leaf.transpose((3, 2, 0, 1) if leaf.ndim == 4 else (1, 0))
