"""Our own implementation of CAKE and the student's epochs in PyTorch.

It has the same loss and the same updates, and gives the same images after the
same number of steps. Needs the extra `torch`.
"""

from collections.abc import Callable, Iterable, Iterator
import os
from typing import NamedTuple

import torch
from torch import Tensor, nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

# Ways to run a function; `graphs` replays its kernels as CUDA graphs.
MODES = {
  "eager": lambda function: function,
  "compile": lambda function: torch.compile(function, dynamic=False),
  "graphs": lambda function: torch.compile(
    function, dynamic=False, mode="reduce-overhead"
  ),
}


class TorchMode(NamedTuple):
  """The way in which PyTorch runs a program.

  Attributes:
    mode: one of `MODES`.
    dtype: `float32`, or `bfloat16` by autocast.
    channels_last: whether images and kernels have channels last in memory.
  """

  mode: str = "eager"
  dtype: str = "float32"
  channels_last: bool = False

  @property
  def memory_format(self) -> torch.memory_format:
    """The memory format of images and kernels."""
    if self.channels_last:
      return torch.channels_last
    return torch.contiguous_format

  def autocast(self) -> torch.autocast:
    """Returns the context in which the network computes in `dtype`."""
    kind, reduced = device().type, self.dtype == "bfloat16"
    return torch.autocast(kind, torch.bfloat16, enabled=reduced)


def device() -> torch.device:
  """Returns the device that PyTorch uses: the GPU if there is one."""
  return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def configure(precise: bool = False) -> None:
  """Configures PyTorch to use all cores, and clears its compiled functions.

  Args:
    precise: whether float32 products have full precision; if not, they are as
      fast as PyTorch allows.
  """
  # After several compilations of a function, PyTorch silently runs it eagerly.
  torch.compiler.reset()
  torch.cuda.empty_cache()
  torch.set_num_threads(os.cpu_count() or 1)
  torch.set_float32_matmul_precision("highest" if precise else "high")
  torch.backends.cudnn.allow_tf32 = not precise
  torch.backends.cudnn.benchmark = not precise


def synchronize() -> None:
  """Waits until the device has finished."""
  if device().type == "cuda":
    torch.cuda.synchronize()


def image_loss(
  network: nn.Module,
  x: Tensor,
  labels: Tensor,
  group_size: int,
  weights: dict[str, float],
) -> Tensor:
  """Computes CAKE's loss of a set `[N, C, H, W]`, or the mean over sets."""
  logits = network(x).float()
  grouped = logits.unflatten(0, (-1, group_size))
  centred = grouped - grouped.mean(1, keepdim=True)
  groups, _, classes = grouped.shape
  contrast = group_size * centred.square().sum() / (groups * classes)
  rows = (x[:, :, 1:] - x[:, :, :-1]).abs().mean()
  columns = (x[..., 1:] - x[..., :-1]).abs().mean()
  return (
    weights["classification"] * group_size * F.cross_entropy(logits, labels)
    + weights["contrast"] * contrast
    + weights["total_variation"] * (rows + columns)
  )


def synthesis_function(
  network: nn.Module,
  torch_mode: TorchMode,
  starts: Tensor,
  labels: Tensor,
  *,
  set_size: int,
  at_once: int,
  group_size: int,
  weights: dict[str, float],
  step_size: float,
  num_steps: int,
) -> Callable[[], Tensor]:
  """Returns a function that optimises all sets, `at_once` of them in a batch.

  Args:
    network: the teacher.
    torch_mode: the way to run it.
    starts: `[S N, C, H, W]` initial images, normalised.
    labels: `[S N]` target classes.
    set_size: N.
    at_once: the number of sets in a batch, whose losses are added.
    group_size: G.
    weights: the weights of the loss's terms.
    step_size: the step size of all sets.
    num_steps: T.
  """
  network = network.eval().requires_grad_(False).to(device())
  network = network.to(memory_format=torch_mode.memory_format)
  starts = starts.to(device()).contiguous(
    memory_format=torch_mode.memory_format
  )
  labels = labels.to(device())

  def total_loss(x: Tensor, labels: Tensor) -> Tensor:
    sets = len(x) // set_size
    return sets * image_loss(network, x, labels, group_size, weights)

  loss_of = MODES[torch_mode.mode](total_loss)

  def optimise(start: Tensor, labels: Tensor) -> Tensor:
    x = start.clone().requires_grad_(True)
    optimiser = torch.optim.SGD([x], lr=step_size)
    for _ in range(num_steps):
      optimiser.zero_grad()
      with torch_mode.autocast():
        loss = loss_of(x, labels)
      loss.backward()
      optimiser.step()
    return x.detach()

  def run() -> Tensor:
    batch = at_once * set_size
    batches = zip(starts.split(batch), labels.split(batch), strict=True)
    images = torch.cat([optimise(*batch) for batch in batches])
    synchronize()
    return images

  return run


def host_loader(images: Tensor, targets: Tensor, size: int) -> Iterable:
  """Makes PyTorch's usual loader, which collates samples on the host."""
  data = TensorDataset(images.cpu(), targets.cpu())
  pinned = device().type == "cuda"
  return DataLoader(data, size, shuffle=True, drop_last=True, pin_memory=pinned)


class DeviceLoader(NamedTuple):
  """A loader of shuffled samples that are all on the device.

  Attributes:
    images: `[N, C, H, W]` normalised images.
    targets: `[N, K]` log-probabilities.
    size: the batch size.
  """

  images: Tensor
  targets: Tensor
  size: int

  def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
    steps = len(self.images) // self.size
    order = torch.randperm(len(self.images), device=self.images.device)
    for part in order[: steps * self.size].split(self.size):
      yield self.images[part], self.targets[part]


def epoch_function(
  network: nn.Module,
  torch_mode: TorchMode,
  *,
  learning_rate: float,
  momentum: float,
  weight_decay: float,
) -> Callable[[Iterable], float]:
  """Returns a function that trains for one epoch and returns the mean loss.

  It takes batches of normalised images `[B, C, H, W]` and log-probabilities.

  Args:
    network: the student, whose weights are changed.
    torch_mode: the way to run it.
    learning_rate: the learning rate of SGD.
    momentum: the momentum of SGD.
    weight_decay: the weight decay of SGD.
  """
  network = network.train().requires_grad_(True).to(device())
  network = network.to(memory_format=torch_mode.memory_format)
  optimiser = torch.optim.SGD(
    network.parameters(), learning_rate, momentum, weight_decay=weight_decay
  )

  def kl_divergence(images: Tensor, targets: Tensor) -> Tensor:
    logits = network(images).float()
    return F.kl_div(
      F.log_softmax(logits, -1), targets, reduction="batchmean", log_target=True
    )

  loss_of = MODES[torch_mode.mode](kl_divergence)

  def run(loader: Iterable) -> float:
    losses = []
    for images, targets in loader:
      images = images.to(
        device(), memory_format=torch_mode.memory_format, non_blocking=True
      )
      targets = targets.to(device(), non_blocking=True)
      optimiser.zero_grad()
      with torch_mode.autocast():
        loss = loss_of(images, targets)
      loss.backward()
      optimiser.step()
      losses.append(loss.detach().clone())
    mean = torch.stack(losses).mean().item()
    synchronize()
    return mean

  return run
