"""A network with batch normalisations that compiles at once."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxkd.models import from_linen
from jaxkd.types import Outputs


class Normed(nn.Module):
  """Two linear layers with a batch normalisation behind each."""

  num_classes: int = 3

  @nn.compact
  def __call__(self, images, *, train=False):
    hidden = nn.Dense(8)(images.reshape(len(images), -1))
    hidden = nn.BatchNorm(use_running_average=not train)(hidden)
    logits = nn.Dense(self.num_classes)(nn.tanh(hidden))
    logits = nn.BatchNorm(use_running_average=not train)(logits)
    return Outputs(logits, features=(hidden,))


def normed(seed, spec):
  """A `Normed` classifier of images like `spec`, with random statistics."""
  module = Normed(spec.num_classes)
  key, *keys = jax.random.split(jax.random.key(seed), 5)
  variables = module.init(key, jnp.zeros((1, *spec.shape)))
  stored = {
    f"BatchNorm_{index}": {
      "mean": 0.5 * jax.random.normal(keys[2 * index], (width,)),
      "var": jax.random.uniform(keys[2 * index + 1], (width,)) + 0.5,
    }
    for index, width in enumerate((8, spec.num_classes))
  }
  variables = {**variables, "batch_stats": stored}
  return from_linen(module, variables, mean=spec.mean, std=spec.std)
