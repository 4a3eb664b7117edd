"""Networks with changed outputs: scaled, converted, or defended.

`ChangedApply` is the one that applies another network; what it changes is a
frozen dataclass of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

from jaxkd.models.network_outputs import OutputReader
from jaxkd.types import ApplyFn, Array, Outputs, Variables


@dataclass(frozen=True)
class ChangedApply:
  """Applies a network and changes its outputs.

  Attributes:
    apply: of the network.
    change: from its outputs, and the images `[B, ...]` in pixel space that they
      answer, to others; equal ones have equal hashes.
  """

  apply: ApplyFn
  change: Callable[[Outputs, Array], Outputs]

  def __call__(
    self,
    variables: Variables,
    images: Array,
    *,
    train: bool = False,
    rng: Array | None = None,
  ) -> tuple[Outputs, Variables]:
    outputs, changed = self.apply(variables, images, train=train, rng=rng)
    return self.change(outputs, images), changed


@dataclass(frozen=True)
class LogitScale:
  """Multiplies logits, and those of heads.

  Attributes:
    factor: above 0, so that the predicted classes stay.
  """

  factor: float

  def __call__(self, outputs: Outputs, images: Array) -> Outputs:
    del images
    heads = tuple(head * self.factor for head in outputs.heads)
    return outputs._replace(logits=outputs.logits * self.factor, heads=heads)


@dataclass(frozen=True)
class Conversion:
  """Converts outputs that are of another kind to logits.

  Attributes:
    kind: as in `jaxkd.models.network_outputs.to_logits`.
  """

  kind: str

  def __call__(self, outputs: Outputs, images: Array) -> Outputs:
    del images
    return OutputReader(kind=self.kind)(outputs)
