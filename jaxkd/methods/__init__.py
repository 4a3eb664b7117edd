"""One file per published method; the file's name is what `config.method`
says.
"""

import importlib
import inspect
import pkgutil
from types import ModuleType

from jaxkd.config import checks
from jaxkd.training import objectives
from jaxkd.types import DataSpec, JaxkdError, Method, MethodInfo


def names() -> list[str]:
  """All methods that there are."""
  return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name: str) -> ModuleType:
  """The module of a method: a name from `names()` or a dotted path outside.

  Raises:
    JaxkdError: naming the nearest methods.
  """
  if "." not in name and name not in names():
    raise JaxkdError(checks.unknown("method", name, names()))
  path = name if "." in name else f"{__name__}.{name}"
  try:
    module = importlib.import_module(path)
  except ImportError as error:
    raise JaxkdError(f"Method {name!r} can't be imported: {error}.") from error
  for part in ("INFO", "build"):
    if not hasattr(module, part):
      raise JaxkdError(
        f"Method {name!r} has no {part}; see jaxkd/methods/README.md."
      )
  return module


def info(name: str) -> MethodInfo:
  """The facts that a method states about itself."""
  return find(name).INFO


def table() -> str:
  """The table of methods in the README, as markdown."""
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
  """The method with its hyper-parameters.

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
      have or lacks, or a value that can't be.
  """
  factory = find(name).build
  parameters = inspect.signature(factory).parameters
  given = {"spec", "hyper", *plans}
  expected = [p for p in parameters if p not in given]
  for field in synthesis:
    if field not in expected:
      raise JaxkdError(
        f"{name}: " + checks.unknown("field synthesis", field, expected)
      )
  missing = [
    field
    for field in expected
    if field not in synthesis
    and parameters[field].default is inspect.Parameter.empty
  ]
  if missing:
    raise JaxkdError(f"{name} needs synthesis.{', synthesis.'.join(missing)}.")
  known = {name: plans[name] for name in plans if name in parameters}
  method = factory(spec, hyper=hyper, **synthesis, **known)
  if objective:
    method = with_objective(method, objective)
  elif method.objective is objectives.kd:
    checks.keys("hyper", method.hyper, ("temperature", "alpha"))
  if "temperature" in method.hyper:
    checks.positive(**{"hyper.temperature": method.hyper["temperature"]})
  return method


def exports_objective(method: ModuleType) -> bool:
  """Whether its objective, and the numbers of that, are not its own affair."""
  return hasattr(method, "objective") and hasattr(method, "HYPER")


def with_objective(method: Method, name: str) -> Method:
  """The method with the objective of method `name`.

  Raises:
    JaxkdError: if that has none to lend, or takes other numbers.
  """
  lender = find(name)
  if not exports_objective(lender):
    lenders = [other for other in names() if exports_objective(find(other))]
    raise JaxkdError(
      f"objective={name}: its objective belongs to its own images; choose "
      f"one of {', '.join(lenders)}."
    )
  checks.keys(f"hyper (objective={name})", method.hyper, lender.HYPER)
  return method._replace(objective=lender.objective)
