"""CAKE on LeNet-5 in PyTorch, written by us, to be compared with.

Plain eager PyTorch as one would write it: the same loss, the same update, the
same images after the same steps (`tests/test_bench.py`). Needs the extra
`torch`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as F


def lenet5(variables: dict[str, Any]) -> Callable[[Tensor], Tensor]:
  """Our LeNet-5's weights in PyTorch: normalised `[N, C, H, W]` to logits."""
  layers = {
    name: (
      torch.tensor(np.asarray(layer["kernel"])),
      torch.tensor(np.asarray(layer["bias"])),
    )
    for name, layer in variables["params"].items()
  }

  def convolution(inputs: Tensor, name: str) -> Tensor:
    kernel, bias = layers[name]
    return F.relu(F.conv2d(inputs, kernel.permute(3, 2, 0, 1), bias))

  def linear(inputs: Tensor, name: str) -> Tensor:
    kernel, bias = layers[name]
    return F.linear(inputs, kernel.T, bias)

  def apply(inputs: Tensor) -> Tensor:
    features = F.max_pool2d(convolution(inputs, "Conv_0"), 2)
    features = F.max_pool2d(convolution(features, "Conv_1"), 2)
    features = convolution(features, "Conv_2").flatten(1)
    return linear(F.relu(linear(features, "Dense_0")), "Dense_1")

  return apply


def optimise(
  network: Callable[[Tensor], Tensor],
  inputs: Tensor,
  labels: Tensor,
  *,
  group_size: int,
  weights: dict[str, float],
  step_size: float,
  num_steps: int,
) -> Tensor:
  """CAKE's descent of one set `[N, C, H, W]` in the normalised space."""
  x = inputs.clone().requires_grad_(True)
  optimiser = torch.optim.SGD([x], lr=step_size)
  for _ in range(num_steps):
    optimiser.zero_grad()
    logits = network(x)
    grouped = logits.unflatten(0, (-1, group_size))
    centred = grouped - grouped.mean(1, keepdim=True)
    groups, _, classes = grouped.shape
    contrast = group_size * centred.square().sum() / (groups * classes)
    rows = (x[:, :, 1:] - x[:, :, :-1]).abs().mean()
    columns = (x[..., 1:] - x[..., :-1]).abs().mean()
    loss = (
      weights["classification"] * group_size * F.cross_entropy(logits, labels)
      + weights["contrast"] * contrast
      + weights["total_variation"] * (rows + columns)
    )
    loss.backward()
    optimiser.step()
  return x.detach()
