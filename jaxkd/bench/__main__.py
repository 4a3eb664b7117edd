"""The benchmark's command line; see `jaxkd.bench`."""

import argparse
from collections.abc import Sequence
import importlib.util
import os
from pathlib import Path

import jax

from jaxkd.bench.cases import CASES, DTYPES
from jaxkd.bench.comparison import PARTS
from jaxkd.bench.results import RIVALS
from jaxkd.config import checks
from jaxkd.errors import JaxkdError, fail

OTHERS = ("engines", "grid", "gpu", "scale", "scan")
SIZES = ("full", "small")


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="python -m jaxkd.bench",
    description="Times jaxkd beside the same algorithms in PyTorch.",
  )
  parser.add_argument(
    "what", nargs="?", default="lenet5",
    help=f"{', '.join(CASES)}, or {', '.join(OTHERS)}",
  )  # fmt: skip
  parser.add_argument("--part", default="all", help="; ".join(PARTS))
  parser.add_argument("--out", default="", help="folder for JSON and table")
  parser.add_argument("--repeats", type=int, default=3)
  parser.add_argument(
    "--size", default="", help="full, or small (default on the CPU)"
  )
  parser.add_argument(
    "--rival", default="", help="none, or some of eager,compile,graphs"
  )
  parser.add_argument(
    "--cpu_devices", type=int, default=0,
    help="that the CPU's cores work as, a run's --jax_num_cpu_devices; 0: one",
  )  # fmt: skip
  parser.add_argument(
    "--dtype", default="", help="float32,bfloat16; on the CPU float32 alone"
  )
  parser.add_argument(
    "--minutes", type=float, default=7.0, help="that gpu begins cells for"
  )
  parser.add_argument(
    "--sustained", type=float, default=0.0,
    help="share of the peak for scale's jobs; 0: the one that is measured",
  )  # fmt: skip
  return parser


def main(argv: Sequence[str] | None = None) -> None:
  """Runs what the arguments say; a mistake ends the process with status 2."""
  arguments = _parser().parse_args(argv)
  # PyTorch needs some of the GPU's memory too.
  os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
  try:
    print(_measured(arguments))
  except JaxkdError as error:
    fail(str(error))


def _measured(arguments: argparse.Namespace) -> str:
  checks.not_negative(cpu_devices=arguments.cpu_devices)
  if arguments.cpu_devices:
    jax.config.update("jax_num_cpu_devices", arguments.cpu_devices)
  from jaxkd.bench import commands

  what = arguments.what
  checks.choice("case", what, (*CASES, *OTHERS))
  checks.choice("part", arguments.part, (*PARTS, "all"))
  checks.positive(repeats=arguments.repeats, minutes=arguments.minutes)
  on_cpu = commands.on_cpu()
  size = arguments.size or ("small" if on_cpu else "full")
  checks.choice("size", size, SIZES)
  dtypes = _listed("dtype", arguments.dtype, DTYPES)
  dtypes = dtypes or tuple(DTYPES)[: 1 if on_cpu else 2]
  options = commands.Options(
    arguments.part, arguments.repeats, size, _torch_engines(arguments.rival),
    dtypes, arguments.minutes, arguments.sustained,
    Path(arguments.out) if arguments.out else None,
  )  # fmt: skip
  return commands.COMMANDS.get(what, commands.case)(what, options)


def _listed(name: str, text: str, allowed) -> tuple[str, ...]:
  """`a,b` as a tuple of allowed words."""
  words = tuple(filter(None, text.split(",")))
  for word in words:
    checks.choice(name, word, allowed)
  return words


def _torch_engines(text: str) -> tuple[str, ...]:
  """Which rivals; without a wish eager and compile, if PyTorch is there."""
  if text == "none":
    return ()
  wanted = _listed("rival", text, (*RIVALS, "none"))
  if importlib.util.find_spec("torch"):
    return wanted or ("eager", "compile")
  told = "PyTorch is not installed: pip install 'jaxkd[torch]', or --rival=none"
  if wanted:
    raise JaxkdError(told)
  print(f"No rival: {told}.")
  return ()


if __name__ == "__main__":
  main()
