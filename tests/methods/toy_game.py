"""A game that compiles at once: a linear teacher and student of 4x4 images."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxkd import exchange, training
from jaxkd.teachers.black_box import BlackBox
from jaxkd.types import Classifier, DataSpec, Outputs

SPEC = DataSpec("toy", (4, 4, 1), 3, (0.5,), (0.5,))
KEY = jax.random.key(0)


def linear(variables, images, *, train=False, rng=None):
  inputs = 2 * images.reshape(len(images), -1) - 1
  return Outputs(inputs @ variables["params"]), {}


def network(seed):
  return Classifier(
    {"params": jax.random.normal(jax.random.key(seed), (16, 3))}, linear
  )


def game(method, access="probs"):
  """Rules, what changes, and who takes part."""
  tx = optax.sgd(0.1)
  rules = exchange.Rules(
    method, training.Recipe(linear, tx, method.objective), SPEC, access
  )
  teacher = BlackBox(network(1), access, eight_bit=False)
  table = exchange.Table(teacher, network(2), method.hyper)
  student = training.create(table.student, tx)
  return rules, exchange.new_play(rules, table, student, KEY), table


class Counting:
  """A teacher that the host has to ask, and that counts."""

  in_process = False

  def __init__(self, teacher):
    self.teacher, self.asked = teacher, 0

  def answer(self, images):
    self.asked += len(images)
    return np.asarray(self.teacher.answer(jnp.asarray(images)))
