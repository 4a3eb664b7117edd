"""What a run will do and need, said before it starts."""

import json

import jax
import numpy as np

from jaxkd import data, models
from jaxkd.pipeline import distill, grid, resolution, rounds
from jaxkd.pipeline.exchange import RoundCost
from jaxkd.runtime.files import to_json
from jaxkd.teachers import external
from jaxkd.types import Classifier, DataSpec, Method


def describe(config) -> str:
  """The resolved config, parameter counts, memory and queries, as text.

  Nothing is loaded, trained or asked.

  Raises:
    JaxkdError: for all that a run would refuse before it starts.
  """
  config = resolution.resolve(config, jax.device_count(), jax.default_backend())
  teacher = external.load_external(config.teacher)
  spec, num_images = data.describe(
    config.dataset, image_size=config.image_size, teacher=teacher.spec
  )
  method = distill.build_method(config, spec, reserved=0, num_images=num_images)
  found = rounds.estimate_costs(
    method, config, spec, teacher.classifier, num_images
  )
  sections = {
    "config": json.dumps(to_json(config.to_dict()), indent=2),
    "networks": networks(config, spec, teacher.classifier),
    "synthesis": synthesis(method, found),
    "training": training(config, method, teacher.classifier),
    "memory": memory(config, method, spec),
    "queries": queries(config, found),
  }
  return "\n\n".join(f"{name}\n{text}" for name, text in sections.items())


def networks(config, spec: DataSpec, teacher: Classifier | None) -> str:
  """Parameters of teacher and student."""
  found = {
    role: (config[role].model, models.shapes(config[role].model, spec))
    for role in ("teacher", "student")
  }
  if teacher is not None:
    found["teacher"] = teacher.name, teacher.variables
  lines = {
    role: f"{name}, {models.count_parameters(variables):,} parameters"
    for role, (name, variables) in found.items()
  }
  if config.teacher.url or config.teacher.replay:
    lines["teacher"] = "behind an interface, its parameters unknown"
  return "\n".join(f"  {role}: {line}" for role, line in lines.items())


def synthesis(method: Method, found: list[RoundCost]) -> str:
  """How many images, and how much work."""
  images = sum(bill.kept for bill in found)
  return (
    f"  {images:,} images in {method.rounds} rounds, {method.steps} steps each:"
    f" {images * method.steps:,} image-steps"
  )


def training(config, method: Method, teacher: Classifier | None) -> str:
  """What is trained on real data or on the store, and for how long."""
  lines = []
  if not (config.teacher.url or config.teacher.replay):
    name = config.teacher.defense.name
    defence = f", then the defence {name}" if name else ""
    before = (
      f"{config.teacher.epochs} epochs" if teacher is None else "as it is"
    )
    lines.append(f"  teacher: {before}{defence}")
  if method.pre_student_stage is not None:
    lines.append(
      f"  before the student: {method.pre_student_stage.description}"
    )
  points, seeds = (
    len(grid.expand_grid(config.grid, method)),
    config.student.seeds,
  )
  epochs = config.student.epochs
  lines.append(
    f"  student: {epochs} epochs, {points} points of the grid, {seeds} seeds: "
    f"{points * seeds} networks in one program"
    if epochs
    else "  student: in the rounds"
  )
  return "\n".join(lines)


def queries(config, found: list[RoundCost]) -> str:
  """Images that the teacher will be asked about at most, and their price."""
  if config.teacher.access == "white_box":
    return "  none: the teacher is ours to look into"
  if config.teacher.replay:
    return f"  none: {config.teacher.replay} answers"
  asked = sum(bill.queries for bill in found)
  budget, price = config.queries.budget, config.queries.price_per_1000
  text = (
    f"  {asked:,} images in {len(found)} rounds, budget {budget:,}, each shown "
    f"for its {config.teacher.access}"
  )
  if price:
    text += f"; at most {asked / 1000 * price:,.2f} at {price:g} per 1,000"
  if asked > budget:
    text += f"\n  the budget will end it before; {asked - budget:,} are unpaid"
  if config.queries.evaluate:
    text += (
      "\n  a paid teacher is shown the test images as well, counted apart and "
      "out of the same budget"
    )
  return text


def memory(config, method: Method, spec: DataSpec) -> str:
  """Bytes of the store, on a device and on disk.

  Images are floats where a white box answers what was made, bytes where they
  are real or go to a black box.
  """
  white_box = config.teacher.access == "white_box"
  exact = method.float_pixels or (white_box and not method.real_images)
  image = int(np.prod(spec.shape)) * (4 if exact or len(spec.shape) < 3 else 1)
  label_only = config.teacher.access == "label"
  answer = 4 if label_only else 4 * spec.num_classes
  stored = method.capacity * (image + answer + 4)
  size = stored / 2**20
  return f"  store {size:,.0f} MiB; up to {2 * size:,.0f} MiB on disk"
