"""Images that are optimised at half the resolution first, then at the full one.

Large images optimised at once keep noise of high frequency, which changes a
network's answers and which nobody sees. DeepInversion's code for ImageNet
therefore shows the network the means of 2 x 2 pixels in its first steps. The
pixels themselves stay at the full resolution in both stages.
"""

from collections.abc import Callable
from typing import NamedTuple

from flax.errors import FlaxError
import jax
import jax.numpy as jnp
import optax

from jaxkd.config.fields import NOT_NEGATIVE, Field
from jaxkd.synthesis import pixels
from jaxkd.types import Array, Classifier, DataSpec, JaxkdError, LossTerms

FACTOR = 2  # of the sides, between the two stages
COARSE_STEPS = Field(
  "coarse_steps",
  int,
  0,
  "Of num_steps those that come first, at half the resolution.",
  NOT_NEGATIVE,
)


class Stage(NamedTuple):
  """Steps at one resolution.

  Attributes:
    num_steps: the number of steps.
    factor: by which the sides of the images that networks see are smaller.
    enlarged: whether these are repeated to the full size, for networks that
      take no other.
  """

  num_steps: int
  factor: int = 1
  enlarged: bool = False

  def show(self, images: Array) -> Array:
    """Returns `[N, H, W, C]` as networks see it, of this size or smaller."""
    if self.factor == 1:
      return images
    count, height, width, channels = images.shape
    blocks = images.reshape(
      count,
      height // self.factor,
      self.factor,
      width // self.factor,
      self.factor,
      channels,
    )
    means = blocks.mean((2, 4))
    if not self.enlarged:
      return means
    return means.repeat(self.factor, 1).repeat(self.factor, 2)

  def pixels(self, count: int) -> int:
    """Returns a length in pixels of full images in those that are shown."""
    return count if self.enlarged else count // self.factor


# (what networks see of the images, key, stage) -> (what is minimised, terms)
StageLoss = Callable[[Array, Array | None, Stage], tuple[Array, LossTerms]]


def check(spec: DataSpec, num_steps: int, coarse_steps: int) -> None:
  """Checks that steps can be divided so for inputs like `spec`.

  Raises:
    JaxkdError: if no step is left at the full resolution, or if the inputs are
      no images of even sides.
  """
  if coarse_steps and coarse_steps >= num_steps:
    raise JaxkdError(
      f"synthesis.coarse_steps={coarse_steps}: they are some of "
      f"synthesis.num_steps={num_steps}; choose fewer, or 0."
    )
  even = len(spec.shape) == 3 and not any(n % FACTOR for n in spec.shape[:2])
  if coarse_steps and not even:
    raise JaxkdError(
      f"synthesis.coarse_steps={coarse_steps}: {spec.name} has inputs of shape "
      f"{spec.shape}, and only images of even sides can be halved; set it to 0."
    )


def stages(
  num_steps: int, coarse_steps: int, spec: DataSpec, *networks: Classifier
) -> tuple[Stage, ...]:
  """Returns the stages of `num_steps` steps in all.

  Args:
    num_steps: T.
    coarse_steps: those of them at half the resolution.
    spec: of the inputs.
    *networks: what will see the images.
  """
  if not coarse_steps:
    return (Stage(num_steps),)
  enlarged = not all(takes_half(network, spec) for network in networks)
  first = Stage(coarse_steps, FACTOR, enlarged)
  return first, Stage(num_steps - coarse_steps)


def takes_half(network: Classifier, spec: DataSpec) -> bool:
  """Returns whether a network also takes images of half the sides.

  Networks with a global pool do. Artefacts, transformers, and networks that
  flatten their maps take one size. Nothing is computed.
  """
  height, width, channels = spec.shape
  image = jax.ShapeDtypeStruct(
    (1, height // FACTOR, width // FACTOR, channels), jnp.float32
  )
  try:
    outputs = jax.eval_shape(lambda net, x: net(x), network, image)
  except (FlaxError, JaxkdError, RuntimeError, TypeError, ValueError):
    return False  # what linen, nnx, artefacts and PyTorch raise for shapes
  return outputs.logits.shape == (1, spec.num_classes)


def optimise(
  loss: StageLoss,
  images: Array,
  optimiser: Callable[[Stage], optax.GradientTransformation],
  key: Array | None,
  plan: tuple[Stage, ...],
  project: Callable[[Array], Array] = lambda images: images,
) -> tuple[Array, LossTerms]:
  """Optimises one set of images `[N, H, W, C]` in a scan for each stage.

  Args:
    loss: of what networks see.
    images: where they start.
    optimiser: that of a stage, which starts anew in each.
    key: of all steps; None for a loss that draws nothing.
    plan: from `stages`.
    project: maps images to allowed ones, after each step.

  Returns:
    The images and the terms, as in `pixels.optimise`; `first_loss` is that of
    the last stage, because losses at two resolutions differ.
  """
  terms: LossTerms = {}
  for index, stage in enumerate(plan):
    if key is not None and len(plan) > 1:
      stage_key = jax.random.fold_in(key, index)
    else:
      stage_key = key
    images, terms = pixels.optimise(
      lambda x, step_key, stage=stage: loss(stage.show(x), step_key, stage),
      images,
      optimiser(stage),
      stage_key,
      stage.num_steps,
      project,
    )
  return images, terms
