"""A teacher in process that shows no more than an interface would."""

import flax
import jax
import jax.numpy as jnp

from jaxkd.config import checks
from jaxkd.data import to_float
from jaxkd.types import ACCESS_LEVELS, Array, Classifier, JaxkdError

CHUNK = 512  # images that are answered at once


@flax.struct.dataclass
class BlackBox:
  """Answers, and nothing to look at or to differentiate.

  Attributes:
    hidden: the network behind the interface; no method is handed it.
    access: `label`, `top_k`, `probs` or `logits`.
    top_k: classes that `top_k` tells the probabilities of.
    eight_bit: whether images arrive as 8 bits a channel.
  """

  hidden: Classifier
  access: str = flax.struct.field(pytree_node=False)
  top_k: int = flax.struct.field(pytree_node=False, default=1)
  eight_bit: bool = flax.struct.field(pytree_node=False, default=True)

  in_process = True

  def answer(self, images: Array) -> Array:
    """Labels `[N]` int32, or `[N, K]` log-probabilities (logits, where the
    access is `logits`) for `images [N, ...]`; jittable.
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
  """What an interface tells of `logits [..., K]`.

  `top_k` gives the probabilities of the k likeliest classes, of equal ones the
  first; what they leave is spread evenly over the others.
  """
  if access == "label":
    return logits.argmax(-1).astype(jnp.int32)
  if access == "top_k":
    return _top(jax.nn.log_softmax(logits), top_k)
  return jax.nn.log_softmax(logits) if access == "probs" else logits


def _top(log_probs: Array, top_k: int) -> Array:
  values, classes = jax.lax.top_k(log_probs, top_k)
  rest = 1 - jnp.exp(values).sum(-1, keepdims=True)
  untold = max(log_probs.shape[-1] - top_k, 1)
  others = jnp.log(jnp.maximum(rest, 1e-12) / untold)
  return jnp.put_along_axis(
    jnp.broadcast_to(others, log_probs.shape),
    classes,
    values,
    axis=-1,
    inplace=False,
  )


def check(access: str, top_k: int, num_classes: int) -> None:
  """Refuses an access level that there is not.

  Raises:
    JaxkdError: naming the field and what it may be.
  """
  checks.choice("teacher.access", access, ACCESS_LEVELS)
  if access == "top_k" and not 0 < top_k < num_classes:
    raise JaxkdError(
      f"teacher.top_k={top_k}: choose 1 to {num_classes - 1} of the "
      f"{num_classes} classes; for all of them set teacher.access=probs."
    )
