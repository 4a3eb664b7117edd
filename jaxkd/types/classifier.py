"""Networks, their outputs and their inputs."""

from typing import NamedTuple, Protocol

import chex
import flax
import jax
import jax.numpy as jnp

from jaxkd.errors import JaxkdError

Array = jax.Array
Variables = chex.ArrayTree  # of a network: {'params': ..., 'batch_stats': ...}


class Outputs(NamedTuple):
  """The outputs of a network for a batch of images.

  Attributes:
    logits: `[B, K]`.
    heads: logits `[B, K]` of early exits, if the network has any.
    features: intermediate activations, if the network returns any.
  """

  logits: Array
  heads: tuple[Array, ...] = ()
  features: tuple[Array, ...] = ()


class ApplyFn(Protocol):
  """A function `(variables, images) -> (outputs, changed variables)`.

  `images` are `[B, H, W, C]` floats, in [0, 1] for natural images; the function
  normalises them itself. With `train=True` batch normalisation uses the batch
  statistics, and the second value holds the collections that changed
  (`batch_stats`); otherwise it is empty. Networks with dropout need `rng`.
  """

  def __call__(
    self,
    variables: Variables,
    images: Array,
    *,
    train: bool = False,
    rng: Array | None = None,
  ) -> tuple[Outputs, Variables]: ...


@flax.struct.dataclass
class Classifier:
  """A network as a pytree: its variables and the function that applies them.

  `classifier(images)` returns `Outputs` in evaluation mode. Integers are
  refused: layers give wrong numbers or NaN for them, and no error.

  Attributes:
    variables: to differentiate, stack or shard.
    apply: the function that applies them, static under `jax.jit`.
    name: for messages and reports.
  """

  variables: Variables
  apply: ApplyFn = flax.struct.field(pytree_node=False)
  name: str = flax.struct.field(pytree_node=False, default="classifier")

  def __call__(self, images: Array) -> Outputs:
    if not jnp.issubdtype(images.dtype, jnp.floating):
      raise JaxkdError(
        f"{self.name} takes floats, for images in [0, 1], not {images.dtype}: "
        "convert images with jaxkd.data.to_float."
      )
    return self.apply(self.variables, images)[0]


class DataSpec(NamedTuple):
  """Describes the inputs; a data-free method knows nothing else of the data.

  Attributes:
    name: of the data set.
    shape: of one input, `(H, W, C)`, or `(D,)` for points.
    num_classes: K.
    mean: mean per channel, in pixel space ([0, 1] for images).
    std: standard deviation per channel, in pixel space.
  """

  name: str
  shape: tuple[int, ...]
  num_classes: int
  mean: tuple[float, ...]
  std: tuple[float, ...]
