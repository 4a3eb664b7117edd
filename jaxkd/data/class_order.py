"""The order of the classes of a user's data, which is that of the teacher."""

from collections import Counter
from collections.abc import Collection
from pathlib import Path
import unicodedata

from jaxkd.runtime.formatting import first_three
from jaxkd.types import JaxkdError


def in_order_of_teacher(
  folder: Path,
  names: tuple[str, ...],
  class_names: tuple[str, ...],
  num_classes: int,
) -> tuple[str, ...]:
  """Returns the classes in the teacher's order, if folders are named so.

  Two of the names may be one class; `same_classes` says which.

  Args:
    folder: of the data, for messages.
    names: of the classes.
    class_names: of the teacher in order; empty if they are not known.
    num_classes: of the teacher; 0 if it is not known.

  Raises:
    JaxkdError: if only some of them are.
  """
  known = same_classes(names, class_names)
  unknown = [name for name in names if name not in known]
  if not unknown:
    written = {known[name]: name for name in names}
    return tuple(written.get(name, name) for name in class_names)
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


def same_classes(
  names: Collection[str], classes: Collection[str]
) -> dict[str, str]:
  """Returns the class that each name means, if there is one: the same name, or
  the only one that differs in nothing but case, accents and underscores.

  >>> same_classes(("Cat", "B", "b", "d"), ("cat", "a", "B", "b"))
  {'Cat': 'cat', 'B': 'B', 'b': 'b'}
  """
  counts = Counter(plain(each) for each in classes)
  by_plain = {plain(each): each for each in classes if counts[plain(each)] == 1}
  exact = set(classes)
  found = {
    name: name if name in exact else by_plain.get(plain(name)) for name in names
  }
  return {name: each for name, each in found.items() if each is not None}


def plain(name: str) -> str:
  """Returns a name as it is compared: systems write accents in two ways."""
  name = unicodedata.normalize("NFKC", name)
  return name.casefold().replace("_", " ").strip()
