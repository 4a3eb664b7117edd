"""Normalisers inside of PyTorch state dicts: buffers of mean and std."""

from collections.abc import Mapping
import re
from typing import NamedTuple

import numpy as np

from jaxkd.types import DataSpec, JaxkdError

_LEAF = re.compile(
  r"(?P<stem>(?!running_)(?:\w*_)?)"
  r"(?:(?P<mean>means?|mu)|(?P<std>stds?|stdev|std_dev|sigma)"
  r"|(?P<var>vars?|variances?))(?:_(?:buf|buffer|tensor|vals?|values?)?)?",
  re.IGNORECASE,
)
TOLERANCE = 1e-3  # of flags that people round
# A mean or a standard deviation above it is one of pixels of 0 to 255.
_LARGEST_MEAN, _LARGEST_STD = 1, 16


class StoredNormaliser(NamedTuple):
  """A mean and a standard deviation that a state dict holds.

  Attributes:
    names: of the tensors.
    mean: for pixels in [0, 1].
    std: for pixels in [0, 1].
  """

  names: tuple[str, ...]
  mean: tuple[float, ...]
  std: tuple[float, ...]

  @property
  def flags(self) -> str:
    """The flags of `jaxkd.import_teacher` that say the same."""
    parts = (",".join(f"{v:.6g}" for v in part) for part in self[1:])
    return "--mean={} --std={}".format(*parts)

  def check(self, spec: DataSpec) -> None:
    """Checks that the normaliser of a spec is the same.

    Raises:
      JaxkdError: if it is not; the message has the flags.
    """
    for own, given in ((self.mean, spec.mean), (self.std, spec.std)):
      own = np.broadcast_to(own, np.shape(given))
      if not np.allclose(own, given, rtol=TOLERANCE, atol=TOLERANCE):
        raise JaxkdError(
          f"The file holds a normaliser ({' and '.join(self.names)}), which "
          f"is not that of --mean and --std; set {self.flags}"
        )


def find_normaliser(
  tensors: Mapping[str, np.ndarray], channels: int
) -> StoredNormaliser | None:
  """Returns the normaliser that tensors with names such as `mu` and `sigma`, or
  `normalize.mean` and `normalize.std`, hold.

  Args:
    tensors: by name.
    channels: of the images; 0 if they are not known.
  """
  pairs: dict[str, dict[str, str]] = {}
  for name, tensor in tensors.items():
    match = _LEAF.fullmatch(name.rpartition(".")[2])
    sizes = (1, channels) if channels else (1, 2, 3, 4)
    is_number = tensor.dtype.kind in "fiu"
    if match and is_number and tensor.size in sizes and _is_vector(tensor):
      stem = name[: len(name) - len(match[0])] + match["stem"]
      kind = next(kind for kind in ("mean", "std", "var") if match[kind])
      pairs.setdefault(stem, {})[kind] = name
  # A variance alone may be anything.
  pairs = {stem: pair for stem, pair in pairs.items() if {*pair} != {"var"}}
  if not pairs:
    return None
  pair = max(pairs.values(), key=len)
  mean, std, var = (
    tensors[pair[kind]].ravel().astype(float) if kind in pair else default
    for kind, default in (
      ("mean", np.zeros(1)),
      ("std", np.ones(1)),
      ("var", np.ones(1)),
    )
  )
  if "std" not in pair:
    std = np.sqrt(np.maximum(var, 0))
  if (std <= 0).any():
    return None
  if np.abs(mean).max() > _LARGEST_MEAN or std.max() > _LARGEST_STD:
    mean, std = mean / 255, std / 255
  return StoredNormaliser(
    tuple(pair.values()), tuple(mean.tolist()), tuple(std.tolist())
  )


def _is_vector(tensor: np.ndarray) -> bool:
  """Returns whether no axis but that of the channels is longer than 1."""
  return sum(size > 1 for size in tensor.shape) <= 1
