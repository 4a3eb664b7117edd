"""A model of the cost and memory of synthesis, and estimates for large jobs.

Sets are independent. With S sets of N images, T steps and D devices

  FLOP      = S N T f          f: FLOP of one image in one step, as XLA counts
                               them for the network, image size and classes
  bytes     = w + (S / D) m    of a device; w: bytes without any set, m: bytes
                               of a set, that is N times an image and what the
                               network stores of it for the backward pass
  seconds   = FLOP / (D r)     r: FLOP/s that a device sustains, measured

T is in no term of the memory, because a step reuses the memory of the one
before. w and m follow from the compiled programs of one set and of two; the
model is checked against the compiled programs of more sets. f and m grow with
the area of the image, and little with the number of classes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax

from jaxkd.bench import costs, synthesis, timing
from jaxkd.bench.cases import TEACHER, Case, Size, network
from jaxkd.bench.results import OURS, Row
from jaxkd.bench.roofline import Roofline
from jaxkd.runtime.accelerators import ACCELERATORS
from jaxkd.types import DataSpec


class Memory(NamedTuple):
  """A device's temporary memory, without networks and stored samples.

  Attributes:
    fixed: w, bytes without any set.
    per_set: m, bytes of each set.
  """

  fixed: float
  per_set: float

  def bytes(self, sets: int, devices: int = 1) -> float:
    """Returns the bytes of one device; sets are split evenly over devices."""
    return self.fixed + self.per_set * sets / devices


class GridPoint(NamedTuple):
  """The memory and rate of synthesis for one number of sets.

  Attributes:
    sets: S, the number of sets on a device.
    steps: T, the number of steps.
    predicted: bytes by the model.
    compiled: bytes by the compiler.
    image_steps_per_s: the rate; None if it was not measured.
  """

  sets: int
  steps: int
  predicted: float
  compiled: int
  image_steps_per_s: float | None = None

  @property
  def error(self) -> float:
    """The relative error of the prediction."""
    return self.predicted / self.compiled - 1


class Job(NamedTuple):
  """Synthesis on many devices.

  Attributes:
    name: the name of the devices.
    devices: D, the number of devices.
    peak: FLOP/s of one device in bfloat16, by its manufacturer.
    sustained: the share of the peak that synthesis sustains.
  """

  name: str
  devices: int
  peak: float
  sustained: float

  def hours(self, image_steps: float, flop: float) -> float:
    """Returns the hours for `image_steps` of `flop` each."""
    return (
      image_steps * flop / (self.devices * self.peak * self.sustained) / 3600
    )


# Synthesis at the size of ImageNet: the number of its training images, and the
# number of updates in DeepInversion's first released code.
IMAGENET_IMAGES, IMAGENET_STEPS = 1_281_167, 2_000
# The number of devices, and their kind in `ACCELERATORS`.
MACHINES = {"v5e-256": (256, "v5e"), "64 H100/H200": (64, "h100")}


def measure(
  case: Case,
  size: Size,
  counts: Sequence[int],
  repeats: int = 0,
  dtype: str = "float32",
) -> tuple[Memory, list[GridPoint]]:
  """Fits the memory model of a case, and measures it for numbers of sets.

  Args:
    case: the case with the teacher and the images.
    size: the size of a set, and the number of steps.
    counts: numbers of sets for each device.
    repeats: the number of times that each is timed; 0 runs nothing.
    dtype: the type that the teacher computes in.
  """
  teacher = network(case.teacher, case.spec, TEACHER)
  devices = jax.device_count()

  def compile_sets(sets: int) -> synthesis.SynthesisRunner:
    return synthesis.synthesis_runner(
      case, size, teacher, sets * devices, dtype=dtype
    )

  runners = {sets: compile_sets(sets) for sets in sorted({1, 2, *counts})}
  compiled = {sets: _bytes(runner) for sets, runner in runners.items()}
  memory = Memory(2 * compiled[1] - compiled[2], compiled[2] - compiled[1])
  rates: dict[int, float | None] = dict.fromkeys(counts)
  if repeats:
    for sets in counts:
      runners[sets].run()
    seconds = timing.interleaved({n: runners[n].run for n in counts}, repeats)
    rates = {n: runners[n].image_steps / seconds[n] for n in counts}
  return memory, [
    GridPoint(sets, size.steps, memory.bytes(sets), compiled[sets], rates[sets])
    for sets in counts
  ]


def _bytes(runner: synthesis.SynthesisRunner) -> int:
  return costs.working_bytes(runner.compiled)


def bytes_by_steps(
  case: Case, size: Size, steps: Sequence[int]
) -> dict[int, int]:
  """Returns the bytes of one set by T, on which they do not depend."""
  teacher = network(case.teacher, case.spec, TEACHER)
  devices = jax.device_count()
  return {
    count: _bytes(
      synthesis.synthesis_runner(
        case, size._replace(steps=count), teacher, devices
      )
    )
    for count in steps
  }


def rows(
  case: Case, points: Sequence[GridPoint], size: Size, dtype: str = "float32"
) -> list[Row]:
  """Returns the points as rows of a table."""
  return [
    Row(
      case.name, "sets", OURS, dtype, point.sets * size.set_size,
      point.image_steps_per_s, "image-steps", None,
      note=f"{point.sets} sets per device: {point.compiled / 1e6:.1f} MB, "
      f"predicted {point.predicted / 1e6:.1f} MB",
    )
    for point in points
  ]  # fmt: skip


def flop_by_shape(
  model: str = "resnet18",
  sides: Sequence[int] = (16, 32, 64),
  classes: Sequence[int] = (10, 1_000),
) -> list[dict[str, float]]:
  """Counts the FLOP of one image in one step by side and number of classes."""
  return [
    {
      "side": side,
      "classes": count,
      "flop": _flop(model, side, count),
    }
    for side in sides
    for count in classes
  ]


def _flop(model: str, side: int, classes: int) -> float:
  half = (0.5,) * 3
  spec = DataSpec("images", (side, side, 3), classes, half, half)
  return costs.image_step(costs.shapes(model, spec), spec)


def matrix_share(
  case: Case, image_steps_per_s: float, roofline: Roofline, dtype: str
) -> float:
  """Returns a rate as a share of the device's matrix product."""
  network = costs.shapes(case.teacher, case.spec)
  flop = costs.image_step(network, case.spec)
  return image_steps_per_s * flop / roofline.flops[dtype]


def describe_jobs(share: float, origin: str) -> list[str]:
  """Describes the hours of ImageNet-size synthesis on each of `MACHINES`.

  Args:
    share: the share of the peak that is sustained.
    origin: where the share comes from.
  """
  flop = _flop("torchvision_resnet50", 224, 1_000)
  image_steps = IMAGENET_IMAGES * IMAGENET_STEPS
  lines = [
    f"{IMAGENET_IMAGES:,} images of 224x224, {IMAGENET_STEPS:,} steps each, "
    f"ResNet-50 ({flop / 1e9:.1f} GFLOP per image-step), at {share:.1%} of the "
    f"peak for bfloat16, {origin}:"
  ]
  for name, (devices, kind) in MACHINES.items():
    job = Job(name, devices, ACCELERATORS[kind].flops, share)
    lines.append(f"{name}: {job.hours(image_steps, flop):,.1f} hours")
  return lines
