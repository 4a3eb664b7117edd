"""The command line: flags only.

  python -m jaxkd.main --config=configs/cake.py [--workdir=DIR]
  python -m jaxkd.main --config=configs/cake.py:smoke --config.seed=1
  python -m jaxkd.main --config=configs/cake.py --plan
  python -m jaxkd.main --config=configs/nasty_table.py --workdir=DIR
  python -m jaxkd.main --config=configs/cake.py --workdir=DIR --distributed
  python -m jaxkd.main --config=configs/cake.py --fields
  python -m jaxkd.main --list

Exit status: 0 done, 2 wrong input (one or two lines say what), 143 stopped by
SIGTERM and 130 by SIGINT, with everything saved.
"""

from collections.abc import Iterator, Sequence
import errno
import signal
import sys

from absl import app, flags, logging
import jax
from ml_collections import ConfigDict, config_flags

from jaxkd import config as configs, data, defenses, methods, models
from jaxkd.config import fields, overrides
from jaxkd.config.fields import Block
from jaxkd.errors import JaxkdError, fail
from jaxkd.pipeline import distill, plan, resolution
from jaxkd.runtime import checkpoints, processes
from jaxkd.tables import runner

# New attributes are accepted, so that a field can be set that the config leaves
# out; unknown ones are refused by their declarations, before any work.
CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "Config file, with arguments behind a colon.",
  lock_config=False,
  accept_new_attributes=True,
)
WORKDIR = flags.DEFINE_string(
  "workdir", None, "Folder of the run; the same folder goes on."
)
LIST = flags.DEFINE_bool("list", False, "Name methods, models and data sets.")
FIELDS = flags.DEFINE_bool(
  "fields",
  False,
  "Print every field of the config and what it takes, and stop.",
)
PLAN = flags.DEFINE_bool("plan", False, "Say what a run would do, and stop.")
DISTRIBUTED = flags.DEFINE_bool(
  "distributed", False, "Run as one of several processes, see launch/."
)
COORDINATOR = flags.DEFINE_string(
  "coordinator", None, "HOST:PORT of the first process, if no cluster knows it."
)
NUM_PROCESSES = flags.DEFINE_integer(
  "num_processes", None, "How many there are, if no cluster knows it."
)
PROCESS_ID = flags.DEFINE_integer(
  "process_id", None, "Which of them this is, from 0, likewise."
)
INITIALIZATION_S = flags.DEFINE_integer(
  "initialization_s", 1800, "Seconds that processes wait for each other."
)
HEARTBEAT_S = flags.DEFINE_integer(
  "heartbeat_s", 300, "Seconds of silence after which a process counts as dead."
)


def parse(argv: Sequence[str]) -> Sequence[str]:
  """Flags, with mistakes told in a line or two instead of a traceback."""
  option, given = "--config=", list(argv)
  try:
    for place, argument in enumerate(given):
      if argument.startswith(option):  # the flag would bury its mistakes
        name = configs.resolve_path(argument.removeprefix(option))
        given[place] = option + name
        check_overrides(configs.load_config(name), given)
    return flags.FLAGS(given)
  except (JaxkdError, flags.Error) as error:
    fail(str(error))
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    told = str(error).replace("\\n", " ").replace("\\'", "'")
    fail(f"The config does not take that: {told}")


def check_overrides(config: ConfigDict, argv: Sequence[str]) -> None:
  """Refuses flags that set unknown fields, or what a field does not take.

  Raises:
    JaxkdError: naming the field.
  """
  texts = overrides.overrides(argv)
  first = {name: texts[name] for name in resolution.FIRST if texts.get(name)}
  config.update(first)
  overrides.check(declared(config), texts)


def declared(config: ConfigDict) -> Block:
  """The fields of a run, or of a table of runs."""
  return (runner if "cells" in config else resolution).declared(config)


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
    if FIELDS.value:
      print("\n".join(listed_fields()))
    elif PLAN.value:
      print(described())
    else:
      run()
  except JaxkdError as error:
    fail(str(error))
  except Exception as error:
    if not disk_full(error):
      raise
    fail("No space left on the disk. Make room; the same command goes on.")


def listed_fields() -> Iterator[str]:
  """Every field of the config: its value, what it takes, what it means."""
  config = CONFIG.value
  block = declared(config)
  if "cells" in config:  # their fields are alike
    *own, cells = block.fields
    cells = cells._replace(fields=cells.fields[:1])
    block = block._replace(fields=(*own, cells))
  return fields.describe(block, config)


def described() -> str:
  """What a run, or a table of runs, would do."""
  if "cells" in CONFIG.value:
    return runner.describe(CONFIG.value, WORKDIR.value)
  return plan.describe(CONFIG.value)


def run() -> None:
  """A run, or a table of runs; a signal stops it at the next safe point."""
  join()
  received = checkpoints.stop_on_signals()
  try:
    if "cells" in CONFIG.value:
      runner.run(CONFIG.value, WORKDIR.value)
    else:
      distill.distill(None, CONFIG.value, WORKDIR.value)
  except checkpoints.Preempted:
    print("Stopped, with everything saved. The same command goes on.")
    sys.exit(128 + received.get("signal", signal.SIGTERM))


def join() -> None:
  """Becomes one of several processes if the flags say so, of which only the
  first speaks, but for mistakes.
  """
  given = (COORDINATOR.value, NUM_PROCESSES.value, PROCESS_ID.value)
  if not DISTRIBUTED.value:
    if any(part is not None for part in given):
      raise JaxkdError(
        "--coordinator, --num_processes and --process_id go with --distributed."
      )
    return
  if "cells" in CONFIG.value:
    raise JaxkdError(
      "--distributed: a table is many runs for one process; run its cells one "
      "by one, or leave the flag out."
    )
  processes.join(
    *given,
    initialization_s=INITIALIZATION_S.value,
    heartbeat_s=HEARTBEAT_S.value,
  )
  if not processes.is_primary():
    sys.stdout = None


def disk_full(error: BaseException | None) -> bool:
  """Whether a full disk is at the root of it; Orbax wraps the system's word."""
  while error is not None:
    if getattr(error, "errno", None) == errno.ENOSPC:
      return True
    if "No space left on device" in str(error):
      return True
    error = error.__cause__ or error.__context__
  return False


def command() -> None:
  """The console script `jaxkd`."""
  jax.config.parse_flags_with_absl()
  logging.set_verbosity(logging.WARNING)
  app.run(main, flags_parser=parse)


if __name__ == "__main__":
  command()
