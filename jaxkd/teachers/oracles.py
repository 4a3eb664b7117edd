"""The interface of a teacher, and the two teachers that run in this process.

`WhiteBox` gives full access to a network; `BlackBox` gives the answers that an
interface in front of it would give.
"""

from typing import Protocol

import flax
import jax
import jax.numpy as jnp
import numpy as np

from jaxkd.data import to_float
from jaxkd.defenses import top_k as defense_top_k
from jaxkd.evaluation.predictions import log_probs
from jaxkd.models.network_outputs import MIN_PROBABILITY
from jaxkd.types import Array, Classifier, JaxkdError

CHUNK = 512  # images that a black box answers at once, which bounds its memory


class Oracle(Protocol):
  """The interface that every teacher offers to methods."""

  @property
  def access(self) -> str:
    """What it answers with, one of `jaxkd.config.ACCESS_LEVELS`."""
    ...

  @property
  def eight_bit(self) -> bool:
    """Whether it takes uint8 images; else floats."""
    ...

  @property
  def in_process(self) -> bool:
    """Whether `answer` can be jitted; if not, it runs on the host."""
    ...

  def answer(self, images: Array | np.ndarray) -> Array | np.ndarray:
    """Returns labels `[N]` int32 or scores `[N, K]` for `images [N, ...]`."""
    ...


class HostOracle(Oracle, Protocol):
  """A teacher that is asked from the host, for a purpose that is recorded."""

  def answer(self, images: np.ndarray, kind: str = "train") -> np.ndarray:
    """Answers uint8 `images [N, H, W, C]`; `kind` is one of `QUERY_KINDS`."""
    ...

  @property
  def reason(self) -> str:
    """Why the last request had no valid answer; empty if it had one."""
    ...


@flax.struct.dataclass
class WhiteBox:
  """A teacher with full access: methods may differentiate through it.

  Attributes:
    classifier: the network.
  """

  classifier: Classifier

  access = "white_box"
  eight_bit = False
  in_process = True

  def answer(self, images: Array) -> Array:
    """Returns log-probabilities `[N, K]` for `images [N, ...]`; jittable."""
    return log_probs(self.classifier, images)


@flax.struct.dataclass
class BlackBox:
  """A teacher in this process that shows no more than an interface would.

  Attributes:
    hidden: the network behind the interface; methods have no access to it.
    access: `label`, `top_k`, `probs` or `logits`.
    top_k: the number of classes whose probabilities `top_k` shows.
    eight_bit: whether it takes uint8 images; else floats.
  """

  hidden: Classifier
  access: str = flax.struct.field(pytree_node=False)
  top_k: int = flax.struct.field(pytree_node=False, default=1)
  eight_bit: bool = flax.struct.field(pytree_node=False, default=True)

  in_process = True

  def answer(self, images: Array) -> Array:
    """Returns what the access allows for `images [N, ...]`; jittable.

    That is labels `[N]` int32, log-probabilities `[N, K]` or logits `[N, K]`.
    """

    def one(image: Array) -> Array:
      logits = self.hidden(to_float(image[None])).logits[0]
      return restrict_output(logits, self.access, self.top_k)

    # Accelerators round products to few bits, which would swamp the differences
    # that methods with float pixels look at.
    precision = None if self.eight_bit else "highest"
    with jax.default_matmul_precision(precision):
      return jax.lax.map(one, images, batch_size=CHUNK)


def restrict_output(logits: Array, access: str, top_k: int = 1) -> Array:
  """Reduces `logits [..., K]` to what an interface of this access returns.

  That is int32 labels `[...]`, log-probabilities `[..., K]` or the logits.
  `top_k` is the defence of that name.
  """
  if access == "label":
    return logits.argmax(-1).astype(jnp.int32)
  if access == "top_k":
    probs = jax.nn.softmax(logits)
    kept = defense_top_k.answer(probs, probs, count=top_k)
    return jnp.log(jnp.maximum(kept, MIN_PROBABILITY))
  return jax.nn.log_softmax(logits) if access == "probs" else logits


def check_access(access: str, top_k: int, num_classes: int) -> None:
  """Checks `teacher.top_k`.

  Raises:
    JaxkdError: if `top_k` shows no class or all.
  """
  if access == "top_k" and not 0 < top_k < num_classes:
    raise JaxkdError(
      f"teacher.top_k={top_k}: choose 1 to {num_classes - 1} of the "
      f"{num_classes} classes; for all of them set teacher.access=probs."
    )
