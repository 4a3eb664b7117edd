"""A generator that compiles at once, in place of the published networks."""

import jax

from jaxkd.models.generators import Generator


def dense_generator(side=4, latents=16):
  """One layer to images of `side` by `side` pixels."""

  def init(key):
    return {"params": jax.random.normal(key, (latents, side * side))}

  def apply(variables, latents, *, train=True):
    return (latents @ variables["params"]).reshape(-1, side, side, 1), {}

  return Generator(latents, init, apply, jax.nn.sigmoid)
