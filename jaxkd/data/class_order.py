"""The order of the classes of a user's data, which is that of the teacher."""

from pathlib import Path
import unicodedata

from jaxkd.data.shapes import first_three
from jaxkd.types import JaxkdError


def in_order_of_teacher(
  folder: Path,
  names: tuple[str, ...],
  class_names: tuple[str, ...],
  num_classes: int,
) -> tuple[str, ...]:
  """Returns the classes in the teacher's order, if folders are named so.

  Args:
    folder: of the data, for messages.
    names: of the classes.
    class_names: of the teacher in order; empty if they are not known.
    num_classes: of the teacher; 0 if it is not known.

  Raises:
    JaxkdError: if only some of them are.
  """
  known = {plain(name): index for index, name in enumerate(class_names)}
  unknown = [name for name in names if plain(name) not in known]
  if not unknown:
    ordered = list(class_names)
    for name in names:
      ordered[known[plain(name)]] = name
    return tuple(ordered)
  if len(names) < num_classes and all(name.isdecimal() for name in names):
    numbers = {int(name): name for name in names}
    if len(numbers) == len(names) and max(numbers) < num_classes:
      return tuple(numbers.get(k, str(k)) for k in range(num_classes))
  if class_names and len(unknown) < len(names):
    raise JaxkdError(
      f"{folder}: {first_three(unknown)} is none of the teacher's classes "
      f"({first_three(class_names)}), as others are; rename or remove it."
    )
  return names


def plain(name: str) -> str:
  """Returns a name as it is compared: systems write accents in two ways."""
  name = unicodedata.normalize("NFKC", name)
  return name.casefold().replace("_", " ").strip()
