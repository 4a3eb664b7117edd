"""The contenders of a comparison in PyTorch; needs the extra `torch`."""

from collections.abc import Callable, Iterable
import functools

import numpy as np
import torch

from jaxkd.bench import (
  agreement,
  costs,
  student,
  synthesis,
  timing,
  torch_training,
)
from jaxkd.bench.cases import STUDENT, TEACHER, Case, Size, network
from jaxkd.bench.contenders import Contender
from jaxkd.bench.results import TORCH_MODES, Row
from jaxkd.bench.torch_training import TorchMode

Run = Callable[[], object]


def synthesis_contenders(
  case: Case, size: Size, dtype: str, modes: tuple[str, ...], sets_at_once: int
) -> list[Contender]:
  """Prepares synthesis at the published batch of one set, and at our batch."""
  torch_training.configure()
  teacher = network(case.teacher, case.spec, TEACHER)
  flop = costs.image_step(teacher, case.spec)

  def build(torch_mode: TorchMode, sets: int, steps: int) -> Run:
    labels = np.arange(sets * size.set_size) % case.spec.num_classes
    return torch_training.synthesis_function(
      agreement.to_torch_network(teacher, case.spec),
      torch_mode,
      agreement.to_torch(synthesis.starts(sets, size.set_size, case.spec)),
      torch.tensor(labels),
      set_size=size.set_size,
      at_once=sets,
      num_steps=steps,
      **synthesis.TORCH_ARGUMENTS,
    )

  steps = min(size.steps, 8)
  fastest = _faster_layout(case, dtype, lambda mode: build(mode, 1, steps))
  contenders = []
  for mode in modes:
    for sets in dict.fromkeys((1, sets_at_once)):
      row = _row(case, "synthesis", mode, fastest, sets * size.set_size)
      row = row._replace(unit="image-steps")
      run = build(fastest._replace(mode=mode), sets, size.steps)
      run, row = _compile(run, row)
      work = sets * size.set_size * size.steps
      contenders.append(Contender(row, run, work, flop))
  return contenders


def student_contenders(
  case: Case, size: Size, dtype: str, modes: tuple[str, ...]
) -> list[Contender]:
  """Prepares epochs with PyTorch's loader, and with samples on the device."""
  torch_training.configure()
  net = network(case.student, case.spec, STUDENT)
  samples = student.random_samples(size.samples, case.spec)
  images = agreement.to_torch(synthesis.normalise(samples.images, case.spec))
  targets = torch.tensor(np.asarray(samples.targets))
  flop = costs.training_step(net, case.spec)

  on_device = [
    tensor.to(torch_training.device()) for tensor in (images, targets)
  ]
  loaders = {
    "DataLoader": torch_training.host_loader(images, targets, size.batch_size),
    "samples on the device": torch_training.DeviceLoader(
      *on_device, size.batch_size
    ),
  }
  two_batches = [(images[: size.batch_size], targets[: size.batch_size])] * 2

  def build(torch_mode: TorchMode) -> Callable[[Iterable], float]:
    return torch_training.epoch_function(
      agreement.to_torch_network(net, case.spec),
      torch_mode,
      **student.OPTIMISER,
    )

  fastest = _faster_layout(
    case, dtype, lambda mode: functools.partial(build(mode), two_batches)
  )
  contenders = []
  for mode in modes:
    train = build(fastest._replace(mode=mode))
    for where, loader in loaders.items():
      row = _row(case, "student", mode, fastest, size.batch_size)
      row = row._replace(
        unit="images", note="; ".join(filter(None, (where, row.note)))
      )
      run, row = _compile(functools.partial(train, loader), row)
      work = size.samples // size.batch_size * size.batch_size
      contenders.append(Contender(row, run, work, flop))
  return contenders


def _row(
  case: Case, part: str, mode: str, torch_mode: TorchMode, at_once: int
) -> Row:
  note = "channels last" if torch_mode.channels_last else ""
  return Row(
    case.name, part, TORCH_MODES[mode], torch_mode.dtype, at_once, None, "",
    None, note=note,
  )  # fmt: skip


def _faster_layout(
  case: Case, dtype: str, build: Callable[[TorchMode], Run]
) -> TorchMode:
  """Times a short run with channels first and last, and returns the faster.

  A transformer has no such layouts.
  """
  layouts = [TorchMode(dtype=dtype), TorchMode(dtype=dtype, channels_last=True)]
  if "vit" in case.teacher:
    return layouts[0]
  runs = {layout: build(layout) for layout in layouts}
  for run in runs.values():
    run()
  seconds = timing.interleaved(runs, 3)
  return min(seconds, key=seconds.__getitem__)


def _compile(run: Run, row: Row) -> tuple[Run | None, Row]:
  """Runs once; returns None, and a row with the reason, if that fails."""
  try:
    run()
    return run, row
  except torch.OutOfMemoryError:
    reason = "out of memory"
  except RuntimeError as error:  # PyTorch's compilers raise subclasses of it
    if row.program == TORCH_MODES["eager"]:
      raise
    reason = f"not compiled: {str(error).strip().splitlines()[0]}"
  return None, row._replace(note=reason)
