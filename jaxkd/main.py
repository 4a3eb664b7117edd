"""The command line of runs and of tables of runs.

  python -m jaxkd.main --config=configs/cake.py [--workdir=DIR]
  python -m jaxkd.main --config=configs/cake.py:smoke --config.seed=1
  python -m jaxkd.main --config=configs/cake.py --plan
  python -m jaxkd.main --config=configs/nasty_table.py --workdir=DIR
  python -m jaxkd.main --config=configs/cake.py --workdir=DIR --distributed
  python -m jaxkd.main --config=configs/cake.py --fields
  python -m jaxkd.main --list

Exit status: 0 for success; 2 for wrong input, with one or two lines that say
what is wrong; 143 after SIGTERM and 130 after SIGINT, with the state saved.
"""

from collections.abc import Iterator, Sequence
import re
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
from jaxkd.runtime import checkpoints, cores, processes
from jaxkd.runtime.files import errors_end_command
from jaxkd.tables import runner

# New attributes are accepted, so that flags can set fields that a config leaves
# out. Unknown ones are refused by the declarations of fields, before any work.
CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "The config file, with arguments behind a colon.",
  lock_config=False,
  accept_new_attributes=True,
)
WORKDIR = flags.DEFINE_string(
  "workdir",
  None,
  "The folder of the run, which continues what it holds; also s3:// or gs://.",
)
LIST = flags.DEFINE_bool(
  "list", False, "List methods, defences, models and data sets."
)
FIELDS = flags.DEFINE_bool(
  "fields",
  False,
  "Print every field of the config and its allowed values, and stop.",
)
PLAN = flags.DEFINE_bool("plan", False, "Print what a run would do, and stop.")
DISTRIBUTED = flags.DEFINE_bool(
  "distributed", False, "Run as one of several processes; see launch/."
)
COORDINATOR = flags.DEFINE_string(
  "coordinator",
  None,
  "HOST:PORT of the first process; set by clusters.",
)
NUM_PROCESSES = flags.DEFINE_integer(
  "num_processes", None, "The number of processes; set by clusters."
)
PROCESS_ID = flags.DEFINE_integer(
  "process_id",
  None,
  "The index of this process, from 0; set by clusters.",
)
INITIALIZATION_S = flags.DEFINE_integer(
  "initialization_s",
  1800,
  "Seconds that processes wait for each other.",
)
HEARTBEAT_S = flags.DEFINE_integer(
  "heartbeat_s",
  300,
  "Seconds after which a silent process counts as dead.",
)


def parse(argv: Sequence[str]) -> Sequence[str]:
  """Parses the flags; wrong ones end the process with one or two lines."""
  option = "--config="
  arguments = [re.sub("^--?config(?==|$)", "--config", text) for text in argv]
  for place in [i for i, text in enumerate(arguments) if text == "--config"]:
    arguments[place : place + 2] = ["=".join(arguments[place : place + 2])]
  try:
    for index, argument in enumerate(arguments):
      # Loaded here as well, because the flag reports errors by tracebacks.
      if argument.startswith(option):
        name = configs.resolve_path(argument.removeprefix(option))
        arguments[index] = option + name
        check_overrides(configs.load_config(name), arguments)
  except JaxkdError as error:
    fail(str(error))
  try:
    return flags.FLAGS(arguments)
  except flags.Error as error:
    fail(str(error))
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    reason = str(error).replace("\\n", " ").replace("\\'", "'")
    fail(f"The config can't be made from these flags: {reason}")


def check_overrides(config: ConfigDict, argv: Sequence[str]) -> None:
  """Checks the fields that flags set.

  Raises:
    JaxkdError: for an unknown field or a value that is not allowed.
  """
  texts = overrides.overrides(argv)
  first = {name: texts[name] for name in resolution.FIRST if texts.get(name)}
  config.update_from_flattened_dict(first)
  if "cells" in config:
    runner.refuse_fields_of_runs(config, texts)
  overrides.check(declared(config), texts)


def declared(config: ConfigDict) -> Block:
  """Returns the declared fields of a run, or of a table of runs."""
  return (runner if "cells" in config else resolution).declared(config)


def main(argv: Sequence[str]) -> None:
  """Runs, plans or lists what the flags ask for."""
  if argv[1:]:
    fail(f"The argument {argv[1]!r} is not a flag; see --help.")
  if LIST.value:
    print(f"methods:   {', '.join(methods.names())}")
    print(f"defences:  {', '.join(defenses.names())}")
    print(f"models:    {', '.join(models.names())}")
    print(f"data sets: {', '.join(data.names())}")
    return
  if CONFIG.value is None:
    fail("--config is missing; try --config=configs/cake.py, or --list.")
  with errors_end_command():
    if FIELDS.value:
      print("\n".join(describe_fields()))
      return
    if not DISTRIBUTED.value:
      use_all_cores()
    if PLAN.value:
      print(describe_plan())
    else:
      run()


def use_all_cores() -> None:
  """Makes a device of JAX of each core that the run, or a table's, can use."""
  config = CONFIG.value
  runs = [config]
  if "cells" in config:
    runs = [cell.config for cell in config.cells.values()]
  batches, sets = zip(*map(resolution.divided, runs), strict=True)
  cores.use_all(sum(batches, []), sum(sets, []))


def describe_fields() -> Iterator[str]:
  """Yields a description of every field of the config."""
  config = CONFIG.value
  block = declared(config)
  if "cells" in config:  # all cells have the same fields
    *table_fields, cells = block.fields
    cells = cells._replace(fields=cells.fields[:1])
    block = block._replace(fields=(*table_fields, cells))
  return fields.describe(block, config)


def describe_plan() -> str:
  """Describes what a run, or a table of runs, would do."""
  if "cells" in CONFIG.value:
    return runner.describe(CONFIG.value, WORKDIR.value)
  return plan.describe(CONFIG.value)


def run() -> None:
  """Runs a method or a table; a signal stops it once its state is saved."""
  join_processes()
  signals = checkpoints.stop_on_signals()
  try:
    if "cells" in CONFIG.value:
      runner.run(CONFIG.value, WORKDIR.value)
    else:
      distill.distill(None, CONFIG.value, WORKDIR.value)
  except checkpoints.Preempted:
    print("Stopped, with the state saved. The same command continues.")
    sys.exit(128 + signals.get("signal", signal.SIGTERM))


def join_processes() -> None:
  """Joins the other processes of a distributed run, if the flags ask for it.

  Only the first process prints, except for errors.
  """
  cluster = (COORDINATOR.value, NUM_PROCESSES.value, PROCESS_ID.value)
  if not DISTRIBUTED.value:
    if any(part is not None for part in cluster):
      raise JaxkdError(
        "--coordinator, --num_processes and --process_id need --distributed."
      )
    return
  if "cells" in CONFIG.value:
    raise JaxkdError(
      "--distributed: a run of a table has one process. Leave the flag out; "
      "several processes of the same command, with one --workdir, share the "
      "runs out among them."
    )
  processes.join(
    *cluster,
    initialization_s=INITIALIZATION_S.value,
    heartbeat_s=HEARTBEAT_S.value,
  )
  if not processes.is_primary():
    sys.stdout = None


def command() -> None:
  """Runs the console script `jaxkd`."""
  jax.config.parse_flags_with_absl()
  logging.set_verbosity(logging.WARNING)
  app.run(main, flags_parser=parse)


if __name__ == "__main__":
  command()
