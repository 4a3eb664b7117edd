"""The rival's sides of a comparison; needs the extra `torch`."""

from collections.abc import Callable, Iterable
import functools
from typing import Any

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
from jaxkd.bench.results import RIVALS, Row
from jaxkd.bench.torch_training import TorchMode

Run = Callable[[], Any]


def synthesis_sides(
  case: Case, size: Size, dtype: str, modes: tuple[str, ...], sets_at_once: int
) -> list[Contender]:
  """At the published batch of one set, and at ours."""
  torch_training.prepare()
  teacher = network(case.teacher, case.spec, TEACHER)
  flop = costs.image_step(teacher, case.spec)

  def build(form: TorchMode, sets: int, steps: int) -> Callable[[], Any]:
    labels = np.arange(sets * size.set_size) % case.spec.num_classes
    return torch_training.synthesis(
      agreement.in_torch(teacher, case.spec),
      form,
      agreement.to_torch(synthesis.starts(sets, size.set_size, case.spec)),
      torch.tensor(labels),
      set_size=size.set_size,
      at_once=sets,
      num_steps=steps,
      **synthesis.RIVAL,
    )

  few = min(size.steps, 8)
  form = _better_form(case, dtype, lambda form: build(form, 1, few))
  found = []
  for mode in modes:
    for sets in dict.fromkeys((1, sets_at_once)):
      row = _row(case, "synthesis", mode, form, sets * size.set_size)
      row = row._replace(unit="image-steps")
      run = build(form._replace(mode=mode), sets, size.steps)
      run, row = _warm(run, row)
      work = sets * size.set_size * size.steps
      found.append(Contender(row, run, work, flop))
  return found


def student_sides(
  case: Case, size: Size, dtype: str, modes: tuple[str, ...]
) -> list[Contender]:
  """With the usual data loader, and with the samples on the device."""
  torch_training.prepare()
  net = network(case.student, case.spec, STUDENT)
  samples = student.random_samples(size.samples, case.spec)
  images = agreement.to_torch(synthesis.normalise(samples.images, case.spec))
  targets = torch.tensor(np.asarray(samples.targets))
  flop = costs.training_step(net, case.spec)

  on_device = [
    tensor.to(torch_training.device()) for tensor in (images, targets)
  ]
  loaders = {
    "DataLoader": torch_training.on_host(images, targets, size.batch_size),
    "samples on the device": torch_training.OnDevice(
      *on_device, size.batch_size
    ),
  }
  few = [(images[: size.batch_size], targets[: size.batch_size])] * 2

  def learner(form: TorchMode) -> Callable[[Iterable], float]:
    theirs = agreement.in_torch(net, case.spec)
    return torch_training.learner(theirs, form, **student.OPTIMISER)

  form = _better_form(
    case, dtype, lambda form: functools.partial(learner(form), few)
  )
  found = []
  for mode in modes:
    learn = learner(form._replace(mode=mode))
    for where, loader in loaders.items():
      row = _row(case, "student", mode, form, size.batch_size)
      row = row._replace(
        unit="images", note="; ".join(filter(None, (where, row.note)))
      )
      run, row = _warm(functools.partial(learn, loader), row)
      work = size.samples // size.batch_size * size.batch_size
      found.append(Contender(row, run, work, flop))
  return found


def _row(
  case: Case, part: str, mode: str, form: TorchMode, at_once: int
) -> Row:
  note = "channels last" if form.channels_last else ""
  return Row(
    case.name, part, RIVALS[mode], form.dtype, at_once, None, "", None,
    note=note,
  )  # fmt: skip


def _better_form(
  case: Case, dtype: str, build: Callable[[TorchMode], Run]
) -> TorchMode:
  """Channels first or last, whichever a short run finds faster; a transformer
  has no channels to lay out.
  """
  forms = [TorchMode(dtype=dtype), TorchMode(dtype=dtype, channels_last=True)]
  if "vit" in case.teacher:
    return forms[0]
  runs = {form: build(form) for form in forms}
  for run in runs.values():
    run()
  seconds = timing.interleaved(runs, 3)
  return min(seconds, key=seconds.__getitem__)


def _warm(run: Run, row: Row) -> tuple[Run | None, Row]:
  """The same after its first run; None with the reason in the row's note."""
  try:
    run()
    return run, row
  except torch.OutOfMemoryError:
    reason = "out of memory"
  except RuntimeError as error:  # what the compilers raise is of this kind
    if row.side == RIVALS["eager"]:
      raise
    reason = f"not compiled: {str(error).strip().splitlines()[0]}"
  return None, row._replace(note=reason)
