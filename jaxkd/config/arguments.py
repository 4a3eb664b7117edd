"""Argument strings choose the recipe of a config.

They stand behind the colon in `--config=configs/cake.py:dataset=mnist,smoke`.
"""

from typing import Any, TypeVar

from jaxkd.config import checks
from jaxkd.errors import JaxkdError

Row = TypeVar("Row")
ARGUMENTS = ("dataset", "teacher", "student", "seeds", "smoke")


def arguments(argument: str, **defaults: str | bool) -> dict[str, Any]:
  """Parses `dataset=mnist,student=vit4,smoke` into a dict, over the defaults.

  An argument that is true or false by default needs no value.

  Raises:
    JaxkdError: for an unknown argument, or one without its value.
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
    JaxkdError: for the first of them that was given.
  """
  for name in names:
    if name in args:
      raise JaxkdError(
        f"{name}={args[name]}: the table decides that for its cells; leave it "
        "out."
      )


def without(argument: str, *names: str) -> str:
  """Returns an argument string without the parts of these names.

  >>> without("attack=dfme,smoke", "attack")
  'smoke'
  """
  parts = [part.strip() for part in (argument or "").split(",")]
  return ",".join(p for p in parts if p.partition("=")[0] not in names)


def lookup(table: dict[str, Row], key: str, name: str = "dataset") -> Row:
  """Returns a row of a config's table, as a rule that of a data set.

  Raises:
    JaxkdError: if there is no such row.
  """
  checks.choice(name, key, table)
  return table[key]


def lookup_sized(
  args: dict[str, Any], by_name: dict[str, Row], by_size: dict[int, Row]
) -> Row:
  """Returns the row of a data set, or that of a size of images.

  Args:
    args: with `dataset`, and with `image_size`, the side of the images in
      pixels, which lets `dataset` be any data, or 0.
    by_name: rows of data sets.
    by_size: rows by the smallest side that they are for.

  Raises:
    JaxkdError: if neither has a row.

  >>> args = {"dataset": "photos", "image_size": "100"}
  >>> lookup_sized(args, {}, {0: "small", 48: "large", 128: "larger"})
  'large'
  """
  size, name = number(args, "image_size"), args["dataset"]
  if size > 0:
    return by_size[max(least for least in by_size if least <= size)]
  if size < 0:
    raise JaxkdError(f"image_size={size}: it must be 0 or above.")
  if name not in by_name:
    raise JaxkdError(
      f"{checks.unknown('dataset', name, by_name)} For other data, give the "
      f"side of the images: dataset={name},image_size=64."
    )
  return by_name[name]


def number(args: dict[str, Any], name: str, kind: type = int) -> float:
  """Returns the argument `name` as a number of a kind, `int` or `float`.

  Raises:
    JaxkdError: if it is none.
  """
  try:
    return kind(args[name])
  except ValueError:
    noun = "an integer" if kind is int else "a number"
    raise JaxkdError(f"{name}={args[name]}: choose {noun}.") from None
