"""The rows of `configs/README.md`: configs whose results it shows.

They are declared in `configs/results/rows.toml`, beside the records.
"""

import itertools
from pathlib import Path
import re
import tomllib
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from jaxkd import config as configs
from jaxkd.config import fields
from jaxkd.config.files import PACKAGE
from jaxkd.errors import JaxkdError
from jaxkd.pipeline import resolution
from jaxkd.runtime.files import to_json
from jaxkd.runtime.run_folder import CHANGEABLE, flatten

RESULTS = PACKAGE / "configs" / "results"
ROWS = RESULTS / "rows.toml"
# Fields that may differ between runs of a row: the seed, and what changes no
# number.
FREE = ("seed", *CHANGEABLE)


class Row(NamedTuple):
  """A config whose results are shown, over one or several seeds.

  Attributes:
    config: what follows `--config=`.
    overrides: further values, by the dotted names of their fields.
    reproduces: what its number is to be compared with.
    published: the published number, as text; empty if there is none.
    not_run: why there is no record, where there is none.
    pattern: the entry's `config` in `rows.toml`, with braces for several rows.
    is_table: whether its config has cells.
  """

  config: str
  overrides: dict[str, Any]
  reproduces: str
  published: str
  not_run: str
  pattern: str
  is_table: bool

  @property
  def command(self) -> str:
    """What follows `--config=` on the command line."""
    return self._with_flags(self.config)

  @property
  def commands(self) -> str:
    """The commands of all rows of its entry, with braces as in a shell."""
    return self._with_flags(self.pattern)

  def _with_flags(self, config: str) -> str:
    flags = [f"--config.{name}={v}" for name, v in self.overrides.items()]
    return " ".join([config, *flags])

  @property
  def record_name(self) -> str:
    """Name of the file of its record."""
    command = self.command.replace("configs/", "").replace("--config.", "")
    return f"{configs.slug(command.replace('.py', ''))}.json"

  def load(self) -> ConfigDict:
    """Loads the config, with the row's overrides."""
    config = configs.load_config(str(PACKAGE / self.config))
    config.update_from_flattened_dict(self.overrides)
    return config


def read_rows(path: Path = ROWS) -> list[Row]:
  """Reads the declared rows, in order.

  Raises:
    JaxkdError: if there is no such file.
  """
  try:
    content = tomllib.loads(path.read_text(encoding="utf-8"))
  except FileNotFoundError as error:
    raise JaxkdError(
      f"{path} does not exist; results are kept in a checkout of jaxkd and not "
      "in an installed package."
    ) from error
  entries = [
    (kind == "tables", entry)
    for kind in ("runs", "tables")
    for entry in content[kind]
  ]
  return [
    Row(
      config,
      {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in entry.get("overrides", {}).items()
      },
      entry["reproduces"],
      entry.get("published", ""),
      entry["not_run"],
      entry["config"],
      is_table,
    )
    for is_table, entry in entries
    for config in expand(entry["config"])
  ]


def expand(text: str) -> list[str]:
  """Expands braces as a shell does.

  >>> expand("a.py:seed={0,1},b")
  ['a.py:seed=0,b', 'a.py:seed=1,b']
  """
  parts = re.split(r"\{(.*?)\}", text)
  choices = [
    part.split(",") if index % 2 else [part] for index, part in enumerate(parts)
  ]
  return ["".join(chosen) for chosen in itertools.product(*choices)]


def asked_values(config: ConfigDict) -> dict[str, Any]:
  """Returns all values of a config as JSON has them, by dotted names."""
  filled = fields.filled(resolution.declared(config), config)
  return flatten(to_json(ConfigDict(filled).to_dict()))


def differences(config: ConfigDict, recorded: dict[str, Any]) -> list[str]:
  """Lists the fields in which a recorded run differs from a config of today.

  The seed does not count, nor what changes no number, nor a field that was
  added since and is at its default, nor an automatic value.

  Args:
    config: of a run, as it is asked for.
    recorded: the resolved config, as `report.json` has it.

  Returns:
    A text for each field, with both values.
  """
  asked, before = asked_values(config), flatten(recorded)
  block = resolution.declared(config)
  defaults = flatten(to_json(fields.defaults(block)))
  texts = []
  for name in sorted(asked.keys() | before.keys()):
    now, then = asked.get(name), before.get(name)
    added = name not in before and name in defaults and now == defaults[name]
    automatic = name in resolution.AUTOMATIC and now == 0
    if now == then or name in FREE or added or automatic:
      continue
    texts.append(f"{name} {_text(now)}, recorded {_text(then)}")
  return texts


def _text(value: object) -> str:
  return "absent" if value is None else f"{value!r}"
