"""Methods: one file per published system, named as in `config.method`."""

import importlib
import inspect
import pkgutil
from types import ModuleType

from jaxkd.config import checks, fields, user_code
from jaxkd.config.fields import Block
from jaxkd.types import DataSpec, JaxkdError, Method, MethodInfo

PARTS = ("INFO", "FIELDS", "HYPER", "build")  # of a module of a method


def names() -> list[str]:
  """Returns the names of all methods of the package."""
  return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name: str, field: str = "method") -> ModuleType:
  """Returns the module of a method.

  Args:
    name: one of `names()`, or the dotted path of a module outside.
    field: the config field that names it, for messages.

  Raises:
    JaxkdError: if there is no such module, or if it is no method.
  """
  if "." in name:
    return user_code.load_module(field, name, *PARTS)
  checks.choice(field, name, names())
  return importlib.import_module(f"{__name__}.{name}")


def info(name: str) -> MethodInfo:
  """Returns what a method says about itself."""
  return find(name).INFO


def table() -> str:
  """Returns the table of methods in the README, as markdown."""
  heads = ("method", "", *MethodInfo._fields[:5])
  lines = [heads, ["---"] * len(heads)]
  for name in names():
    method = find(name)
    title = method.__doc__.splitlines()[0].removesuffix(".")
    *words, terms = method.INFO[:5]
    lines.append([f"`{name}`", title, *words, ", ".join(terms)])
  return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def build(
  name: str,
  spec: DataSpec,
  hyper: dict,
  synthesis: dict,
  *,
  objective: str = "",
  **plans: int,
) -> Method:
  """Builds a method with its hyper-parameters.

  Args:
    name: of the method.
    spec: of the inputs.
    hyper: numbers of the objective.
    synthesis: the method's own fields.
    objective: name of another method whose objective replaces its own.
    plans: `budget` of queries and `num_images` that are real, for the methods
      that plan by them.

  Raises:
    JaxkdError: for a field of `synthesis` or `hyper` that the method does not
      have or lacks, or a value that it does not take.
  """
  blocks = {"synthesis": synthesis, "hyper": hyper}
  for block in declared(name, objective)[:2]:
    fields.check(block, blocks[block.name], f"{block.name}.")
    blocks[block.name] = fields.filled(block, blocks[block.name])
  factory = find(name).build
  known = plans.keys() & inspect.signature(factory).parameters.keys()
  method = factory(
    spec,
    hyper=blocks["hyper"],
    **blocks["synthesis"],
    **{plan: plans[plan] for plan in known},
  )
  if objective:
    method = method._replace(objective=find(objective).objective)
  return method


def declared(name: str, objective: str = "") -> tuple[Block, Block, Block]:
  """Returns the blocks `synthesis`, `hyper` and `grid` of a method's configs.

  Args:
    name: of the method.
    objective: name of the method whose objective replaces its own.

  Raises:
    JaxkdError: if there is no such method, or if another one can't use its
      objective.
  """
  method = find(name)
  numbers = with_objective(objective).HYPER if objective else method.HYPER
  values = (
    number._replace(
      type=tuple[number.type, ...],
      default=None,
      meaning=f"Values that take the place of hyper.{number.name}.",
    )
    for number in numbers
  )
  return (
    Block("synthesis", "How images are made.", method.FIELDS),
    Block("hyper", "Numbers of the student's objective.", numbers),
    Block("grid", "Numbers of which all are tried.", tuple(values)),
  )


def exports_objective(method: ModuleType) -> bool:
  """Returns whether other methods can use the objective of this one."""
  return hasattr(method, "objective")


def with_objective(name: str) -> ModuleType:
  """Returns the method `name`, whose objective another method uses.

  Raises:
    JaxkdError: if other methods can't use it.
  """
  method = find(name, "objective")
  if not exports_objective(method):
    known = [other for other in names() if exports_objective(find(other))]
    raise JaxkdError(
      f"objective={name}: its objective belongs to its own images; choose "
      f"one of {', '.join(known)}."
    )
  return method
