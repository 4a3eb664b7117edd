"""The estimate of a gradient from losses at nearby points, and the step of a
generator that is built on it.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxkd import losses
from jaxkd.models.generators.registry import Generator
from jaxkd.synthesis import directions, zeroth_order
from jaxkd.types import Classifier, Networks, Outputs

SLOPE = jax.random.normal(jax.random.key(1), (2, 3, 1))
CENTRE = jax.random.normal(jax.random.key(2), (4, 2, 3, 1))


def linear_loss(inputs):
  return jnp.sum(SLOPE * inputs, axis=(-3, -2, -1))


def smooth_loss(inputs):
  return jnp.sum(jnp.sin(inputs) * SLOPE, axis=(-3, -2, -1)) ** 2


def basis():
  """An orthonormal basis of the 2 x 3 inputs, the same for all 4 samples."""
  noise = jax.random.normal(jax.random.key(3), (6, 6))
  rows = jnp.linalg.qr(noise)[0].reshape(6, 1, 2, 3, 1)
  return jnp.broadcast_to(rows, (6, 4, 2, 3, 1))


def estimate(loss, directions, radius):
  values = loss(zeroth_order.points(CENTRE, directions, radius))
  return zeroth_order.gradient(values, directions, radius)


def test_directions_have_unit_length_and_differ():
  result = directions.random(jax.random.key(0), (5, *CENTRE.shape))
  assert result.shape == (5, 4, 2, 3, 1)
  np.testing.assert_allclose(
    jnp.sum(result**2, axis=(2, 3, 4)), np.ones((5, 4)), rtol=1e-5
  )
  assert len(np.unique(np.asarray(result)[..., 0, 0, 0])) == 20


def test_the_first_point_is_the_centre_and_the_rest_lie_at_the_radius():
  result = zeroth_order.points(CENTRE, basis(), 0.5)
  np.testing.assert_array_equal(result[0], CENTRE)
  distance = jnp.sqrt(jnp.sum((result[1:] - CENTRE) ** 2, axis=(2, 3, 4)))
  np.testing.assert_allclose(distance, np.full((6, 4), 0.5), rtol=1e-5)


@pytest.mark.parametrize("radius", [0.1, 2.0])
def test_orthonormal_directions_are_exact_for_a_linear_loss(radius):
  result = estimate(linear_loss, basis(), radius)
  np.testing.assert_allclose(result, [SLOPE] * 4, atol=1e-4)


def test_random_directions_are_right_on_average():
  drawn = directions.random(jax.random.key(4), (20_000, *CENTRE.shape))
  result = estimate(linear_loss, drawn, 1.0)
  # The deviation of a component is about |slope| sqrt(D / M), or .04 here.
  np.testing.assert_allclose(result, [SLOPE] * 4, atol=0.2)
  assert float(jnp.abs(result - SLOPE).max()) > 1e-4


def test_a_small_radius_agrees_with_autodiff():
  exact = jax.grad(lambda inputs: smooth_loss(inputs).sum())(CENTRE)
  result = estimate(smooth_loss, basis(), 1e-3)
  np.testing.assert_allclose(result, exact, rtol=0.02, atol=0.02)
  coarse = estimate(smooth_loss, basis(), 1.0)
  assert float(jnp.abs(coarse - exact).max()) > 0.1


# A generator and two networks for which all derivatives are at hand.
LATENTS, PIXELS, CLASSES = 3, 6, 4


def squash(pre):
  return (jnp.tanh(pre) + 1) / 2


def init(key):
  w = 0.3 * jax.random.normal(key, (LATENTS, PIXELS))
  return {"params": {"w": w}, "batch_stats": {"seen": jnp.zeros(())}}


def apply(variables, latents, *, train=True):
  assert train
  pre = (latents @ variables["params"]["w"]).reshape(-1, 2, 3, 1)
  return pre, {"batch_stats": {"seen": variables["batch_stats"]["seen"] + 1}}


def classify(variables, images, *, train=False, rng=None):
  assert not train
  return Outputs(images.reshape(-1, PIXELS) @ variables["params"]), {}


def network(seed):
  weights = 3 * jax.random.normal(jax.random.key(seed), (PIXELS, CLASSES))
  return Classifier({"params": weights}, classify)


def distance(logits, targets):
  return losses.disagreement_loss(logits, targets, kind="kl")


TEACHER, NETS = network(10), Networks(None, network(11))


def trainer(num_directions=1, radius=1e-2, learning_rate=0.1):
  return zeroth_order.ZerothOrderTrainer(
    Generator(LATENTS, init, apply, squash),
    optax.sgd(learning_rate),
    distance,
    batch_size=8,
    num_directions=num_directions,
    radius=radius,
  )


def one_step(engine, state, key):
  state, samples, _ = engine.ask_points(state, NETS, key)
  samples = samples._replace(targets=TEACHER(samples.images).logits)
  return engine.tell_points(state, NETS, samples, key)


def true_disagreement(params, key):
  latents = trainer().latents(jax.random.split(key)[0])
  images = squash(apply({**init(key), "params": params}, latents)[0])
  logits = NETS.student(images).logits
  return distance(logits, TEACHER(images).logits).mean()


def test_the_teacher_is_shown_images_and_their_neighbours():
  engine = trainer(num_directions=3)
  state = engine.init(jax.random.key(0), NETS)
  _, samples, _ = engine.ask_points(state, NETS, jax.random.key(1))
  assert samples.images.shape == (32, 2, 3, 1)
  assert samples.images.dtype == jnp.float32
  assert set(np.asarray(samples.labels)) == {-1}
  around = np.asarray(samples.images).reshape(4, 8, 6)
  far = np.abs(around[1:] - around[0]).max(axis=-1)
  assert (far > 0).all() and (far < 1e-2).all()
  _, fresh, _ = engine.ask_images(state, NETS, jax.random.key(1))
  assert fresh.images.shape == (8, 2, 3, 1)


def test_the_step_is_the_gradient_of_the_disagreement():
  engine, key = trainer(num_directions=4000), jax.random.key(5)
  state = engine.init(jax.random.key(0), NETS)
  after, centre, terms = jax.jit(lambda s: one_step(engine, s, key))(state)
  params = state.variables["params"]
  value, exact = jax.value_and_grad(true_disagreement)(params, key)
  step = (after.variables["params"]["w"] - params["w"]) / 0.1
  np.testing.assert_allclose(
    step, exact["w"], atol=0.1 * jnp.abs(exact["w"]).max()
  )
  np.testing.assert_allclose(terms["disagreement"], value, rtol=1e-4)
  # The samples are the images themselves, with their answers.
  assert centre.images.shape == (8, 2, 3, 1)
  np.testing.assert_allclose(
    centre.targets, TEACHER(centre.images).logits, rtol=1e-5
  )


@pytest.mark.parametrize("num_directions", [1, 10])
def test_steps_raise_the_disagreement(num_directions):
  engine, key = trainer(num_directions), jax.random.key(6)
  state = start = engine.init(jax.random.key(0), NETS)
  step = jax.jit(lambda state, key: one_step(engine, state, key)[0])
  for index in range(60):
    state = step(state, jax.random.fold_in(key, index))
  before = true_disagreement(start.variables["params"], key)
  after = true_disagreement(state.variables["params"], key)
  assert float(after) > 1.2 * float(before)


def test_batch_statistics_move_with_every_step_and_with_fresh_images():
  engine = trainer()
  state = engine.init(jax.random.key(0), NETS)
  state, _, _ = one_step(engine, state, jax.random.key(1))
  state, _, _ = engine.ask_images(state, NETS, jax.random.key(2))
  assert float(state.variables["batch_stats"]["seen"]) == 2


def test_the_student_is_evaluated_in_full_precision():
  engine = trainer()
  state = engine.init(jax.random.key(0), NETS)
  state, samples, _ = engine.ask_points(state, NETS, jax.random.key(1))
  samples = samples._replace(targets=jnp.zeros((16, CLASSES)))
  program = jax.make_jaxpr(
    lambda student: engine.tell_points(
      state, NETS._replace(student=student), samples, jax.random.key(1)
    )[2]
  )(NETS.student)
  assert "HIGHEST" in str(program)
