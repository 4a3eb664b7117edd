"""The programs that `bench compile` compiles, each by the config of its run."""

import math
from typing import NamedTuple

from chex import ArrayTree
import jax
import jax.numpy as jnp

from jaxkd import config as configs
from jaxkd.data import Dataset
from jaxkd.pipeline import exchange, programs
from jaxkd.pipeline.exchange import RunState
from jaxkd.pipeline.setup import Setup, setup as make_setup
from jaxkd.runtime import compile_target
from jaxkd.runtime.devices import Program
from jaxkd.types import DataSpec

# Sets of a run: a power of two, because they are divided over the devices.
SETS = 512
# Images that a device has of a student's batch, at least: 32x32 pixels each,
# and 224x224, of which a run has too few for larger batches.
IMAGES_PER_DEVICE = 32
LARGE_IMAGES_PER_DEVICE = 4
CAKE = "configs/cake.py:recipe=published,dataset"
IMAGENET = DataSpec(
  "imagenet", (224, 224, 3), 1_000, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
)


class Cell(NamedTuple):
  """A program of a run.

  Attributes:
    case: the network, or the method.
    part: `synthesis`, `student`, or another part of a run.
    config: the config of the run.
    program: `round` or `epoch`.
    fields: fields of the config that are changed.
    spec: of the inputs, where the config names no data.
  """

  case: str
  part: str
  config: str
  program: str = "round"
  fields: dict[str, int | float | str | tuple[float, ...]] = {}
  spec: DataSpec | None = None

  @property
  def name(self) -> str:
    """The name of the cell's files."""
    return f"{self.case}-{self.part}"


class Prepared(NamedTuple):
  """A cell's program for a target.

  Attributes:
    program: what the run dispatches.
    steps: how many steps it makes, one after the other.
    images: how many images a device works on in a step.
    state_bytes: of the state that is given to it and returned.
    dispatches: how often a run dispatches it.
    sharing: number of devices that share the program's work; 1 where each
      does all of it.
    note: what one step is, with the sizes that were chosen.
  """

  program: Program
  steps: int
  images: int
  state_bytes: int
  dispatches: int
  sharing: int
  note: str


def _cake(case: str, dataset: str, teacher: str, student: str) -> list[Cell]:
  config = f"{CAKE}={dataset},teacher={teacher},student={student}"
  fields = {"synthesis.num_sets": SETS}
  return [
    Cell(case, "synthesis", config, "round", fields),
    Cell(case, "student", config, "epoch", fields),
  ]


_CIFAR = "dataset=cifar10"
_LARGE = "dataset=none,image_size=224"
CELLS = {
  cell.name: cell
  for cell in (
    *_cake("lenet5", "mnist", "lenet5", "lenet5_half"),
    *_cake("vit8", "cifar10", "vit8", "vit4"),
    *_cake("resnet18", "cifar10", "resnet18", "resnet18"),
    # Its student is that of resnet18.
    _cake("resnet34", "cifar10", "resnet34", "resnet18")[0],
    Cell("dafl", "round", f"configs/dafl.py:{_CIFAR}"),
    Cell("dfme", "round", f"configs/dfme.py:{_CIFAR}"),
    Cell("deepinversion", "round", f"configs/deepinversion.py:{_CIFAR}"),
    Cell("procedural", "round", f"configs/procedural.py:{_CIFAR}"),
    # ResNet-50 to ResNet-18 at the size of ImageNet.
    Cell(
      "cake224", "synthesis", f"configs/cake.py:{_LARGE}", spec=IMAGENET
    ),
    Cell(
      "cake224", "student", f"configs/cake.py:{_LARGE}", "epoch", spec=IMAGENET
    ),
    Cell(
      "deepinversion224", "round", f"configs/deepinversion.py:{_LARGE}",
      # As many images as in the recipe, in batches that many devices share.
      fields={"synthesis.batch_size": 1_024, "synthesis.num_rounds": 12},
      spec=IMAGENET,
    ),
    Cell(
      "grid", "student", "configs/htc.py:dataset=fashion_mnist", "epoch",
      {
        "grid.temperature": (4.0, 20.0, 50.0, 100.0),
        "grid.multiplier": (1.0, 5.0, 10.0, 50.0),
        "grid.alpha": (0.9,),
      },
    ),
  )
}  # fmt: skip


def load_setup(cell: Cell, dtype: str) -> Setup:
  """Sets up the run of a cell for the devices of the compile target."""
  config = configs.load_config(cell.config)
  devices = compile_target.device_count()
  config.compute_dtype = dtype
  config.update_from_flattened_dict(cell.fields)
  share = LARGE_IMAGES_PER_DEVICE if cell.spec else IMAGES_PER_DEVICE
  batch = config.student.batch_size
  config.student.batch_size = max(batch, share * devices)
  dataset = Dataset.without_images(cell.spec) if cell.spec else None
  return make_setup(config, dataset=dataset)


def prepare(cell: Cell, setup: Setup) -> Prepared:
  """Returns the program of a cell for the devices of the compile target."""
  run = programs.first_state(setup)
  return PREPARE[cell.program](setup, run)


def _prepare_round(setup: Setup, run: RunState) -> Prepared:
  """A round: T updates of its images, or as many batches as it makes."""
  config, method = setup.config, setup.method
  program = programs.round_program(setup, run)
  count = compile_target.device_count()
  if sets := config.synthesis.get("sets_per_round"):
    sets //= count
    size = config.synthesis.set_size
    steps, images, sharing = method.steps, sets * size, count
    note = f"{sets} sets of {size} images a device, T = {steps}"
  else:
    batch = config.synthesis.batch_size
    shared = batch % count == 0
    share = "shared by the devices" if shared else "made by every device"
    sharing = count if shared else 1
    images = batch // sharing
    if steps := method.steps:
      note = f"batch of {batch}, {share}, T = {steps}"
    else:
      held = jnp.int32(method.capacity)
      steps = sum(
        int(exchange.num_repeats(phase, held)) for phase in method.phases
      )
      note = f"{steps} batches of {batch} a round, {share}"
  rounds = len(setup.costs)
  return Prepared(
    program, steps, images, _num_bytes(run), rounds, sharing, note
  )


def _prepare_epoch(setup: Setup, run: RunState) -> Prepared:
  """An epoch of all students, in steps of one batch."""
  program = programs.epoch_program(setup, run.store.samples)
  states, (_, samples), indices = program.arguments
  networks = len(states.step)
  _, steps, size = indices.shape
  note = (
    f"{size} images a device in a batch, {networks} students, "
    f"{len(samples.labels):,} images in the epoch"
  )
  return Prepared(
    program,
    steps,
    networks * size,
    _num_bytes(states),
    setup.config.student.epochs,
    compile_target.device_count(),
    note,
  )


def _num_bytes(tree: ArrayTree) -> int:
  return sum(
    math.prod(leaf.shape) * leaf.dtype.itemsize
    for leaf in jax.tree.leaves(tree)
  )


PREPARE = {"round": _prepare_round, "epoch": _prepare_epoch}
