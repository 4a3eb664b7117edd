"""Which channels of a group a narrower network keeps."""

from typing import NamedTuple

import numpy as np

RIDGE = 1e-4  # relative to the mean of a diagonal
MAX_STEPS = 32  # after which all channels are chosen


class Reader(NamedTuple):
  """A layer that reads the channels of a group.

  Attributes:
    gram: `[C, b, C, b]`, products of its inputs, summed over positions of
      images, about their mean; b inputs belong to a channel.
    matrix: `[C, b, O]`, the weights of these inputs.
  """

  gram: np.ndarray
  matrix: np.ndarray


def choose(readers: list[Reader], count: int) -> np.ndarray:
  """Chooses channels from which the results of their readers can be made.

  The channel that explains most of what the chosen ones do not, by least
  squares, is added until there are enough (forward selection); of many
  channels, several are added at once. Readers count by the share of their
  results.

  Args:
    readers: at least one.
    count: of channels to keep.

  Returns:
    Their indices `[count]`, in ascending order.
  """
  states = [_State(reader) for reader in readers]
  kept: list[int] = []
  while len(kept) < count:
    gain = np.nan_to_num(sum(state.gains() for state in states))
    gain[kept] = -np.inf
    added = min(-(-count // MAX_STEPS), count - len(kept))
    best = np.argsort(-gain)[:added]
    kept += best.tolist()
    for state in states:
      state.keep(best)
  return np.sort(kept)


class _State:
  """What the chosen channels leave of a reader's inputs and results."""

  def __init__(self, reader: Reader):
    channels, block = reader.gram.shape[:2]
    size = channels * block
    gram = reader.gram.reshape(size, size).astype(np.float64)
    matrix = reader.matrix.reshape(size, -1).astype(np.float64)
    self._ridge = RIDGE * max(np.trace(gram) / size, 1e-12)
    self._gram = gram
    self._results = gram @ matrix
    self._total = max((matrix * self._results).sum(), 1e-12)
    self._shape = channels, block

  def gains(self) -> np.ndarray:
    """Returns the share of the results that each channel explains, `[C]`."""
    channels, block = self._shape
    blocks = self._gram.reshape(channels, block, channels, block)
    own = np.einsum("cicj->cij", blocks) + self._ridge * np.eye(block)
    results = self._results.reshape(channels, block, -1)
    weights = np.linalg.solve(own, results)
    return np.einsum("cio,cio->c", results, weights) / self._total

  def keep(self, channels: np.ndarray) -> None:
    """Takes out what channels explain."""
    block = self._shape[1]
    rows = (channels[:, None] * block + np.arange(block)).reshape(-1)
    own = self._gram[np.ix_(rows, rows)]
    own = own + self._ridge * np.eye(len(rows))
    columns = self._gram[:, rows]
    self._gram -= columns @ np.linalg.solve(own, columns.T)
    self._results -= columns @ np.linalg.solve(own, self._results[rows])
