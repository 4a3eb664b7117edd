"""Images with labels and answers, and the store that holds them."""

from typing import NamedTuple

import flax

from jaxkd.types.classifier import Array


class Samples(NamedTuple):
  """Images with labels and targets; all arrays have the same leading axes.

  Attributes:
    images: `[N, H, W, C]` float32 pixels (points `[N, D]` in toy tasks); uint8
      where a black box answers 8-bit images.
    labels: `[N]` int32, the class for which an image was made; -1 without one.
    targets: the teacher's answers: log-probabilities `[N, K]` up to a constant,
      or `[N]` int32 from a teacher that returns labels only; None before the
      teacher was asked.
    extras: further arrays `[N, ...]` by name, e.g. the step size.
  """

  images: Array
  labels: Array
  targets: Array | None = None
  extras: dict[str, Array] = {}  # never written to


@flax.struct.dataclass
class SampleStore:
  """A ring buffer of the samples that the student is trained on.

  The functions of `jaxkd.training.sample_store` fill and read it.

  Attributes:
    samples: arrays `[capacity, ...]`.
    inserted: number of samples that were ever inserted, int32.
  """

  samples: Samples
  inserted: Array

  @property
  def capacity(self) -> int:
    return self.samples.labels.shape[0]
