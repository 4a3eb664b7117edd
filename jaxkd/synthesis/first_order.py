"""The engine that fits a generator to a white box, by the gradient through it.

What `jaxkd.synthesis.zeroth_order` has to guess is here a derivative. Two
players are at it in turn, the generator and the student, and methods differ in
the images that the student gets to see: those of the very latents that the
generator was updated with, or others.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxkd.data.labels import hard_labels
from jaxkd.models.generators.registry import Generator
from jaxkd.synthesis import generator as engine
from jaxkd.types import Array, Networks, Outputs, Samples, Variables

# (nets, images [B, H, W, C], key) -> (what is minimised, more)
ImageLoss = Callable[[Networks, Array, Array], tuple[Array, Any]]
# (student's logits [B, K], teacher's logits [B, K]) -> [B]
Distance = Callable[[Array, Array], Array]


class FirstOrderState(NamedTuple):
  """Attributes:

  fitted: variables of the generator, and the state of its optimiser.
  step: batches that `Seeker.afresh` has made.
  """

  fitted: engine.Fitted
  step: Array


class GeneratorTrainer(NamedTuple):
  """A generator that seeks images of low loss.

  Attributes:
    generator: from latents to pre-activations.
    tx: its optimiser.
    loss: of a batch of images.
    batch_size: B, images in an update.
  """

  generator: Generator
  tx: optax.GradientTransformation
  loss: ImageLoss
  batch_size: int

  def init(self, key: Array, nets: Networks) -> FirstOrderState:
    del nets
    variables = self.generator.init(key)
    fitted = variables, self.tx.init(variables["params"])
    return FirstOrderState(fitted, jnp.zeros((), jnp.int32))

  def latents(self, key: Array) -> Array:
    return jax.random.normal(key, (self.batch_size, self.generator.latents))

  def images(
    self, variables: Variables, latents: Array, *, train: bool
  ) -> tuple[Array, Variables]:
    """Pixels `[B, H, W, C]`, and what changed in the generator."""
    pre, changed = self.generator.apply(variables, latents, train=train)
    return self.generator.to_pixels(pre), changed

  def update(
    self, state: FirstOrderState, nets: Networks, latents: Array, key: Array
  ) -> tuple[FirstOrderState, Any]:
    """One step of the generator; also what `loss` gave besides, before it."""

    def loss(variables: Variables):
      images, changed = self.images(variables, latents, train=True)
      value, more = self.loss(nets, images, key)
      return value, (changed, more)

    fitted, more = engine.update(loss, state.fitted, self.tx)
    return state._replace(fitted=fitted), more

  def afresh(
    self,
    state: FirstOrderState,
    nets: Networks,
    key: Array,
    *,
    every: int,
    train: bool,
  ) -> tuple[FirstOrderState, Array]:
    """Images of latents that the generator has not seen.

    Args:
      state: before them.
      nets: for `loss`.
      key: of these latents, and of those that the generator learns from.
      every: how many batches follow one step of the generator, which comes
        first.
      train: whether it normalises these images by their batch, or by its
        running statistics.
    """
    latent_key, update_key, fresh_key = jax.random.split(key, 3)

    def updated(state: FirstOrderState) -> FirstOrderState:
      latents = self.latents(latent_key)
      return self.update(state, nets, latents, update_key)[0]

    state = jax.lax.cond(
      state.step % every == 0, updated, lambda state: state, state
    )
    variables, opt_state = state.fitted
    images, changed = self.images(
      variables, self.latents(fresh_key), train=train
    )
    return FirstOrderState(
      ({**variables, **changed}, opt_state), state.step + 1
    ), images


def disagreement(distance: Distance, *, train: bool) -> ImageLoss:
  """What a rival of the student lowers: the negative mean distance of its
  logits to the teacher's; besides, the distance as a term.

  Args:
    distance: of two networks' logits.
    train: whether the student normalises by the batch; what it would keep of
      the batch's statistics is dropped, so that it stays as it is.
  """

  def loss(nets: Networks, images: Array, key: Array):
    ours, _ = nets.student.apply(
      nets.student.variables, images, train=train, rng=key
    )
    found = distance(ours.logits, nets.teacher(images).logits).mean()
    return -found, {"disagreement": found}

  return loss


def with_targets(images: Array, outputs: Outputs) -> Samples:
  """Images with the teacher's answers, and its classes as labels."""
  logits = outputs.logits
  return Samples(images, hard_labels(logits), jax.nn.log_softmax(logits))
