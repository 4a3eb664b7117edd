"""The engine that optimises images, as in CAKE, LAKE and DeepInversion."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxkd.types import Array, DataSpec, LossTerms

MAX_GROWTH = 3.0  # of an image's gradient, relative to the first of the set

# (images, key of the step) -> (what is minimised, its terms)
ImageLoss = Callable[[Array, Array | None], tuple[Array, LossTerms]]


def optimise(
  loss: ImageLoss,
  images: Array,
  tx: optax.GradientTransformation,
  key: Array | None,
  num_steps: int,
  project: Callable[[Array], Array] = lambda images: images,
) -> tuple[Array, LossTerms]:
  """Optimises one set of images `[N, ...]` in one scan of T steps.

  Args:
    loss: of the images, or of random views of them.
    images: where they start.
    tx: the optimiser.
    key: of all steps, each of which has one of its own; None for a loss that
      draws nothing.
    num_steps: T.
    project: maps images to allowed ones, after each step.

  Returns:
    The images, and the terms of the last step with their weighted sum `loss`
    and that of the first step, `first_loss`. A term that is not finite stays
    so, hence the last ones are enough to notice it.
  """

  def step(carry, step_key: Array | None):
    images, opt_state = carry
    value_and_grad = jax.value_and_grad(loss, has_aux=True)
    (value, terms), grads = value_and_grad(images, step_key)
    updates, opt_state = tx.update(grads, opt_state, images)
    images = project(optax.apply_updates(images, updates))
    return (images, opt_state), {**terms, "loss": value}

  carry = (images, tx.init(images))
  keys = None if key is None else jax.random.split(key, num_steps)
  (images, _), terms = jax.lax.scan(step, carry, keys, num_steps)
  last = {name: term[-1] for name, term in terms.items()}
  return images, {**last, "first_loss": terms["loss"][0]}


def in_pixels(
  tx: optax.GradientTransformation, spec: DataSpec
) -> optax.GradientTransformation:
  """Makes the step size of an optimiser one in pixels.

  Gradients of normalised inputs are divided by the root mean square of the
  first ones, over the set, so that steps do not depend on the scale of the
  loss. Where an image's gradient grows beyond `MAX_GROWTH` times that, it is
  scaled back. A step size of .01 then moves pixels in [0, 1] by .01 in the
  first step, in the root mean square.
  """
  axes = tuple(range(1, 1 + len(spec.shape)))

  def init(params: Array) -> tuple[Array, optax.OptState]:
    return jnp.zeros(()), tx.init(params)

  def update(grads: Array, state, params: Array | None = None):
    first, inner = state
    # Squares of very small or large gradients are no float32.
    peak = jnp.abs(grads).max()
    grads = jnp.where(peak > 0, grads / peak, 0.0)
    square = jnp.square(grads).mean(axes, keepdims=True)
    first = jnp.where(first > 0, first, peak * jnp.sqrt(square.mean()))
    size = jnp.maximum(peak * jnp.sqrt(square) / MAX_GROWTH, first)
    scaled = jnp.where(first > 0, grads * (peak / size), 0.0)
    updates, inner = tx.update(scaled, inner, params)
    return updates / jnp.asarray(spec.std), (first, inner)

  return optax.GradientTransformation(init, update)


def weighted_sum(terms: LossTerms, weights: dict[str, float]) -> Array:
  """Sums the terms, each times the weight of its name."""
  return sum(weights[name] * term for name, term in terms.items())
