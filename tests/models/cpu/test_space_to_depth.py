"""LeNet in the space-to-depth layout agrees with LeNet in the plain layout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.models import lenet
from jaxkd.models.cpu import conv, space_to_depth
from jaxkd.models.cpu.pool import max_pool


def assert_close(actual, expected, tolerance=1e-5):
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(
      a, b, rtol=tolerance, atol=tolerance
    ),
    actual,
    expected,
  )


def draw(seed, *shapes):
  rng = np.random.default_rng(seed)
  return [np.float32(rng.normal(0, 0.3, shape)) for shape in shapes]


def plain_two_layers(images, first, second):
  def layer(x, kernel, bias):
    y = jax.lax.conv_general_dilated(
      x, kernel, (1, 1), "VALID", dimension_numbers=conv.LAYOUT
    )
    return jax.nn.relu(max_pool(y + bias))

  x = layer(images, *first)
  return x, layer(x, *second)


def energy(layers):
  return lambda *args: sum(jnp.sum(y * y) for y in layers(*args))


def test_lenet_equals_plain_lenet(monkeypatch):
  """Compares logits, features and the gradients of images and parameters."""
  module = lenet.LeNet(10, channels=(3, 8, 60), hidden=42)
  images = draw(0, (3, 32, 32, 1))[0]
  shapes = jax.eval_shape(module.init, jax.random.key(0), images)
  leaves, tree = jax.tree.flatten(shapes)
  leaves = draw(1, *(leaf.shape for leaf in leaves))
  variables = tree.unflatten(leaves)

  def run():
    def loss(variables, images):
      outputs = module.apply(variables, images)
      return -jax.nn.log_softmax(outputs.logits)[:, 1].mean(), outputs

    gradients = jax.value_and_grad(loss, (0, 1), has_aux=True)
    return jax.jit(gradients)(variables, images)

  actual = run()
  monkeypatch.setattr(conv, "on_cpu", lambda: False)
  expected = run()
  scale = jax.tree.map(lambda leaf: np.abs(leaf).max() + 1e-9, expected)
  assert_close(
    jax.tree.map(np.divide, actual, scale),
    jax.tree.map(np.divide, expected, scale),
  )


def test_lenet_uses_the_space_to_depth_layout(monkeypatch):
  calls = []
  monkeypatch.setattr(
    space_to_depth, "two_layers", lambda *args: calls.append(args) or 1 / 0
  )
  images = jnp.zeros((1, 32, 32, 1))
  with pytest.raises(ZeroDivisionError):
    jax.eval_shape(lenet.LeNet(10).init, jax.random.key(0), images)
  kernels = [layer[0].shape for layer in calls[0][1:]]
  assert kernels == [(5, 5, 1, 6), (5, 5, 6, 16)]


def test_two_layers():
  images, *weights = draw(
    2, (2, 16, 20, 3), (5, 5, 3, 2), (2,), (5, 5, 2, 5), (5,)
  )
  args = images, tuple(weights[:2]), tuple(weights[2:])
  both = [
    jax.value_and_grad(energy(layers), (0, 1, 2))
    for layers in (space_to_depth.two_layers, plain_two_layers)
  ]
  assert_close(
    *jax.jit(lambda *args: [run(*args) for run in both])(*args), 1e-3
  )


@pytest.mark.parametrize(
  ("side", "size", "fits"),
  [
    (32, 5, True),
    (28, 5, True),
    (30, 5, False),
    (32, 3, False),
    (24, 9, False),
  ],
)
def test_fits(side, size, fits):
  assert space_to_depth.fits((1, side, side, 3), size) == fits


def test_batched_weights():
  """Compares an ensemble under vmap with its members one by one."""
  images, *weights = draw(
    3, (1, 16, 16, 1), (2, 5, 5, 1, 2), (2, 2), (2, 5, 5, 2, 3), (2, 3)
  )
  gradient = jax.grad(energy(space_to_depth.two_layers), (0, 1, 2))

  def run(images, weights):
    return gradient(images, tuple(weights[:2]), tuple(weights[2:]))

  actual = jax.jit(jax.vmap(run, (None, 0)))(images, weights)
  run = jax.jit(run)
  for index in range(2):
    assert_close(
      jax.tree.map(lambda leaf, i=index: leaf[i], actual),
      run(images, [leaf[index] for leaf in weights]),
      1e-4,
    )


def test_space_to_depth_kernel_by_hand():
  """Rearranges a row of taps 1, 2 with a factor of 2."""
  kernel = jnp.zeros((2, 2, 1, 1)).at[0, :, 0, 0].set(jnp.array([1.0, 2.0]))
  big = space_to_depth.space_to_depth_kernel(kernel, 2)
  assert big.shape == (2, 2, 4, 4)
  # Output (0, 0) depends on the inputs (0, 0) and (0, 1) of its own position,
  np.testing.assert_array_equal(big[0, 0, :, 0], [1, 2, 0, 0])
  # output (0, 1) on (0, 1) of its own position and (0, 0) of the next one.
  np.testing.assert_array_equal(big[0, 0, :, 1], [0, 1, 0, 0])
  np.testing.assert_array_equal(big[0, 1, :, 1], [2, 0, 0, 0])
  assert big.sum() == 12


def test_pool_shares_the_gradient_of_ties():
  y = jnp.array([1.0, 3.0, 3.0, 0.0]).reshape(1, 1, 1, 4)
  gradient = jax.grad(lambda y: space_to_depth._pool(y).sum())(y)
  np.testing.assert_array_equal(gradient.ravel(), [0, 0.5, 0.5, 0])
