"""Compiles a program ahead of time, and says what the compiler says of it."""

import time
from typing import Any

import jax

from jaxkd import models
from jaxkd.bench.aot import cells, hlo_costs, hlo_text
from jaxkd.bench.aot.cells import Cell, Prepared
from jaxkd.bench.aot.targets import kind_of
from jaxkd.evaluation import matrix_work
from jaxkd.pipeline.setup import Setup
from jaxkd.runtime.accelerators import Accelerator
from jaxkd.runtime.compile_target import CompileTarget, compiling_for
from jaxkd.runtime.devices import Program
from jaxkd.synthesis import memory_estimate, time_estimate

# What a number is, in every file that has one.
ORIGIN = (
  "estimates of XLA's compiler for devices that are not there; nothing was run "
  "or measured, but the seconds of compilation"
)
# How often a device sends the bytes of a collective's output. The parts of an
# all-reduce are added up on one device each, and their sums are sent to all.
SENT = {"all-reduce": 2}


def compile_cell(
  cell: Cell, target: CompileTarget, dtype: str
) -> dict[str, Any]:
  """Compiles the program of a cell; returns the fields of its JSON file.

  A refusal of the compiler is in the field `error`.
  """
  fields = {
    "case": cell.case, "part": cell.part, "program": cell.program,
    "config": cell.config,
    "fields": cell.fields, "target": target.name, "dtype": dtype,
    "origin": ORIGIN,
  }  # fmt: skip
  with compiling_for(target):
    setup = cells.load_setup(cell, dtype)
    prepared = cells.prepare(cell, setup)
    try:
      compiled, seconds = compile_program(prepared.program)
    except jax.errors.JaxRuntimeError as error:
      return {**fields, "note": prepared.note, "error": str(error)[:2000]}
    program, shapes = prepared.program
    jaxpr = jax.make_jaxpr(program)(*shapes).jaxpr
    flops = matrix_work.flop(matrix_work.of_jaxpr(jaxpr))
  kind = kind_of(target.name)
  return {
    **fields,
    "note": prepared.note,
    "compile_seconds": round(seconds, 1),
    "estimate": estimate(setup, prepared, target),
    "memory": memory(compiled, kind, prepared.state_bytes),
    **costs(compiled.as_text(), prepared, flops, kind),
  }


def estimate(
  setup: Setup, prepared: Prepared, target: CompileTarget
) -> dict[str, float] | None:
  """What a run expects of a dispatch when it chooses `sets_per_round`.

  Returns:
    `bytes` of one device for its images, and `seconds`; None for runs that do
    not choose, and for devices of unknown rates.
  """
  kind = kind_of(target.name)
  if "sets_per_round" not in setup.config.synthesis or not kind.flops:
    return None
  teacher = models.with_compute_dtype(
    setup.networks.teacher, setup.config.compute_dtype
  )
  each = time_estimate.image_step_seconds(teacher, setup.spec, kind)
  kept = memory_estimate.residual_bytes(teacher, setup.spec)
  devices = len(target.devices)
  copied = memory_estimate.copied_bytes(devices, setup.spec, devices)
  return {
    "bytes": prepared.images * max(kept, copied),
    "seconds": prepared.images * prepared.steps * each,
  }


def compile_program(program: Program) -> tuple[jax.stages.Compiled, float]:
  """Compiles a program; returns the seconds that it took, with the tracing."""
  began = time.monotonic()
  compiled = program.lower().compile()
  return compiled, time.monotonic() - began


def memory(
  compiled: jax.stages.Compiled, kind: Accelerator, state_bytes: int
) -> dict[str, int | float]:
  """Bytes on one device.

  `peak` is what the program needs at once: arguments and temporaries, and the
  outputs that do not take the place of a donated argument.
  """
  stats = compiled.memory_analysis()
  arguments, temporary, output, donated = (
    stats.argument_size_in_bytes,
    stats.temp_size_in_bytes,
    stats.output_size_in_bytes,
    stats.alias_size_in_bytes,
  )
  peak = arguments + temporary + output - donated
  return {
    "arguments": arguments, "temporary": temporary, "output": output,
    "donated": donated, "state": state_bytes, "peak": peak,
    "share_of_device": peak / kind.memory,
  }  # fmt: skip


def costs(
  text: str, prepared: Prepared, flops: float, kind: Accelerator
) -> dict[str, Any]:
  """What the program does in a step, and the time that the device needs.

  Args:
    text: the compiled program.
    prepared: what it was compiled from.
    flops: of all its steps, as its networks define them; those of all devices
      that share its work.
    kind: of the devices.

  Returns:
    The fields of the JSON file: `step` with FLOP, bytes and the time of the
    roofline; `cycles` of all steps together, for an image in a step, and the
    share of the peak that they mean (None where the compiler makes no
    estimates); `transfers`, seconds of all steps in which the links send what
    collectives move, without their latency; the fields of
    `hlo_costs.ProgramCosts`.
  """
  counted = hlo_costs.count(hlo_text.parse(text), text)
  steps, images = prepared.steps, prepared.images
  flops /= prepared.sharing
  fields = counted._asdict()
  fields["dearest"] = [each._asdict() for each in counted.dearest]
  fields["collectives"] = [each._asdict() for each in counted.collectives]
  del fields["cycles"], fields["num_bytes"]
  step = {"flop": flops / steps, "bytes": counted.num_bytes / steps}
  roofline, seconds, cycles = None, None, None
  if kind.flops:
    compute = step["flop"] / kind.flops
    memory_time = step["bytes"] / kind.bandwidth
    seconds = max(compute, memory_time)
    roofline = {
      "seconds": seconds,
      "binds": "compute" if compute >= memory_time else "memory",
    }
  if counted.cycles:
    busy = counted.cycles / kind.clock
    cycles = {
      "program": counted.cycles,
      "per_image_step": counted.cycles / steps / images,
      "seconds": busy,
      "share_of_peak": flops / (busy * kind.flops),
    }
  transfers = None
  if kind.links:
    sent = sum(
      SENT.get(each.opcode, 1) * each.num_bytes * each.times
      for each in counted.collectives
    )
    transfers = {"seconds": sent / kind.links}
  return {
    "steps": steps,
    "dispatches": prepared.dispatches,
    "images_per_device": images,
    "transfers": transfers,
    "step": {**step, "roofline": roofline},
    "cycles": cycles,
    **fields,
  }
