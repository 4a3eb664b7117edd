"""Argument strings: what stands behind the colon in
`--config=configs/cake.py:dataset=mnist,smoke`.
"""

from typing import Any

from jaxkd.config import checks
from jaxkd.errors import JaxkdError

ARGUMENTS = ("dataset", "teacher", "student", "seeds", "smoke")


def arguments(argument: str, **defaults: str | bool) -> dict[str, Any]:
  """`dataset=mnist,student=vit4,smoke` as a dict, over the defaults; what is
  true or false by default needs no value.

  Raises:
    JaxkdError: for an argument that there is not, or one without its value.
  """
  args: dict[str, Any] = {"smoke": False, **defaults}
  allowed = {*ARGUMENTS, *defaults}
  for part in filter(None, (argument or "").split(",")):
    name, equals, value = part.strip().partition("=")
    checks.choice("config argument", name, sorted(allowed))
    if isinstance(args.get(name), bool):
      args[name] = value.lower() not in ("0", "false", "no")
    elif not equals or not value:
      raise JaxkdError(f"The config argument {name} needs a value: {name}=...")
    else:
      args[name] = value
  return args


def forbid(args: dict[str, Any], *names: str) -> None:
  """Refuses arguments that a table decides for its cells.

  Raises:
    JaxkdError: naming the first that was given all the same.
  """
  for name in names:
    if name in args:
      raise JaxkdError(
        f"{name}={args[name]}: the table decides that for its cells; leave it "
        "out."
      )


def without(argument: str, *names: str) -> str:
  """An argument string without the parts of these names.

  >>> without("attack=dfme,smoke", "attack")
  'smoke'
  """
  parts = [part.strip() for part in (argument or "").split(",")]
  return ",".join(p for p in parts if p.partition("=")[0] not in names)


def lookup(table: dict[str, Any], key: str, name: str = "dataset") -> Any:
  """A row of a config's table, that of a data set as a rule.

  Raises:
    JaxkdError: naming the rows that there are.
  """
  checks.choice(name, key, table)
  return table[key]
