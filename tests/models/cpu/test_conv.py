"""The CPU's convolution agrees with `jax.lax`, its pool with flax."""

import re

import flax.linen as nn
import jax
from jax import lax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec as P
import numpy as np
import pytest

from jaxkd.models.cpu.conv import LAYOUT, conv_general_dilated
from jaxkd.models.cpu.conv_gradients import MIN_CHANNELS
from jaxkd.models.cpu.pool import max_pool

ONE = ((1, 1), (1, 1))


def draw(seed, *shapes):
  rng = np.random.default_rng(seed)
  return [np.float32(rng.normal(size=shape)) for shape in shapes]


def energy(conv, strides=(1, 1), padding=ONE):
  """Returns a scalar loss whose gradient differs at every position."""

  def run(x, kernel):
    y = conv(x, kernel, strides, padding, dimension_numbers=LAYOUT)
    return jnp.sum(y * y)

  return run


def assert_close(actual, expected, tolerance=2e-4):
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(
      np.float32(a), np.float32(b), rtol=tolerance, atol=tolerance
    ),
    actual,
    expected,
  )


@pytest.mark.parametrize(
  ("image", "kernel", "strides", "padding"),
  [
    ((8, 7), (3, 3), (1, 1), "SAME"),
    ((9, 6), (5, 2), (1, 1), "VALID"),
    ((8, 8), (3, 3), (2, 2), ONE),
    ((9, 7), (3, 3), (2, 2), "VALID"),
    ((7, 9), (2, 4), (3, 2), ((2, 0), (0, 3))),
    ((7, 8), (1, 1), (2, 2), "VALID"),
    ((7, 8), (1, 2), (3, 3), ((0, 1), (1, 1))),
    ((5, 5), (5, 5), (1, 1), "VALID"),
  ],
)
@pytest.mark.parametrize("channels", [3, MIN_CHANNELS])
def test_equals_lax(image, kernel, strides, padding, channels):
  x, k = draw(0, (2, *image, channels), (*kernel, channels, 4))
  both = [
    jax.value_and_grad(energy(conv, strides, padding), (0, 1))
    for conv in (conv_general_dilated, lax.conv_general_dilated)
  ]
  assert_close(*jax.jit(lambda x, k: [run(x, k) for run in both])(x, k))


@pytest.mark.parametrize("channels", [2, MIN_CHANNELS])
@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)])
def test_vmap(axes, channels):
  x, k = draw(1, (2, 2, 6, 6, channels), (2, 3, 3, channels, 4))
  x, k = (x if axes[0] == 0 else x[0]), (k if axes[1] == 0 else k[0])
  both = [
    jax.vmap(jax.value_and_grad(energy(conv, (2, 2)), (0, 1)), axes)
    for conv in (conv_general_dilated, lax.conv_general_dilated)
  ]
  assert_close(*jax.jit(lambda x, k: [run(x, k) for run in both])(x, k))


def test_nested_vmap_in_scan_descends_like_lax():
  """Takes three gradient steps, vmapped over sets inside and seeds outside."""
  x, k = draw(2, (2, 3, 2, 6, 6, 2), (2, 3, 3, 2, 4))

  def descend(conv):
    gradient = jax.vmap(jax.grad(energy(conv)), (0, None))

    def run(x, k):
      step = lambda x, _: (x - 0.001 * gradient(x, k), None)
      return lax.scan(step, x, None, length=3)[0]

    return jax.jit(jax.vmap(run))(x, k)

  assert_close(descend(conv_general_dilated), descend(lax.conv_general_dilated))


def test_gradients_are_canonical_and_never_grouped():
  """Checks for the only layout that XLA:CPU runs fast in a loop."""
  x, k = draw(3, (3, 2, 8, 8, 2), (3, 3, 3, 2, 4))
  gradients = jax.grad(energy(conv_general_dilated, (2, 2)), (0, 1))
  text = jax.jit(jax.vmap(gradients)).lower(x, k).as_text()
  layouts = set(re.findall(r"dim_numbers = (\[.*?\]x\[.*?\]->\[.*?\])", text))
  assert layouts == {"[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]"}
  assert set(re.findall(r"feature_group_count = (\d+)", text)) == {"1"}


def test_on_devices():
  x, k = draw(4, (2, 2, 6, 6, 2), (3, 3, 2, 4))
  gradient = jax.grad(energy(conv_general_dilated), 1)
  expected = jax.jit(gradient)(x.reshape(4, 6, 6, 2), k)
  mean = lambda x, k: lax.psum(gradient(x, k), "data")
  actual = jax.pmap(mean, "data", in_axes=(0, None), out_axes=None)(x, k)
  assert_close(actual, expected)
  sharded = jax.shard_map(
    mean,
    mesh=Mesh(np.array(jax.devices()[:2]), ("data",)),
    in_specs=(P("data"), P()),
    out_specs=P(),
    check_vma=False,
  )
  actual = jax.jit(sharded)(x.reshape(4, 6, 6, 2), k)
  assert_close(actual, expected)


def test_bfloat16():
  x, k = map(jnp.bfloat16, draw(5, (2, 6, 6, 2), (3, 3, 2, 4)))
  both = [
    jax.grad(energy(conv), (0, 1))
    for conv in (conv_general_dilated, lax.conv_general_dilated)
  ]
  actual, expected = jax.jit(lambda x, k: [run(x, k) for run in both])(x, k)
  assert {leaf.dtype for leaf in actual} == {jnp.dtype(jnp.bfloat16)}
  assert_close(actual, expected, 0.1)


@pytest.mark.parametrize(
  "options",
  [
    {"kernel_dilation": 2},
    {"feature_group_count": 2},
    {"strides": 2, "padding": "SAME"},
  ],
)
def test_drops_into_linen(options):
  x = draw(6, (2, 7, 7, 4))[0]
  plain = nn.Conv(6, (3, 3), **options)
  ours = nn.Conv(
    6, (3, 3), **options, conv_general_dilated=conv_general_dilated
  )
  kernel = draw(7, (3, 3, 4 // options.get("feature_group_count", 1), 6))[0]
  variables = {"params": {"kernel": kernel, "bias": np.zeros(6, "f4")}}
  both = lambda x: [net.apply(variables, x) for net in (ours, plain)]
  assert_close(*jax.jit(both)(x), 1e-4)


def test_other_layouts_go_to_lax():
  x, k = draw(7, (2, 3, 6, 6), (4, 3, 3, 3))  # NCHW, OIHW
  both = lambda x, k: [
    conv(x, k, (1, 1), "SAME")
    for conv in (conv_general_dilated, lax.conv_general_dilated)
  ]
  assert_close(*jax.jit(both)(x, k), 1e-4)


@pytest.mark.parametrize(("window", "stride"), [(2, 2), (3, 2), (2, 1)])
def test_max_pool_equals_reduce_window(window, stride):
  x = draw(8, (2, 7, 6, 3))[0]

  def run(pool):
    return jax.jit(jax.grad(lambda x: jnp.sum(pool(x) ** 2)))(x)

  expected = run(lambda x: nn.max_pool(x, (window,) * 2, (stride,) * 2))
  assert_close(
    run(lambda x: max_pool(x, (window,) * 2, (stride,) * 2)), expected, 1e-6
  )


def test_max_pool_shares_the_gradient_of_ties():
  gradient = jax.grad(lambda x: max_pool(x).sum())(jnp.ones((1, 2, 2, 1)))
  np.testing.assert_array_equal(gradient, jnp.full((1, 2, 2, 1), 0.25))
