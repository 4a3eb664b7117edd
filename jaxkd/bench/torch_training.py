"""CAKE and the student's epochs in PyTorch, written by us, to compare with.

As one would write them: the same loss, the same updates, the same images after
the same steps. Needs the extra `torch`.
"""

from collections.abc import Callable, Iterable, Iterator
import os
from typing import NamedTuple

import torch
from torch import Tensor, nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

# How a function is run; `graphs` also replays what is launched (CUDA graphs).
MODES = {
  "eager": lambda function: function,
  "compile": lambda function: torch.compile(function, dynamic=False),
  "graphs": lambda function: torch.compile(
    function, dynamic=False, mode="reduce-overhead"
  ),
}


class TorchMode(NamedTuple):
  """How it is run.

  Attributes:
    mode: one of `MODES`.
    dtype: `float32`, or `bfloat16` by autocast.
    channels_last: whether images and kernels lie so in memory.
  """

  mode: str = "eager"
  dtype: str = "float32"
  channels_last: bool = False

  @property
  def memory_format(self) -> torch.memory_format:
    if self.channels_last:
      return torch.channels_last
    return torch.contiguous_format

  def autocast(self) -> torch.autocast:
    kind, reduced = device().type, self.dtype == "bfloat16"
    return torch.autocast(kind, torch.bfloat16, enabled=reduced)


def device() -> torch.device:
  """Where the rival runs: on the GPU if there is one."""
  return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def prepare(precise: bool = False) -> None:
  """All cores; float32 products at PyTorch's fastest, or in full precision.
  Forgets what was compiled before: after a few compilations of one function
  PyTorch runs it eagerly, without a word.
  """
  torch.compiler.reset()
  torch.cuda.empty_cache()
  torch.set_num_threads(os.cpu_count() or 1)
  torch.set_float32_matmul_precision("highest" if precise else "high")
  torch.backends.cudnn.allow_tf32 = not precise
  torch.backends.cudnn.benchmark = not precise


def wait() -> None:
  """Until the device is done."""
  if device().type == "cuda":
    torch.cuda.synchronize()


def image_loss(
  network: nn.Module,
  x: Tensor,
  labels: Tensor,
  group_size: int,
  weights: dict[str, float],
) -> Tensor:
  """CAKE's loss of a set `[N, C, H, W]`; of several, the mean of theirs."""
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


def synthesis(
  network: nn.Module,
  form: TorchMode,
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
  """A function that makes all sets, `at_once` of them in one batch.

  Args:
    network: in evaluation mode.
    form: how it is run.
    starts: `[S N, C, H, W]`, normalised.
    labels: `[S N]`.
    set_size: N.
    at_once: sets in a batch, whose losses are added up.
    group_size: G.
    weights: of the loss.
    step_size: of all sets.
    num_steps: T.
  """
  network = network.eval().requires_grad_(False).to(device())
  network = network.to(memory_format=form.memory_format)
  starts = starts.to(device()).contiguous(memory_format=form.memory_format)
  labels = labels.to(device())

  def summed(x: Tensor, labels: Tensor) -> Tensor:
    sets = len(x) // set_size
    return sets * image_loss(network, x, labels, group_size, weights)

  loss_of = MODES[form.mode](summed)

  def optimise(start: Tensor, labels: Tensor) -> Tensor:
    x = start.clone().requires_grad_(True)
    optimiser = torch.optim.SGD([x], lr=step_size)
    for _ in range(num_steps):
      optimiser.zero_grad()
      with form.autocast():
        loss = loss_of(x, labels)
      loss.backward()
      optimiser.step()
    return x.detach()

  def run() -> Tensor:
    batch = at_once * set_size
    batches = zip(starts.split(batch), labels.split(batch), strict=True)
    made = torch.cat([optimise(*batch) for batch in batches])
    wait()
    return made

  return run


def on_host(images: Tensor, targets: Tensor, size: int) -> Iterable:
  """The usual loader: shuffled samples, collated on the host."""
  data = TensorDataset(images.cpu(), targets.cpu())
  pinned = device().type == "cuda"
  return DataLoader(data, size, shuffle=True, drop_last=True, pin_memory=pinned)


class OnDevice(NamedTuple):
  """A loader for samples that lie on the device as a whole."""

  images: Tensor
  targets: Tensor
  size: int

  def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
    steps = len(self.images) // self.size
    order = torch.randperm(len(self.images), device=self.images.device)
    for part in order[: steps * self.size].split(self.size):
      yield self.images[part], self.targets[part]


def learner(
  network: nn.Module,
  form: TorchMode,
  *,
  learning_rate: float,
  momentum: float,
  weight_decay: float,
) -> Callable[[Iterable], float]:
  """A function that trains for one epoch and returns the mean loss; it takes
  batches of normalised images `[B, C, H, W]` and log-probabilities.

  Args:
    network: is changed.
    form: how it is run.
    learning_rate: of SGD.
    momentum: likewise.
    weight_decay: likewise.
  """
  network = network.train().requires_grad_(True).to(device())
  network = network.to(memory_format=form.memory_format)
  optimiser = torch.optim.SGD(
    network.parameters(), learning_rate, momentum, weight_decay=weight_decay
  )

  def distance(images: Tensor, targets: Tensor) -> Tensor:
    logits = network(images).float()
    return F.kl_div(
      F.log_softmax(logits, -1), targets, reduction="batchmean", log_target=True
    )

  loss_of = MODES[form.mode](distance)

  def run(loader: Iterable) -> float:
    losses = []
    for images, targets in loader:
      images = images.to(
        device(), memory_format=form.memory_format, non_blocking=True
      )
      targets = targets.to(device(), non_blocking=True)
      optimiser.zero_grad()
      with form.autocast():
        loss = loss_of(images, targets)
      loss.backward()
      optimiser.step()
      losses.append(loss.detach().clone())
    mean = torch.stack(losses).mean().item()
    wait()
    return mean

  return run
