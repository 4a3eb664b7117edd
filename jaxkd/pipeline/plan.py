"""The plan of a run: what it will do and need, before it starts."""

import json

from ml_collections import ConfigDict

from jaxkd import models
from jaxkd.pipeline import grid, run_time
from jaxkd.pipeline.setup import Setup, setup as make_setup
from jaxkd.pipeline.teacher import check_given
from jaxkd.runtime import compile_target
from jaxkd.runtime.files import to_json
from jaxkd.synthesis import memory_estimate


def describe(config: ConfigDict) -> str:
  """The resolved config, parameter counts, memory, time and queries, as text.

  No data set is loaded, nothing is trained, and no teacher is asked. A bundle
  is read, the function in `teacher.factory` is called, and a matrix product is
  timed.

  Raises:
    JaxkdError: for all that a run would refuse before it starts.
  """
  setup = make_setup(config)
  check_given(setup)
  sections = {
    "config": json.dumps(to_json(setup.config.to_dict()), indent=2),
    "networks": networks(setup),
    "synthesis": synthesis(setup),
    "training": training(setup),
    "memory": memory(setup),
    "time": run_time.describe(setup),
    "queries": queries(setup),
  }
  return "\n\n".join(f"{name}\n{text}" for name, text in sections.items())


def networks(setup: Setup) -> str:
  """Names and parameters of teacher and student."""
  lines = []
  for role in ("teacher", "student"):
    network = getattr(setup.networks, role)
    if network is None:
      lines.append(f"  {role}: behind an interface, its parameters unknown")
    else:
      count = models.count_parameters(network.variables)
      lines.append(f"  {role}: {network.name}, {count:,} parameters")
  return "\n".join(lines)


def synthesis(setup: Setup) -> str:
  """How many images are made, and how much work that is."""
  images = sum(cost.stored for cost in setup.costs)
  steps = setup.method.steps
  return (
    f"  {images:,} images in {len(setup.costs)} rounds, {steps} steps each: "
    f"{images * steps:,} image-steps"
  )


def training(setup: Setup) -> str:
  """What is trained on real data or on the store, and for how long."""
  config, lines = setup.config, []
  if setup.networks.teacher is not None:
    name = config.teacher.defense.name
    defence = f", then the defence {name}" if name else ""
    epochs = f"{config.teacher.epochs} epochs"
    before = epochs if setup.teacher is None else "as it is"
    lines.append(f"  teacher: {before}{defence}")
  if setup.method.pre_student_stage is not None:
    lines.append(
      f"  before the student: {setup.method.pre_student_stage.description}"
    )
  points = len(grid.expand_grid(config.grid, setup.method))
  seeds, epochs = config.student.seeds, config.student.epochs
  lines.append(
    f"  student: {epochs} epochs, {points} points of the grid, {seeds} seeds: "
    f"{points * seeds} networks in one program"
    if epochs
    else "  student: in the rounds"
  )
  return "\n".join(lines)


def queries(setup: Setup) -> str:
  """How many images the teacher is shown at most, and their price."""
  config = setup.config
  if config.teacher.access == "white_box":
    return "  none: the teacher is a white box"
  if config.teacher.replay:
    return f"  none: the ledger {config.teacher.replay} answers"
  count = sum(cost.queries for cost in setup.costs)
  budget, price = config.queries.budget, config.queries.price_per_1000
  text = (
    f"  {count:,} images in {len(setup.costs)} rounds, budget {budget:,}, each "
    f"shown for its {config.teacher.access}"
  )
  if setup.num_evaluation_queries:
    text += (
      f"\n  {setup.num_evaluation_queries:,} test images are shown before, out "
      "of the same budget"
    )
  total = count + setup.num_evaluation_queries
  if price:
    cost = total / 1000 * price
    text += f"\n  at most {cost:,.2f} at {price:g} per 1,000"
  if total > budget:
    text += (
      f"\n  the budget will end the run early; {total - budget:,} images are "
      "not paid for"
    )
  return text


def memory(setup: Setup) -> str:
  """Bytes of the store, on a device and on disk, and of optimised images."""
  size = setup.method.capacity * setup.sample_bytes / 2**20
  text = f"  store {size:,.0f} MiB; up to {2 * size:,.0f} MiB on disk"
  teacher, images = setup.networks.teacher, setup.costs[0].stored
  white_box = setup.config.teacher.access == "white_box"
  if teacher is None or not (white_box and setup.method.steps):
    return text
  dtype = setup.config.compute_dtype
  teacher = models.with_compute_dtype(teacher, dtype)
  each = memory_estimate.image_bytes(teacher, setup.spec)
  text += (
    f"\n  {images:,} images at once, about {images * each / 2**30:,.2f} GiB "
    f"with what the teacher keeps of them in {dtype}"
  )
  devices = compile_target.device_count()
  copied = memory_estimate.copied_bytes(images, setup.spec, devices)
  needed = size * 2**20 + max(images * each / devices, copied)
  free = compile_target.memory_bytes()
  if free and needed > free:
    text += (
      f"\n  a device has {free / 2**30:,.1f} GiB, and store and images take "
      f"{needed / 2**30:,.1f}: make fewer images, or smaller sets or batches"
    )
  return text
