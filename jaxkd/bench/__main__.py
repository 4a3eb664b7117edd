"""The benchmark's command line; see `jaxkd.bench`."""

import argparse
from collections.abc import Collection, Sequence
import importlib.util
import os
from pathlib import Path

import jax

from jaxkd.bench import commands
from jaxkd.bench.aot import command, targets
from jaxkd.bench.aot.cells import CELLS
from jaxkd.bench.aot.small_cells import small_cells
from jaxkd.bench.cases import CASES, DTYPES
from jaxkd.bench.comparison import PARTS
from jaxkd.bench.results import TORCH_MODES
from jaxkd.config import checks
from jaxkd.errors import JaxkdError
from jaxkd.runtime.accelerators import ACCELERATORS
from jaxkd.runtime.files import errors_end_command

MEASUREMENTS = ("compile", "engines", "grid", "gpu", "scale", "scan")
SIZES = ("full", "small")


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="python -m jaxkd.bench",
    description="Times jaxkd beside the same algorithms in PyTorch.",
  )
  parser.add_argument(
    "what", nargs="?", default="lenet5",
    help=f"{', '.join(CASES)}, or {', '.join(MEASUREMENTS)}",
  )  # fmt: skip
  parser.add_argument("--part", default="all", help="; ".join(PARTS))
  parser.add_argument("--out", default="", help="folder for JSON and table")
  parser.add_argument("--repeats", type=int, default=3)
  parser.add_argument(
    "--size",
    default="",
    help="full, or small (the default on the CPU, but for compile)",
  )
  parser.add_argument(
    "--torch", default="", help="none, or some of eager,compile,graphs"
  )
  parser.add_argument(
    "--cpu_devices", type=int, default=0,
    help="devices that the CPU's cores are divided into; 0 for one",
  )  # fmt: skip
  parser.add_argument(
    "--dtype",
    default="",
    help="float32,bfloat16; by default both, and on the CPU float32",
  )
  parser.add_argument(
    "--minutes",
    type=float,
    default=7.0,
    help="time after which gpu starts no measurement",
  )
  parser.add_argument(
    "--sustained", type=float, default=0.0,
    help="share of the peak in scale's estimates; 0 for the measured share",
  )  # fmt: skip
  parser.add_argument(
    "--target", default="v5e-8",
    help="what compile compiles for: KIND or KIND-NUMBER of devices, of the "
    f"kinds {', '.join(ACCELERATORS)}",
  )  # fmt: skip
  parser.add_argument(
    "--cells", default="", help=f"some of compile's {','.join(CELLS)}"
  )
  return parser


def main(argv: Sequence[str] | None = None) -> None:
  """Runs a measurement; wrong arguments end the process with status 2."""
  arguments = _parser().parse_args(argv)
  # PyTorch needs some of the GPU's memory too.
  os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
  with errors_end_command():
    print(_run(arguments))


def _run(arguments: argparse.Namespace) -> str:
  if arguments.what == "compile":
    return _compile(arguments)
  checks.not_negative(cpu_devices=arguments.cpu_devices)
  if arguments.cpu_devices:
    jax.config.update("jax_num_cpu_devices", arguments.cpu_devices)
  what = arguments.what
  checks.choice("case", what, (*CASES, *MEASUREMENTS))
  checks.choice("part", arguments.part, (*PARTS, "all"))
  checks.positive(repeats=arguments.repeats, minutes=arguments.minutes)
  on_cpu = commands.on_cpu()
  size = arguments.size or ("small" if on_cpu else "full")
  checks.choice("size", size, SIZES)
  dtypes = _split("dtype", arguments.dtype, DTYPES)
  dtypes = dtypes or tuple(DTYPES)[: 1 if on_cpu else 2]
  options = commands.Options(
    arguments.part, arguments.repeats, size, _torch_modes(arguments.torch),
    dtypes, arguments.minutes, arguments.sustained,
    Path(arguments.out) if arguments.out else None,
  )  # fmt: skip
  return commands.COMMANDS.get(what, commands.measure_case)(what, options)


def _compile(arguments: argparse.Namespace) -> str:
  # Accelerators are described, and not looked for.
  jax.config.update("jax_platforms", "cpu")
  on_cpu = targets.kind_of(arguments.target).backend == "cpu"
  dtype = arguments.dtype or ("float32" if on_cpu else "bfloat16")
  checks.choice("dtype", dtype, DTYPES)
  size = arguments.size or "full"
  checks.choice("size", size, SIZES)
  cells = CELLS if size == "full" else small_cells()
  names = _split("cells", arguments.cells, cells)
  folder = Path(arguments.out or "bench-compile") / size
  return command.compile_all(arguments.target, cells, names, dtype, folder)


def _split(name: str, text: str, allowed: Collection[str]) -> tuple[str, ...]:
  """Splits `a,b` into a tuple of allowed words."""
  words = tuple(filter(None, text.split(",")))
  for word in words:
    checks.choice(name, word, allowed)
  return words


def _torch_modes(text: str) -> tuple[str, ...]:
  """Returns the modes of PyTorch to time; by default eager and compile."""
  if text == "none":
    return ()
  modes = _split("torch", text, (*TORCH_MODES, "none"))
  if importlib.util.find_spec("torch"):
    return modes or ("eager", "compile")
  message = (
    "PyTorch is not installed; run pip install 'jaxkd[torch]', or set "
    "--torch=none."
  )
  if modes:
    raise JaxkdError(message)
  print(message)
  return ()


if __name__ == "__main__":
  main()
