"""The depthwise convolution agrees with the grouped one of `jax.lax`."""

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.models.cpu import conv
from jaxkd.models.cpu.depthwise import depthwise
from jaxkd.models.layers import DepthwiseConv

PADDING = ((1, 1), (1, 1))


def draw(seed, *shapes):
  rng = np.random.default_rng(seed)
  return [np.float32(rng.normal(size=shape)) for shape in shapes]


def energy(x, kernel, strides, padding):
  """Returns a scalar loss whose gradient differs at every position."""
  return jnp.sum(depthwise(x, kernel, strides, padding) ** 2)


def both_forms(run, *args):
  """Runs a compiled function in the CPU's form and in the plain form."""
  actual = jax.jit(lambda *args: run(*args))(*args)
  with conv.reference_form():
    return actual, jax.jit(lambda *args: run(*args))(*args)


def assert_close(actual, expected, tolerance=2e-4):
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(
      np.float32(a), np.float32(b), rtol=tolerance, atol=tolerance
    ),
    actual,
    expected,
  )


@pytest.mark.parametrize(
  ("image", "taps", "strides", "padding"),
  [
    ((6, 7), (3, 3), (1, 1), PADDING),
    ((6, 7), (3, 3), (2, 2), PADDING),
    ((3, 3), (3, 3), (2, 2), PADDING),
    ((8, 9), (5, 2), (3, 3), PADDING),
    ((7, 6), (2, 3), (2, 1), ((0, 1), (2, 0))),
  ],
)
def test_equals_lax(image, taps, strides, padding):
  x, kernel = draw(0, (3, *image, 4), (*taps, 1, 4))
  run = jax.value_and_grad(energy, (0, 1))
  actual, expected = both_forms(
    lambda x, kernel: run(x, kernel, strides, padding), x, kernel
  )
  assert_close(actual, expected)
  assert actual[1][1].shape == kernel.shape


def test_vmap_in_scan_descends_like_lax():
  """Takes three gradient steps of two kernels on the same images."""
  x, kernels = draw(1, (4, 6, 6, 3), (2, 3, 3, 1, 3))

  def descend(x, kernels):
    gradient = jax.vmap(jax.grad(energy, 1), (None, 0, None, None))
    step = lambda kernels, _: (
      kernels - 0.001 * gradient(x, kernels, (2, 2), PADDING),
      None,
    )
    return lax.scan(step, kernels, None, length=3)[0]

  actual, expected = both_forms(descend, x, kernels)
  assert_close(actual, expected)
  assert not np.allclose(actual, kernels, atol=0.01)


def test_there_is_no_convolution_on_the_cpu():
  """Checks for grouped convolutions, which XLA:CPU runs slowly."""
  x, kernel = draw(2, (2, 6, 6, 3), (3, 3, 1, 3))

  def operations():
    run = jax.grad(lambda x, kernel: energy(x, kernel, (2, 2), PADDING), (0, 1))
    return str(jax.make_jaxpr(run)(x, kernel))

  assert "conv_general_dilated" not in operations()
  with conv.reference_form():
    assert "feature_group_count=3" in operations()


def test_layer():
  """Checks shapes, PyTorch's initialisation (fan-in 9) and bfloat16."""
  x = draw(3, (2, 7, 8, 64))[0]
  layer = DepthwiseConv(3, 2, dtype=jnp.bfloat16)
  params = jax.jit(layer.init)(jax.random.key(0), x)["params"]
  assert {name: leaf.shape for name, leaf in params.items()} == {
    "kernel": (3, 3, 1, 64),
    "bias": (64,),
  }
  assert 0.3 < np.abs(params["kernel"]).max() <= 1 / 3
  assert 0.25 < np.abs(params["bias"]).max() <= 1 / 3

  y = jax.eval_shape(layer.apply, {"params": params}, x)
  assert (y.shape, y.dtype) == ((2, 4, 4, 64), jnp.dtype(jnp.bfloat16))


def test_bfloat16_gradients():
  """Checks that sums over the batch are float32 and gradients bfloat16."""
  x, kernel = map(jnp.bfloat16, draw(4, (64, 4, 4, 2), (3, 3, 1, 2)))
  run = jax.grad(
    lambda x, kernel: (
      depthwise(x, kernel, (1, 1), PADDING).sum().astype(jnp.float32)
    ),
    (0, 1),
  )
  actual = jax.jit(run)(x, kernel)
  assert {leaf.dtype for leaf in actual} == {jnp.dtype(jnp.bfloat16)}
  expected = np.float32(x).sum((0, 1, 2))  # the tap in the middle sees it all
  np.testing.assert_allclose(
    np.float32(actual[1][1, 1, 0]), expected, rtol=0.01
  )
