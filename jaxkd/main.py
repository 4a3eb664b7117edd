"""The command line: flags only.

  python -m jaxkd.main --config=configs/cake.py [--workdir=DIR]
  python -m jaxkd.main --config=configs/cake.py:smoke --config.seed=1
  python -m jaxkd.main --config=configs/cake.py --plan
  python -m jaxkd.main --config=configs/nasty_table.py --workdir=DIR
  python -m jaxkd.main --list

Exit status: 0 done, 2 wrong input (one or two lines say what), 143 stopped by
SIGTERM and 130 by SIGINT, with everything saved.
"""

from collections.abc import Sequence
import errno
import sys

from absl import app, flags, logging
import jax
from ml_collections import config_flags

from jaxkd import (
  checkpointing,
  config as configs,
  data,
  defenses,
  methods,
  models,
  pipeline,
  plan,
  table,
)
from jaxkd.errors import JaxkdError, fail

CONFIG = config_flags.DEFINE_config_file(
  "config", None, "Config file, with arguments behind a colon."
)
WORKDIR = flags.DEFINE_string(
  "workdir", None, "Folder of the run; the same folder goes on."
)
LIST = flags.DEFINE_bool("list", False, "Name methods, models and data sets.")
PLAN = flags.DEFINE_bool("plan", False, "Say what a run would do, and stop.")


def parse(argv: Sequence[str]) -> Sequence[str]:
  """Flags, with mistakes told in a line or two instead of a traceback."""
  try:
    for argument in argv:
      if argument.startswith("--config="):  # the flag would bury its mistakes
        configs.load_config(argument.removeprefix("--config="))
    return flags.FLAGS(argv)
  except (JaxkdError, flags.Error) as error:
    fail(str(error))
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    told = str(error).replace("\\n", " ").replace("\\'", "'")
    fail(f"The config does not take that: {told}")


def main(argv: Sequence[str]) -> None:
  """Runs what the flags say."""
  if argv[1:]:
    fail(f"What is {argv[1]!r}? All arguments are flags; see --help.")
  if LIST.value:
    print(f"methods:   {', '.join(methods.names())}")
    print(f"defences:  {', '.join(defenses.names())}")
    print(f"models:    {', '.join(models.names())}")
    print(f"data sets: {', '.join(data.names())}")
    return
  if CONFIG.value is None:
    fail("--config is missing; try --config=configs/cake.py, or --list.")
  try:
    if PLAN.value:
      print(described())
    else:
      run()
  except JaxkdError as error:
    fail(str(error))
  except Exception as error:
    if not disk_full(error):
      raise
    fail("No space left on the disk. Make room; the same command goes on.")


def described() -> str:
  """What a run, or a table of runs, would do."""
  if "cells" in CONFIG.value:
    return table.describe(CONFIG.value, WORKDIR.value)
  return plan.describe(CONFIG.value)


def run() -> None:
  """A run, or a table of runs; a signal stops it at the next safe point."""
  received = checkpointing.stop_on_signals()
  try:
    if "cells" in CONFIG.value:
      table.run(CONFIG.value, WORKDIR.value)
    else:
      pipeline.distill(None, CONFIG.value, WORKDIR.value)
  except checkpointing.Preempted:
    print("Stopped, with everything saved. The same command goes on.")
    sys.exit(128 + received["signal"])


def disk_full(error: BaseException | None) -> bool:
  """Whether a full disk is at the root of it; Orbax wraps the system's word."""
  while error is not None:
    if getattr(error, "errno", None) == errno.ENOSPC:
      return True
    if "No space left on device" in str(error):
      return True
    error = error.__cause__ or error.__context__
  return False


if __name__ == "__main__":
  jax.config.parse_flags_with_absl()
  logging.set_verbosity(logging.WARNING)
  app.run(main, flags_parser=parse)
