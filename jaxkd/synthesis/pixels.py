"""The engine that optimises images (CAKE, LAKE, DeepInversion, ...)."""

from collections.abc import Callable

import jax
import optax

from jaxkd.types import Array, Terms

# images -> (what is minimised, its parts)
ImageLoss = Callable[[Array], tuple[Array, Terms]]


def optimise(
  loss: ImageLoss,
  images: Array,
  tx: optax.GradientTransformation,
  num_steps: int,
) -> tuple[Array, Terms]:
  """`num_steps` (T) updates of one set `[N, ...]` in one scan on the device.

  Returns:
    The images and the terms of the last step; a term that blew up stays so,
    hence the last ones tell.
  """

  def step(carry, _):
    images, opt_state = carry
    grads, terms = jax.grad(loss, has_aux=True)(images)
    updates, opt_state = tx.update(grads, opt_state, images)
    return (optax.apply_updates(images, updates), opt_state), terms

  carry = (images, tx.init(images))
  (images, _), terms = jax.lax.scan(step, carry, length=num_steps)
  return images, jax.tree.map(lambda term: term[-1], terms)


def weighted(terms: Terms, weights: dict[str, float]) -> Array:
  """The sum of the terms, each times the weight of its name."""
  return sum(weights[name] * term for name, term in terms.items())
