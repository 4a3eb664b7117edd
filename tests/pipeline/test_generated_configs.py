"""Configs and command lines with random values end in a plan, or in a line that
names a field.
"""

import functools
import random

from absl import flags
from ml_collections import ConfigDict
import pytest

import jaxkd
from jaxkd import main
from jaxkd.config.fields import Block
from jaxkd.pipeline import plan, resolution
from jaxkd.types import JaxkdError

# ml_collections loads config files by it.
pytestmark = pytest.mark.filterwarnings(
  "ignore:the load_module:DeprecationWarning"
)

BASES = (
  "cake.py:dataset=two_moons,smoke", "ideal.py:smoke", "knockoff.py:smoke",
  "dfme.py:smoke", "zskt.py:smoke", "cmi.py:smoke", "scm.py:smoke",
)  # fmt: skip
VALUES = (
  0, 1, -1, 2, 7, 10**20, -5, 0.5, -0.5, 1e-9, 1e30, float("nan"),
  float("inf"), True, False, None, "", "x", "none", "mlp", "~/no", "a:b",
  "../..", "zwölf", (), (1,), (0.5, 2), ("x",), (1, "x"), [1], {"a": 1}, {},
  b"x", 1j, object(),
)  # fmt: skip
FILES = (
  "cake", "audit", "dafl", "ideal", "kd", "lake", "procedural", "skeptical",
  "kl_table", "zsdb3kd",
)  # fmt: skip
ARGUMENTS = (
  "dataset", "teacher", "student", "access", "budget", "recipe", "attack",
  "select", "seeds", "smoke", "unknown",
)  # fmt: skip
TEXTS = (
  "0", "-1", "2", "1" + "0" * 20, ".5", "1e400", "nan", "-inf", "True", "None",
  "", "x", "mlp", "two_moons", "label", "published", "~/no", "a:b", "../..",
  "zwölf", "()", "(.5,2)", "(1,'x')", "{'a':1}", "b'x'", "1j", "'", "(", "\\",
  "%s", "{0}", "\n", "1,2", "a=b", "configs/cake.py",
)  # fmt: skip


@functools.cache
def base(name):
  return jaxkd.load_config(f"configs/{name}")


def paths(block, values, prefix=""):
  """The dotted names of all fields and blocks that a config has."""
  for field in block.fields:
    name = f"{prefix}{field.name}"
    yield name
    if isinstance(field, Block) and field.name in values:
      yield from paths(field, values[field.name], f"{name}.")


def change(config, path, value):
  """Sets a field, whatever its type was."""
  *blocks, name = path.split(".")
  for block in blocks:
    config = config.get(block)
    if not isinstance(config, ConfigDict):
      return  # the block was replaced by a value before
  with config.ignore_type(), config.unlocked():
    config[name] = value


def generated(rng):
  """A config with a few random values, and the names of their fields."""
  config = base(rng.choice(BASES)).copy_and_resolve_references()
  names = list(paths(resolution.declared(config), config))
  changes = {
    rng.choice([*names, "synthesis.unknown", "unknown", "teacher.unknown"]): (
      rng.choice(VALUES)
    )
    for _ in range(rng.randint(1, 3))
  }
  for path, value in changes.items():
    change(config, path, value)
  return config, changes


def generated_command(rng):
  """Flags with random texts, and the names of fields and arguments in them."""
  arguments = {
    rng.choice(ARGUMENTS): rng.choice(TEXTS) for _ in range(rng.randint(0, 2))
  }
  texts = [f"{n}={t}" if n != "smoke" else n for n, t in arguments.items()]
  file = f"configs/{rng.choice(FILES)}.py:{','.join([*texts, 'smoke'])}"
  try:
    config = jaxkd.load_config(file)
  except JaxkdError:
    return [f"--config={file}"], arguments
  names = [*paths(main.declared(config), config), "unknown", "teacher.unknown"]
  fields = {
    rng.choice(names): rng.choice(TEXTS) for _ in range(rng.randint(1, 2))
  }
  overrides = [f"--config.{name}={text}" for name, text in fields.items()]
  return [f"--config={file}", *overrides], {*arguments, *fields}


def plan_of(argv):
  """Plans what flags ask for, as the command line does."""
  flags.FLAGS.unparse_flags()
  try:
    main.main(main.parse(["jaxkd", *argv, "--plan"]))
  finally:
    for name in list(flags.FLAGS):
      if name.startswith("config."):  # of this command line alone
        delattr(flags.FLAGS, name)


def check(seed):
  config, changes = generated(random.Random(seed))
  try:
    plan.describe(config)
  except JaxkdError as error:
    check_message(str(error), changes)


def check_command(seed, capsys):
  argv, changes = generated_command(random.Random(seed))
  try:
    plan_of(argv)
  except SystemExit as end:
    assert end.code == 2
    check_message(capsys.readouterr().err, changes)


def check_message(message, changes):
  assert len(message.splitlines()) <= 2, message
  names = {part for path in changes for part in path.split(".")}
  assert any(name in message for name in names), (changes, message)


def test_twenty_plans_or_lines(capsys):
  for seed in range(10):
    check(seed)
    check_command(seed, capsys)


@pytest.mark.slow
def test_three_hundred_plans_or_lines(capsys):
  for seed in range(150):
    check(seed)
    check_command(seed, capsys)


def test_a_bug_keeps_its_traceback(monkeypatch):
  def describe(config):
    return config.seed / 0

  monkeypatch.setattr(plan, "describe", describe)
  with pytest.raises(ZeroDivisionError):
    plan_of([f"--config=configs/{BASES[0]}"])
