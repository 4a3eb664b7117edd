"""Cost and memory of synthesis: a small model, and jobs on many devices.

Sets need nothing of each other. With S sets of N images, T steps and D devices

  FLOP      = S N T f          f: of one image in one step, by XLA's count for
                               the network, the side and the classes
  bytes     = w + (S / D) m    on a device: w is there without any set, m is a
                               set's part, N times what the network keeps of an
                               image between the passes, and the image itself
  seconds   = FLOP / (D r)     r: FLOP/s that a device keeps up, measured

T is in no term of the memory: a step reuses the memory of the last. w and m
come from the compiled programs of one and of two sets; what the compiler says
of more sets is the check. f and m grow with the area of the image, and hardly
with the classes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax

from jaxkd.bench import costs, synthesis, timing
from jaxkd.bench.cases import TEACHER, Case, Size, network
from jaxkd.bench.results import OURS, Row
from jaxkd.bench.roofline import Roofline
from jaxkd.types import DataSpec


class Memory(NamedTuple):
  """Bytes that a device works with, beside networks and stored samples.

  Attributes:
    fixed: w.
    per_set: m.
  """

  fixed: float
  per_set: float

  def bytes(self, sets: int, devices: int = 1) -> float:
    """Of one device; the sets are split evenly."""
    return self.fixed + self.per_set * sets / devices


class GridPoint(NamedTuple):
  """One number of sets.

  Attributes:
    sets: S, on a device.
    steps: T.
    predicted: bytes by the model.
    compiled: bytes by the compiler.
    image_steps_per_s: None if it was not run.
  """

  sets: int
  steps: int
  predicted: float
  compiled: int
  image_steps_per_s: float | None = None

  @property
  def error(self) -> float:
    """Of the prediction, relative."""
    return self.predicted / self.compiled - 1


class Job(NamedTuple):
  """Synthesis on many devices.

  Attributes:
    name: of the devices.
    devices: D.
    peak: FLOP/s of one, as its maker has it for bfloat16.
    sustained: share of the peak that synthesis keeps up.
  """

  name: str
  devices: int
  peak: float
  sustained: float

  def hours(self, image_steps: float, flop: float) -> float:
    """For `image_steps` of `flop` each."""
    return (
      image_steps * flop / (self.devices * self.peak * self.sustained) / 3600
    )


# ImageNet-size synthesis: as many images as there are to train on, with the
# updates of DeepInversion's first code for it.
IMAGENET_IMAGES, IMAGENET_STEPS = 1_281_167, 2_000
PEAKS = {"v5e-256": (256, 197e12), "64 H100/H200": (64, 989e12)}


def points(
  case: Case,
  size: Size,
  counts: Sequence[int],
  repeats: int = 0,
  dtype: str = "float32",
) -> tuple[Memory, list[GridPoint]]:
  """The model of a case, and what the compiler and the clock say.

  Args:
    case: whose teacher and images.
    size: of a set, and T.
    counts: numbers of sets per device.
    repeats: how often each is timed; 0 runs nothing.
    dtype: that the teacher computes in.
  """
  teacher = network(case.teacher, case.spec, TEACHER)
  devices = jax.device_count()

  def maker(sets: int) -> synthesis.SynthesisRunner:
    return synthesis.synthesis_runner(
      case, size, teacher, sets * devices, dtype=dtype
    )

  makers = {sets: maker(sets) for sets in sorted({1, 2, *counts})}
  found = {sets: _bytes(each) for sets, each in makers.items()}
  memory = Memory(2 * found[1] - found[2], found[2] - found[1])
  rates: dict[int, float | None] = dict.fromkeys(counts)
  if repeats:
    for sets in counts:
      makers[sets].run()
    seconds = timing.interleaved({n: makers[n].run for n in counts}, repeats)
    rates = {n: makers[n].image_steps / seconds[n] for n in counts}
  return memory, [
    GridPoint(sets, size.steps, memory.bytes(sets), found[sets], rates[sets])
    for sets in counts
  ]


def _bytes(maker: synthesis.SynthesisRunner) -> int:
  return costs.working_bytes(maker.compiled)


def by_steps(case: Case, size: Size, steps: Sequence[int]) -> dict[int, int]:
  """Bytes for one set and various T; they do not depend on it."""
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
  case: Case, found: Sequence[GridPoint], size: Size, dtype: str = "float32"
) -> list[Row]:
  """The points as rows of the table."""
  return [
    Row(
      case.name, "sets", OURS, dtype, point.sets * size.set_size,
      point.image_steps_per_s, "image-steps", None,
      note=f"{point.sets} sets per device: {point.compiled / 1e6:.1f} MB, "
      f"predicted {point.predicted / 1e6:.1f} MB",
    )
    for point in found
  ]  # fmt: skip


def by_shape(
  model: str = "resnet18",
  sides: Sequence[int] = (16, 32, 64),
  classes: Sequence[int] = (10, 1_000),
) -> list[dict[str, float]]:
  """F for sides and numbers of classes."""
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


def imagenet_flop() -> float:
  """FLOP of one 224x224 image in one step, for a ResNet-50 of 1,000 classes.

  Our ResNet-50 has the stem for small images. Behind ImageNet's stem, a 7x7
  convolution of stride 2 and a pool, the body sees 56x56 positions: it is ours
  on 56x56 images. The stem is added by hand, twice for its gradient.
  """
  stem = 2 * 112 * 112 * 64 * 7 * 7 * 3
  return _flop("resnet50", 56, 1_000) + 2 * stem


def sustained(
  case: Case, image_steps_per_s: float, ceilings: Roofline, dtype: str
) -> float:
  """Share of the device's matrix product that a rate comes to."""
  network = costs.shapes(case.teacher, case.spec)
  flop = costs.image_step(network, case.spec)
  return image_steps_per_s * flop / ceilings.flops[dtype]


def described(share: float, whose: str) -> list[str]:
  """What ImageNet-size synthesis takes on the devices of `PEAKS`, in words.

  Args:
    share: of the peak that is kept up.
    whose: where the share comes from.
  """
  flop, image_steps = imagenet_flop(), IMAGENET_IMAGES * IMAGENET_STEPS
  lines = [
    f"{IMAGENET_IMAGES:,} images of 224x224, {IMAGENET_STEPS:,} steps each, "
    f"ResNet-50 ({flop / 1e9:.1f} GFLOP per image-step), at {share:.1%} of the "
    f"peak for bfloat16, {whose}:"
  ]
  for name, (devices, peak) in PEAKS.items():
    job = Job(name, devices, peak, share)
    lines.append(f"{name}: {job.hours(image_steps, flop):,.1f} hours")
  return lines
