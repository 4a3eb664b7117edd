"""Winograd's convolution agrees with `jax.lax`."""

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.models.cpu import winograd
from jaxkd.models.cpu.conv import LAYOUT, conv_general_dilated

SAME = ((1, 1), (1, 1))


def draw(seed, *shapes):
  rng = np.random.default_rng(seed)
  return [np.float32(rng.normal(size=shape)) for shape in shapes]


def plain(x, kernel, padding):
  return lax.conv_general_dilated(
    x, kernel, (1, 1), padding, dimension_numbers=LAYOUT
  )


def with_gradients(conv, padding=SAME):
  """Returns the outputs, and gradients that differ at every position."""

  def run(x, kernel):
    y, vjp = jax.vjp(lambda *args: conv(*args, padding), x, kernel)
    return y, vjp(y)

  return run


def assert_close(actual, expected):
  """Asserts differences within 1e-5 of the largest number of each array."""
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(
      a, b, rtol=0, atol=1e-5 * np.abs(b).max()
    ),
    actual,
    expected,
  )


@pytest.mark.parametrize(
  ("size", "padding"),
  [
    ((8, 8), SAME),
    ((7, 10), SAME),
    ((9, 3), ((0, 0), (0, 0))),
    ((6, 5), ((2, 0), (0, 3))),
  ],
)
def test_equals_lax(size, padding):
  x, k = draw(0, (3, *size, 5), (3, 3, 5, 4))
  both = [with_gradients(conv, padding) for conv in (winograd.convolve, plain)]
  assert_close(*jax.jit(lambda x, k: [run(x, k) for run in both])(x, k))


def test_in_parts(monkeypatch):
  """Splits six images of four tiles each into parts of two images."""
  monkeypatch.setattr(winograd, "MAX_TILES", 8)
  x, k = draw(1, (6, 8, 8, 3), (3, 3, 3, 4))
  both = [with_gradients(conv, SAME) for conv in (winograd.convolve, plain)]
  assert_close(*jax.jit(lambda x, k: [run(x, k) for run in both])(x, k))


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)])
def test_vmap(axes):
  x, k = draw(2, (2, 3, 8, 8, 5), (2, 3, 3, 5, 4))
  x, k = (x if axes[0] == 0 else x[0]), (k if axes[1] == 0 else k[0])
  both = [
    jax.vmap(with_gradients(conv), axes) for conv in (winograd.convolve, plain)
  ]
  assert_close(*jax.jit(lambda x, k: [run(x, k) for run in both])(x, k))


def test_descends_in_a_scan_like_lax():
  x, k = draw(3, (2, 3, 8, 8, 4), (3, 3, 4, 4))

  def descend(conv):
    energy = lambda x, k: jnp.sum(conv(x, k, SAME) ** 2)
    gradient = jax.vmap(jax.grad(energy), (0, None))
    step = lambda x, _: (x - 1e-3 * gradient(x, k), None)
    return jax.jit(lambda x: lax.scan(step, x, None, length=3)[0])(x)

  assert_close(descend(winograd.convolve), descend(plain))


@pytest.mark.parametrize(
  ("image", "kernel", "strides", "dtype", "taken"),
  [
    ((1, 16, 16, 32), (3, 3, 32, 32), 1, "float32", True),
    ((1, 12, 12, 32), (3, 3, 32, 32), 1, "float32", False),
    ((1, 16, 16, 16), (3, 3, 16, 32), 1, "float32", False),
    ((1, 16, 16, 32), (5, 5, 32, 32), 1, "float32", False),
    ((1, 32, 32, 32), (3, 3, 32, 32), 2, "float32", False),
    ((1, 16, 16, 32), (3, 3, 32, 32), 1, "bfloat16", False),
  ],
)
def test_it_is_used_only_where_it_is_faster(
  image, kernel, strides, dtype, taken
):
  def conv(x, kernel):
    return conv_general_dilated(
      x, kernel, (strides,) * 2, SAME, dimension_numbers=LAYOUT
    )

  arrays = [jax.ShapeDtypeStruct(shape, dtype) for shape in (image, kernel)]
  text = jax.jit(conv).lower(*arrays).as_text()
  assert ("stablehlo.convolution" not in text) == taken
