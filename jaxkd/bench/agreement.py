"""Checks that PyTorch computes the same images and weights as we do.

Both compute in float32 at full precision from the same start, for one step and
for several. The gradient of total variation is a sign, which differs where
neighbours are equal up to rounding, so single pixels may differ; therefore the
99th percentile is compared. Needs the extra `torch`.
"""

import jax
import numpy as np
import torch

from jaxkd.bench import student, synthesis, torch_networks, torch_training
from jaxkd.bench.cases import STUDENT, TEACHER, Case, Size, network
from jaxkd.training.epoch import gather
from jaxkd.types import Array, Classifier, DataSpec, JaxkdError

STEPS = (1, 4)
MAX_IMAGES = 100  # in a set that is compared
TOLERANCE = 1e-3  # of normalised images, and of weights


def to_torch_network(classifier: Classifier, spec: DataSpec) -> torch.nn.Module:
  """Makes the network in PyTorch, with the classifier's weights."""
  variables = jax.device_get(classifier.variables)
  return torch_networks.create(
    classifier.name, spec.shape[-1], spec.num_classes, variables
  )


def to_torch(images: Array) -> torch.Tensor:
  """Converts `[N, H, W, C]` to a tensor `[N, C, H, W]`."""
  return torch.tensor(np.asarray(images)).permute(0, 3, 1, 2).contiguous()


def check_images(case: Case, size: Size) -> float:
  """Returns the difference of our normalised images and PyTorch's.

  Raises:
    JaxkdError: if it exceeds `TOLERANCE`.
  """
  torch_training.configure(precise=True)
  teacher = network(case.teacher, case.spec, TEACHER)
  sets, set_size = jax.device_count(), min(size.set_size, MAX_IMAGES)
  starts = to_torch(synthesis.starts(sets, set_size, case.spec))
  difference = 0.0
  for steps in STEPS:
    small = size._replace(sets=sets, set_size=set_size, steps=steps)
    with jax.default_matmul_precision("highest"):
      runner = synthesis.synthesis_runner(case, small, teacher, sets)
      samples = runner.run().store.samples
    torch_images = torch_training.synthesis_function(
      to_torch_network(teacher, case.spec),
      torch_training.TorchMode(),
      starts,
      torch.tensor(np.asarray(samples.labels)).long(),
      set_size=set_size,
      at_once=sets,
      num_steps=steps,
      **synthesis.TORCH_ARGUMENTS,
    )()
    jax_images = to_torch(synthesis.normalise(samples.images, case.spec))
    difference = max(difference, _difference(jax_images, torch_images.cpu()))
    _require(difference, f"images of {case.name} after {steps} steps")
  return difference


def check_students(case: Case, size: Size) -> float:
  """Returns the difference of our weights and PyTorch's after some updates.

  Raises:
    JaxkdError: if it exceeds `TOLERANCE`.
  """
  torch_training.configure(precise=True)
  net = network(case.student, case.spec, STUDENT)
  batch_size = min(size.batch_size, MAX_IMAGES)
  samples = student.random_samples(STEPS[-1] * batch_size, case.spec)
  runner = student.StudentRunner(net, samples, batch_size)
  rows = runner.epoch_indices().swapaxes(0, 1).reshape(STEPS[-1], -1)
  batches = gather(samples, rows)
  with jax.default_matmul_precision("highest"):
    runner.epoch()
  torch_network = to_torch_network(net, case.spec)
  loader = [
    (
      to_torch(synthesis.normalise(images, case.spec)),
      torch.tensor(np.asarray(targets)),
    )
    for images, targets in zip(batches.images, batches.targets, strict=True)
  ]
  torch_training.epoch_function(
    torch_network, torch_training.TorchMode(), **student.OPTIMISER
  )(loader)
  jax_network = to_torch_network(
    net.replace(variables=runner.variables()), case.spec
  )
  pairs = zip(jax_network.parameters(), torch_network.parameters(), strict=True)
  difference = max(_difference(a, b.detach().cpu()) for a, b in pairs)
  _require(
    difference, f"weights of {case.name}'s student after {STEPS[-1]} updates"
  )
  return difference


def _difference(a: torch.Tensor, b: torch.Tensor) -> float:
  differences = (a - b).abs().flatten()
  return float(np.percentile(differences.detach().numpy(), 99))


def _require(difference: float, what: str) -> None:
  if not difference <= TOLERANCE:
    raise JaxkdError(
      f"The {what} differ from PyTorch's by {difference:.2g}, which is more "
      f"than {TOLERANCE:g}; times can only be compared for the same work."
    )
