"""The pixel engine and the generator engine on problems with known answers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxkd.synthesis import generator, pixels


def quadratic(images, key):
  del key
  term = 0.5 * (images**2).sum()
  return 2.0 * term, {"energy": term}


def test_optimise_descends_in_closed_form():
  start = jnp.array([[1.0, -2.0]])
  images, terms = pixels.optimise(quadratic, start, optax.sgd(0.1), None, 3)
  np.testing.assert_allclose(images, start * 0.8**3, rtol=1e-5)
  # The terms belong to the last step, before its update.
  expected = 0.5 * ((start * 0.8**2) ** 2).sum()
  np.testing.assert_allclose(terms["energy"], expected, rtol=1e-5)


def test_weighted_sums_by_name():
  terms = {"a": jnp.float32(2), "b": jnp.float32(3)}
  assert float(pixels.weighted_sum(terms, {"a": 10.0, "b": 0.5})) == 21.5


def test_generator_fit_uses_a_new_key_in_every_step():
  # The loss pulls towards the noise, so equal keys would leave one value.
  def loss(params, key):
    target = jax.random.normal(key)
    return 0.5 * (params - target) ** 2, {"target": target}

  params, terms = generator.fit(
    loss, jnp.float32(0), optax.sgd(1.0), jax.random.key(0), 5
  )
  last = jax.random.normal(jax.random.split(jax.random.key(0), 5)[-1])
  np.testing.assert_allclose(params, last, rtol=1e-5)
  np.testing.assert_allclose(terms["target"], last, rtol=1e-6)


def test_generator_update_takes_the_statistics_along():
  def loss(variables):
    value = variables["params"] * variables["batch_stats"]
    return value, ({"batch_stats": variables["batch_stats"] + 1}, value)

  tx = optax.sgd(0.5)
  variables = {"params": jnp.float32(3), "batch_stats": jnp.float32(2)}
  (after, _), value = generator.update(
    loss, generator.init_state(variables, tx), tx
  )
  assert (float(after["params"]), float(after["batch_stats"])) == (2.0, 3.0)
  assert float(value) == 6.0  # before the update


def test_optimise_uses_a_new_key_in_every_step_and_projects():
  def loss(images, key):  # one step goes all the way to the draw
    target = jax.random.normal(key)
    return 0.5 * ((images - target) ** 2).sum(), {"target": target}

  key = jax.random.key(0)
  last = jax.random.normal(jax.random.split(key, 4)[-1])
  images, terms = pixels.optimise(
    loss, jnp.zeros(2), optax.sgd(1.0), key, 4, lambda images: images + 10
  )
  np.testing.assert_allclose(images, last + 10, rtol=1e-6)
  np.testing.assert_allclose(terms["target"], last, rtol=1e-6)


def test_fit_augmented_keeps_what_was_made_at_the_lowest_loss():
  def loss(variables, key):
    value = variables["params"] ** 2 + 0 * jax.random.normal(key)
    return value, ({"value": value}, (value, jax.random.normal(key)))

  key, tx = jax.random.key(0), optax.sgd(1.5)  # x <- -2 x: ever further away
  start = {"params": jnp.float32(1)}
  (variables, _), (value, draw), terms = generator.fit_augmented(
    loss, generator.init_state(start, tx), tx, key, 3
  )
  first = jax.random.normal(jax.random.split(key, 3)[0])
  assert (float(value), float(draw)) == (1.0, float(first))
  assert (float(variables["params"]), float(terms["value"])) == (-8.0, 16.0)
