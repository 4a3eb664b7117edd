"""Whether the rival does what we do: the same images, the same weights.

In float32 at full precision, from the same start, after one step and after
several. A step of total variation is a sign, which differs where neighbours are
equal to rounding, so single pixels may part; hence the 99th percentile. Needs
the extra `torch`.
"""

import jax
import numpy as np
import torch

from jaxkd.bench import student, synthesis, torch_networks, torch_training
from jaxkd.bench.cases import STUDENT, TEACHER, Case, Size, network
from jaxkd.training.epoch import gather
from jaxkd.types import Array, Classifier, DataSpec, JaxkdError

STEPS = (1, 4)
MOST_IMAGES = 100  # in a set that is compared
TOLERANCE = 1e-3  # of images in the normalised space, of weights against 1


def in_torch(classifier: Classifier, spec: DataSpec) -> torch.nn.Module:
  """Our network in PyTorch, with its weights as they stand."""
  variables = jax.device_get(classifier.variables)
  return torch_networks.create(
    classifier.name, spec.shape[-1], spec.num_classes, variables
  )


def to_torch(images: Array) -> torch.Tensor:
  """`[N, H, W, C]` to `[N, C, H, W]`."""
  return torch.tensor(np.asarray(images)).permute(0, 3, 1, 2).contiguous()


def check_images(case: Case, size: Size) -> float:
  """The difference of the images of both, in the normalised space.

  Raises:
    JaxkdError: if it exceeds `TOLERANCE`.
  """
  torch_training.prepare(precise=True)
  teacher = network(case.teacher, case.spec, TEACHER)
  sets, set_size = jax.device_count(), min(size.set_size, MOST_IMAGES)
  starts = to_torch(synthesis.starts(sets, set_size, case.spec))
  found = 0.0
  for steps in STEPS:
    few = size._replace(sets=sets, set_size=set_size, steps=steps)
    with jax.default_matmul_precision("highest"):
      samples = (
        synthesis.synthesis_runner(case, few, teacher, sets).run().store.samples
      )
    theirs = torch_training.synthesis(
      in_torch(teacher, case.spec),
      torch_training.TorchMode(),
      starts,
      torch.tensor(np.asarray(samples.labels)).long(),
      set_size=set_size,
      at_once=sets,
      num_steps=steps,
      **synthesis.RIVAL,
    )()
    ours = to_torch(synthesis.normalise(samples.images, case.spec))
    found = max(found, _difference(ours, theirs.cpu()))
    _require(found, f"images of {case.name} after {steps} steps")
  return found


def check_students(case: Case, size: Size) -> float:
  """The difference of the weights of both after a few updates.

  Raises:
    JaxkdError: if it exceeds `TOLERANCE`.
  """
  torch_training.prepare(precise=True)
  net = network(case.student, case.spec, STUDENT)
  batch_size = min(size.batch_size, MOST_IMAGES)
  samples = student.random_samples(STEPS[-1] * batch_size, case.spec)
  pupil = student.StudentRunner(net, samples, batch_size)
  rows = pupil.order().swapaxes(0, 1).reshape(STEPS[-1], -1)
  batches = gather(samples, rows)
  with jax.default_matmul_precision("highest"):
    pupil.epoch()
  theirs = in_torch(net, case.spec)
  loader = [
    (
      to_torch(synthesis.normalise(images, case.spec)),
      torch.tensor(np.asarray(targets)),
    )
    for images, targets in zip(batches.images, batches.targets, strict=True)
  ]
  torch_training.learner(
    theirs, torch_training.TorchMode(), **student.OPTIMISER
  )(loader)
  ours = in_torch(net.replace(variables=pupil.variables()), case.spec)
  found = max(
    _difference(mine, other.detach().cpu())
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True)
  )
  _require(found, f"weights of {case.name}'s student after {STEPS[-1]} updates")
  return found


def _difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
  parted = (ours - theirs).abs().flatten()
  return float(np.percentile(parted.detach().numpy(), 99))


def _require(found: float, what: str) -> None:
  if not found <= TOLERANCE:
    raise JaxkdError(
      f"The {what} differ from the rival's by {found:.2g}, above "
      f"{TOLERANCE:g}: times of different work are no comparison."
    )
