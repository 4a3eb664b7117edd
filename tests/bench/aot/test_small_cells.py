"""Every method compiles for accelerators that are not there.

  python -m pytest -n0 -m aot tests/bench/aot

in an environment with the extra `aot`; `jaxkd/bench/aot/README.md` has what a
run of it found. `python -m jaxkd.bench compile --size=small` compiles the same
and keeps what was done when it is stopped.
"""

import importlib.util

import pytest

from jaxkd.bench.aot import targets
from jaxkd.bench.aot.compilation import compile_cell
from jaxkd.bench.aot.expectations import faults
from jaxkd.bench.aot.small_cells import small_cells

CELLS = small_cells()
COMPILERS = {"v5e-8": "libtpu", "h100-8": "jax_plugins.xla_cuda12"}


def described(target):
  try:
    installed = importlib.util.find_spec(COMPILERS[target])
  except ModuleNotFoundError:
    installed = None
  if installed is None:
    pytest.skip(f"{COMPILERS[target]} is missing: {targets.INSTALL}.")
  return targets.describe(target)


@pytest.mark.aot
@pytest.mark.slow
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("target", COMPILERS)
def test_compiled_programs_are_as_they_must_be(target, name):
  row = compile_cell(CELLS[name], described(target), "bfloat16")
  assert faults(row) == []


@pytest.mark.aot
@pytest.mark.slow
@pytest.mark.parametrize("target", COMPILERS)
def test_temporaries_do_not_depend_on_the_number_of_steps(target):
  cell = CELLS["cake-round"]
  few, many = (
    compile_cell(
      cell._replace(fields={**cell.fields, "synthesis.num_steps": steps}),
      described(target),
      "bfloat16",
    )["memory"]["temporary"]
    for steps in (8, 512)
  )
  # The terms of the loss of every step are kept, four numbers each.
  assert many <= 1.01 * few + 512 * 4 * 4 * 1024


def row(**changes):
  memory = {"donated": 100, "state": 100, "temporary": 10}
  return {
    "case": "cake", "part": "round", "program": "round", "float64": False,
    "on_host": False, "memory": memory, "collectives": [], **changes,
  }  # fmt: skip


def collective(opcode, loops):
  return {"opcode": opcode, "loops": loops}


@pytest.mark.parametrize(
  ("changes", "fault"),
  [
    ({"error": "no space\nleft"}, "refuses it: no space"),
    ({"float64": True}, "float64"),
    ({"on_host": True}, "host"),
    ({"memory": {"donated": 0, "state": 9, "temporary": 0}}, "0 of 9 bytes"),
    ({"memory": {"donated": 9, "state": 9, "temporary": 10}}, "than the store"),
    ({"collectives": [collective("all-reduce", 1)]}, "steps have all-reduce"),
    (
      {
        "case": "resnet34",
        "part": "synthesis",
        "collectives": [collective("all-gather", 1)],
      },
      "steps have all-gather",
    ),
    (
      {"program": "epoch", "collectives": [collective("all-gather", 0)]},
      "an epoch has all-gather",
    ),
  ],
)
def test_what_must_not_be_is_found(changes, fault):
  assert any(fault in found for found in faults(row(**changes)))


def test_a_program_as_it_must_be_has_no_faults():
  assert faults(row(collectives=[collective("all-gather", 0)])) == []
