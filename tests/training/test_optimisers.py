"""Optimisers against worked values and against PyTorch's documented rules."""

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
import optax
import pytest

from jaxkd import config as c
from jaxkd.training import optimisers
from jaxkd.types import JaxkdError


def block(*args, **kwargs):
  return ConfigDict(c.optimizer(*args, **kwargs))


def test_step_sizes_fall_log_linearly_and_never_reach_the_end():
  sizes = optimisers.step_sizes(4, 0.1, 4.0)
  np.testing.assert_allclose(sizes, [1e-1, 1e-2, 1e-3, 1e-4], rtol=1e-5)


def test_one_cycle_has_its_corners():
  schedule = optimisers.cosine_cycle(100, 0.04, 1.0, 4e-6)
  assert schedule(0) == pytest.approx(0.04)
  assert schedule(29) == pytest.approx(1.0)
  assert schedule(99) == pytest.approx(4e-6, rel=0.2)
  rates = np.array([schedule(step) for step in range(100)])
  assert (np.diff(rates[:30]) > 0).all()
  assert (np.diff(rates[30:]) < 0).all()


@pytest.mark.slow
def test_one_cycle_equals_pytorch():
  torch = pytest.importorskip("torch")
  parameter = torch.nn.Parameter(torch.zeros(1))
  sgd = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
  torch_schedule = torch.optim.lr_scheduler.OneCycleLR(sgd, 0.5, total_steps=50)
  rate = optimisers.cosine_cycle(50, 0.5 / 25, 0.5, 0.5 / 25e4)
  momentum = optimisers.cosine_cycle(50, 0.95, 0.85, 0.95)
  for step in range(50):
    group = sgd.param_groups[0]
    assert float(rate(step)) == pytest.approx(group["lr"], abs=1e-6)
    assert float(momentum(step)) == pytest.approx(group["momentum"], abs=1e-6)
    sgd.step()
    if step < 49:
      torch_schedule.step()


def test_multistep_drops_at_the_named_epochs():
  rate = optimisers.learning_rate(
    block("sgd", 1.0, "multistep", milestones=(2, 3), factor=0.2), 10, 5
  )
  assert [float(rate(s)) for s in (19, 20, 29, 30)] == pytest.approx(
    [1.0, 0.2, 0.2, 0.04]
  )


def test_weight_decay_is_coupled_and_momentum_has_no_dampening():
  tx = optimisers.optimiser(
    block("sgd", 0.1, weight_decay=0.5, momentum=0.9), 1, 9
  )
  params, state = jnp.float32(2.0), None
  state = tx.init(params)
  velocity, expected = 0.0, 2.0
  for _ in range(3):
    updates, state = tx.update(jnp.float32(1.0), state, params)
    params = optax.apply_updates(params, updates)
    velocity = 0.9 * velocity + 1.0 + 0.5 * expected
    expected -= 0.1 * velocity
  assert float(params) == pytest.approx(expected, rel=1e-6)


def test_clipping_comes_before_weight_decay():
  tx = optimisers.optimiser(
    block("sgd", 1.0, weight_decay=0.5, momentum=0.0, clip_norm=1.0), 1, 9
  )
  params = jnp.array([4.0, 0.0])
  updates, _ = tx.update(jnp.array([3.0, 4.0]), tx.init(params), params)
  np.testing.assert_allclose(updates, [-0.6 - 2.0, -0.8], rtol=1e-6)


@pytest.mark.parametrize("field", ["name", "schedule"])
def test_unknown_names_are_refused(field):
  wrong = block("sgd", 0.1)
  wrong[field] = "sdg"
  with pytest.raises(JaxkdError, match="'sdg'; choose one of"):
    optimisers.optimiser(wrong, 1, 1)


def walk(tx, gradient, steps, count):
  """`steps` updates of `count` walkers from 0."""

  def step(carry, _):
    x, state = carry
    updates, state = tx.update(gradient(x), state)
    x = optax.apply_updates(x, updates)
    return (x, state), x

  start = jnp.zeros(count)
  (x, _), history = jax.lax.scan(step, (start, tx.init(start)), length=steps)
  return x, history


def test_langevin_descends_to_the_discrete_stationary_variance():
  # On w x^2 / 2 the recursion has variance 1 / (w (1 - eta w / 2)).
  eta, w = 0.1, 2.0
  x, _ = walk(
    optimisers.langevin(eta, jax.random.key(0)), lambda x: w * x, 300, 20_000
  )
  assert float(x.var()) == pytest.approx(1 / (w * (1 - eta * w / 2)), rel=0.03)
  assert abs(float(x.mean())) < 0.02


def test_langevin_noise_is_sqrt_two_eta_and_new_in_every_step():
  eta = 0.02
  _, history = walk(
    optimisers.langevin(eta, jax.random.key(1)), jnp.zeros_like, 2, 20_000
  )
  steps = jnp.stack([history[0], history[1] - history[0]])
  np.testing.assert_allclose(steps.std(axis=1), np.sqrt(2 * eta), rtol=0.03)
  assert abs(np.corrcoef(steps)[0, 1]) < 0.03


def test_sgd_dynamics_is_plain_descent():
  tx = optimisers.DYNAMICS["sgd"](jnp.float32(0.5), jax.random.key(0))
  x, _ = walk(tx, lambda x: x - 1.0, 1, 3)
  np.testing.assert_allclose(x, 0.5)
