"""Image files of a folder, by the names that tables have for them."""

from pathlib import Path, PurePosixPath
import unicodedata
from urllib.parse import unquote

from jaxkd.data.pictures import is_image_file
from jaxkd.data.split_folders import is_only_split, readable, split_of, walk
from jaxkd.runtime.formatting import first_three
from jaxkd.types import JaxkdError


class NamedImages:
  """The images in a folder and below it.

  A table may name an image by its path in this folder or on another computer,
  by a part of the path, with or without the extension, or by an address.

  Args:
    folder: of the images.
  """

  def __init__(self, folder: Path):
    self.folder = folder
    self.files = sorted(path for path in walk(folder) if is_image_file(path))
    self._by_stem: dict[str, list[Path]] = {}
    for path in self.files:
      stem = _folded(readable(path.stem))
      self._by_stem.setdefault(stem, []).append(path)

  def in_class_folders(self) -> bool:
    """Returns whether the images are in several folders that are no splits."""
    below = {path.relative_to(self.folder).parts[:-1] for path in self.files}
    kinds = {tuple(p for p in parts if not is_only_split(p)) for parts in below}
    return len(kinds) > 1

  def has(self, name: str) -> bool:
    """Returns whether a name is that of an image, or of several."""
    return bool(self._candidates(_parts(name)))

  def find(self, name: str, table: Path, split: str) -> Path | None:
    """Returns the image that a table means, or None if there is none.

    Args:
      name: of the image.
      table: of several images with one name, that beside it is meant, or below
        a folder of its name.
      split: to which the image belongs by the table; empty if it doesn't say.

    Raises:
      JaxkdError: if several images may be meant.
    """
    parts = _parts(name)
    candidates = self._candidates(parts)
    beside = table.parent.relative_to(self.folder).parts
    ranks = {
      path: self._rank(path, parts, beside, table.stem, split)
      for path in candidates
    }
    best = max(ranks.values(), default=None)
    found = [path for path in candidates if ranks[path] == best]
    if len(found) > 1:
      paths = [path.relative_to(self.folder).as_posix() for path in found]
      raise JaxkdError(
        f"{table} names {name}, and there are {len(found)} such images "
        f"({first_three(map(readable, paths))}); write its folder into the "
        "table too."
      )
    return found[0] if found else None

  def _candidates(self, parts: list[str]) -> list[Path]:
    if not parts:
      return []
    last = PurePosixPath(parts[-1])
    whole = self._by_stem.get(_folded(last.name), [])
    if not is_image_file(last):
      return whole
    named = self._by_stem.get(_folded(last.stem), [])
    suffix = last.suffix.lower()
    return [path for path in named if path.suffix.lower() == suffix] or whole

  def _rank(
    self,
    path: Path,
    parts: list[str],
    beside: tuple[str, ...],
    stem: str,
    split: str,
  ) -> tuple[int | bool, ...]:
    """Returns how well a path fits a name, of whose last part it is."""
    own = [_folded(readable(p)) for p in path.relative_to(self.folder).parts]
    own, around = own[:-1], [_folded(part) for part in parts[:-1]]
    common = _common(own, around)
    is_whole = len(own) == common == len(around)
    beside = [_folded(readable(part)) for part in beside]
    return (
      common,
      is_whole and bool(around),
      _common(own, [*beside, *around]) + _common(own, [_folded(stem), *around]),
      bool(split) and any(split_of(part) == split for part in own[:1]),
      is_whole,
    )


def _parts(name: str) -> list[str]:
  r"""Returns the parts of a path as any system writes it, or of an address.

  >>> _parts(r".\a\b.png"), _parts("file:///a/b%201.png")
  (['a', 'b.png'], ['file:', 'a', 'b 1.png'])
  """
  # Label Studio names files on its computer behind `?d=`.
  name = name.strip().replace("\\", "/").rpartition("?d=")[-1]
  if "://" in name or "%" in name:
    name = unquote(name)
  return [part for part in name.split("/") if part not in ("", ".", "..")]


def _folded(text: str) -> str:
  """Returns a part of a path as it is compared."""
  return unicodedata.normalize("NFC", text).casefold()


def _common(a: list[str], b: list[str]) -> int:
  """Returns how many parts are equal at the ends."""
  count = 0
  for one, other in zip(reversed(a), reversed(b), strict=False):
    if one != other:
      break
    count += 1
  return count
