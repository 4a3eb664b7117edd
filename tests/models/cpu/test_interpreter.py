"""Networks of users compute the same in the forms for XLA:CPU."""

from flax import nnx
import flax.linen as nn
import jax
from jax import lax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.models import from_function, from_linen, from_nnx
from jaxkd.models.cpu import conv
from jaxkd.models.cpu.interpreter import with_cpu_forms

NHWC = ("NHWC", "HWIO", "NHWC")
NCHW = ("NCHW", "OIHW", "NCHW")
# Primitives whose body is a form of ours, or has a rule of its author.
OPAQUE = ("custom_vjp_call", "custom_vmap_call")


def draw(seed, *shapes):
  rng = np.random.default_rng(seed)
  return [np.float32(rng.normal(0, 0.5, shape)) for shape in shapes]


def convolve(x, kernel, numbers=NHWC, strides=(1, 1), padding="SAME", **kwargs):
  return lax.conv_general_dilated(
    x, kernel, strides, padding, dimension_numbers=numbers, **kwargs
  )


def pool(x, window, strides, padding="VALID"):
  return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, padding)


def assert_close(actual, expected, tolerance=2e-5):
  """Compares trees, relative to the largest number of each leaf."""

  def compare(a, b):
    a, b = np.float32(a), np.float32(b)
    np.testing.assert_allclose(
      a, b, rtol=tolerance, atol=tolerance * np.abs(b).max()
    )

  jax.tree.map(compare, actual, expected)


def check_equal(function, *args, tolerance=2e-5):
  """Compares values and gradients of a function with those as it is."""

  def both(function):
    def loss(*args):
      y = function(*args)
      return jnp.sum(jnp.sin(y) * y), y

    return jax.value_and_grad(loss, tuple(range(len(args))), has_aux=True)

  actual, expected = jax.jit(
    lambda *args: (both(with_cpu_forms(function))(*args), both(function)(*args))
  )(*args)
  assert_close(actual, expected, tolerance)


def equations(function, *args):
  """Lists the primitives of a function, without the bodies of our forms."""

  def walk(jaxpr):
    for eqn in getattr(jaxpr, "jaxpr", jaxpr).eqns:
      yield eqn.primitive.name
      if eqn.primitive.name not in OPAQUE:
        for inner in jex.jaxprs_in_params(eqn.params):
          yield from walk(inner)

  return list(walk(jax.make_jaxpr(function)(*args)))


def test_convolutions():
  """Compares strides, padding, other axes, groups and dilation."""
  x, square, row, point, grouped, single, whole = draw(
    0, (2, 9, 8, 4), (3, 3, 4, 5), (2, 3, 4, 5), (1, 1, 4, 6), (3, 3, 2, 6),
    (3, 3, 1, 4), (9, 8, 4, 3),
  )  # fmt: skip

  def total(x, square, row, point, grouped, single, whole):
    nchw, oihw = x.transpose(0, 3, 1, 2), square.transpose(3, 2, 0, 1)
    maps = (
      convolve(x, square),
      convolve(x, row, strides=(2, 1), padding=((0, 1), (2, 0))),
      convolve(nchw, oihw, NCHW, (2, 2), ((1, 1), (1, 1))),
      convolve(nchw, square, ("NCHW", "HWIO", "NHWC")),
      convolve(x, point, strides=(2, 2), padding="VALID"),
      convolve(x, whole, padding="VALID"),
      convolve(x, single, strides=(2, 2), feature_group_count=4),
      convolve(x, grouped, feature_group_count=2),
      convolve(x, square, rhs_dilation=(2, 2)),
      convolve(x, square, padding=((1, 1), (1, 1)), lhs_dilation=(2, 1)),
    )
    return jnp.stack([jnp.sum(jnp.sin(y)) for y in maps])

  args = (x, square, row, point, grouped, single, whole)
  check_equal(total, *args)
  names = equations(with_cpu_forms(total), *args)
  assert names.count("conv_general_dilated") == 2  # the dilated ones


@pytest.mark.parametrize(
  ("window", "strides", "padding"),
  [
    ((1, 2, 2, 1), (1, 2, 2, 1), "VALID"),
    ((1, 3, 3, 1), (1, 2, 2, 1), "SAME"),
    ((1, 1, 3, 2), (1, 1, 2, 2), "VALID"),
    ((2, 1, 1, 2), (1, 1, 1, 1), "VALID"),
  ],
)
def test_max_pools(window, strides, padding):
  x = draw(1, (2, 6, 7, 6))[0]
  check_equal(lambda x: pool(x, window, strides, padding), x)
  names = equations(
    with_cpu_forms(lambda x: pool(x, window, strides, padding)), x
  )
  assert ("reduce_window_max" in names) == (window[0] > 1)


def lenet(x, parameters, last_padding="VALID"):
  """Two layers, the first with ReLU before the pool, and their maps."""
  first, bias, second, other = parameters
  y = jax.nn.relu(convolve(x, first, padding="VALID") + bias)
  first = pool(y, (1, 2, 2, 1), (1, 2, 2, 1))
  y = convolve(first, second, padding=last_padding) + other
  return first, jax.nn.relu(pool(y, (1, 2, 2, 1), (1, 2, 2, 1)))


@pytest.mark.parametrize("last_padding", ["VALID", "SAME"])
def test_chains(last_padding):
  """Compares the maps of two layers, of which the first is used elsewhere."""
  x, *parameters = draw(
    2, (2, 16, 20, 3), (5, 5, 3, 2), (2,), (5, 5, 2, 5), (5,)
  )

  def total(x, parameters):
    first, second = lenet(x, parameters, last_padding)
    return jnp.sum(first**2) + jnp.sum(jnp.sin(second))

  check_equal(total, x, parameters, tolerance=1e-4)


def test_chains_use_space_to_depth():
  x, *parameters = draw(
    3, (2, 32, 32, 1), (5, 5, 1, 6), (6,), (5, 5, 6, 16), (16,)
  )
  jaxpr = jax.make_jaxpr(with_cpu_forms(lambda *args: lenet(*args)[1]))
  shapes = [
    eqn.invars[0].aval.shape
    for eqn in jaxpr(x, parameters).jaxpr.eqns
    if eqn.primitive.name == "custom_vjp_call"
  ]
  # Convolutions and pools, with the inputs of factor 4 and 2.
  assert shapes == [(2, 8, 8, 16), (2, 7, 7, 96), (2, 7, 7, 24), (2, 5, 5, 64)]


def test_a_pool_moves_before_relu_of_jax_alone():
  """A function like ReLU, with another derivative, keeps it."""

  @jax.custom_jvp
  def leaking(x):
    return jnp.maximum(x, 0)

  leaking.defjvp(lambda x, t: (leaking(*x), t[0] * jnp.where(*x, 1, 0.5)))
  x, kernel = draw(4, (2, 8, 8, 3), (3, 3, 3, 4))
  check_equal(
    lambda x, k: pool(leaking(convolve(x, k)), (1, 2, 2, 1), (1, 2, 2, 1)),
    x,
    kernel,
  )


def test_channels_stay_last_between_layers_of_another_order():
  """A network as in PyTorch moves its axes at its start and end alone."""
  x, *kernels = draw(5, (2, 3, 12, 12), (6, 3, 3, 3), (6, 6, 3, 3), (6, 1, 1))

  def network(x, first, second, scale):
    for kernel in (first, second):
      y = convolve(x, kernel, NCHW) * scale
      y = (y - y.mean((0, 2, 3), keepdims=True)) / jnp.sqrt(1 + scale**2)
      x = jax.nn.silu(jax.nn.relu(y)) + jax.nn.leaky_relu(y)
    x = pool(x, (1, 1, 2, 2), (1, 1, 2, 2))
    return x.mean((2, 3))

  check_equal(network, x, *kernels)
  names = equations(with_cpu_forms(network), x, *kernels)
  # Of the images, of two kernels and of small arrays, such as the means.
  jaxpr = jax.make_jaxpr(with_cpu_forms(network))(x, *kernels)
  moved = [
    eqn.invars[0].aval.shape
    for eqn in jaxpr.jaxpr.eqns
    if eqn.primitive.name == "transpose"
  ]
  assert [shape for shape in moved if shape[0] == 2] == [(2, 3, 12, 12)]
  assert "reduce_window_max" not in names


@jax.custom_jvp
def with_jvp(x, kernel):
  return convolve(x, kernel)


with_jvp.defjvp(
  lambda primals, tangents: (with_jvp(*primals), jnp.tanh(tangents[0]) * 0 + 1)
)


@jax.custom_vjp
def with_vjp(x, kernel):
  return convolve(x, kernel)


with_vjp.defvjp(
  lambda *args: (with_vjp(*args), args), lambda args, dy: (dy, args[1] * 2)
)


@pytest.mark.parametrize(
  ("name", "network"),
  [
    ("jit", lambda x, k: jax.jit(convolve)(x, k)),
    ("checkpoint", lambda x, k: jax.checkpoint(convolve)(x, k)),
    (
      "scan",
      lambda x, k: lax.scan(
        lambda x, k: (jnp.tanh(convolve(x, k)), x.sum()), x, jnp.stack([k, k])
      )[0],
    ),
    (
      "cond",
      lambda x, k: lax.cond(x.sum() > 0, convolve, lambda x, k: x * 2, x, k),
    ),
  ],
)
def test_inside_of(name, network):
  del name
  x, kernel = draw(6, (2, 5, 5, 2), (3, 3, 2, 2))
  check_equal(network, x, kernel)
  names = equations(with_cpu_forms(network), x, kernel)
  assert "conv_general_dilated" not in names and "custom_vjp_call" in names


def test_inside_of_what_has_rules_of_its_own():
  """Values of while loops and of custom derivatives are those of the forms."""
  x, kernel = draw(7, (2, 5, 5, 2), (3, 3, 2, 2))

  def network(x, k):
    x = lax.while_loop(
      lambda x: jnp.abs(x).max() < 9, lambda x: convolve(x, k) + x, x
    )
    return with_jvp(x, k) + with_vjp(x, k)

  assert_close(
    *jax.jit(lambda *args: (with_cpu_forms(network)(*args), network(*args)))(
      x, kernel
    )
  )
  text = str(jax.make_jaxpr(with_cpu_forms(network))(x, kernel))
  assert text.count("custom_vmap_call") == 3
  # The rules stay as they are.
  gradients = jax.grad(lambda *args: with_cpu_forms(with_vjp)(*args).sum(), 1)
  np.testing.assert_array_equal(jax.jit(gradients)(x, kernel), kernel * 2)


class Network(nn.Module):
  """A network with what classifiers can have: modes, dropout, remat."""

  @nn.compact
  def __call__(self, x, train):
    layer = nn.remat(nn.Conv)
    x = nn.relu(nn.max_pool(layer(4, (3, 3))(x), (2, 2), (2, 2)))
    x = nn.BatchNorm(use_running_average=not train)(nn.Conv(4, (3, 3))(x))
    x = nn.Dropout(0.5, deterministic=not train)(x)
    return nn.Dense(3)(x.mean((1, 2)))


def test_a_classifier_in_training():
  """Collections and random keys of a network pass through unchanged."""
  images = draw(8, (4, 8, 8, 1))[0]
  module = Network()
  network = from_linen(
    module, module.init(jax.random.key(0), images, False), mean=(0.5,), std=(2,)
  )

  def step(network, images, key):
    def loss(params):
      variables = {**network.variables, "params": params}
      outputs, changed = network.apply(variables, images, train=True, rng=key)
      return jnp.sum(outputs.logits**2), changed

    return jax.value_and_grad(loss, has_aux=True)(network.variables["params"])

  args = (network, images, jax.random.key(1))
  actual = jax.jit(lambda *args: step(*args))(*args)
  with conv.reference_form():
    expected = jax.jit(lambda *args: step(*args))(*args)
  assert_close(actual, expected, 1e-4)
  assert jax.tree.structure(actual) == jax.tree.structure(expected)
  names = equations(step, *args)
  assert {"conv_general_dilated", "reduce_window_max"}.isdisjoint(names)


def test_networks_with_weights_of_their_own():
  """Stacked students are the students one by one; bfloat16 works too."""
  x, *kernels = draw(9, (3, 8, 8, 1), (2, 3, 3, 1, 4), (2, 3, 3, 4, 2))

  def function(kernels, x):
    x = jax.nn.relu(convolve(x, kernels[0]))
    return convolve(pool(x, (1, 2, 2, 1), (1, 2, 2, 1)), kernels[1]).mean(
      (1, 2)
    )

  network = from_function(function, kernels)

  def gradient(kernels, x):
    return jax.grad(lambda k: jnp.sum(network.apply(k, x)[0].logits ** 2))(
      kernels
    )

  def both(kernels, x):
    single = [gradient([k[i] for k in kernels], x) for i in range(2)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *single)
    return jax.vmap(gradient, (0, None))(kernels, x), stacked

  assert_close(*jax.jit(both)(kernels, x))
  low = jax.tree.map(jnp.bfloat16, (kernels, x))
  logits = jax.jit(lambda *args: network.apply(*args)[0].logits)
  rough = logits([k[0] for k in low[0]], low[1])
  assert rough.dtype == jnp.bfloat16
  assert_close(rough, logits([k[0] for k in kernels], x), 0.05)


def test_an_nnx_module():
  network = from_nnx(nnx.Conv(1, 2, (3, 3), rngs=nnx.Rngs(0)))
  names = equations(
    lambda network, x: network.apply(network.variables, x)[0],
    network,
    jnp.ones((1, 5, 5, 1)),
  )
  assert "custom_vjp_call" in names and "conv_general_dilated" not in names


def test_it_leaves_numbers_and_reference_forms_alone():
  x, kernel = draw(10, (1, 5, 5, 2), (3, 3, 2, 2))
  np.testing.assert_array_equal(
    with_cpu_forms(convolve)(x, kernel), convolve(x, kernel)
  )
  with conv.reference_form():
    names = equations(with_cpu_forms(convolve), x, kernel)
  assert names == ["conv_general_dilated"]


def test_constants_and_several_results():
  """A function may close over arrays and return a tree."""
  x, kernel = draw(11, (1, 5, 5, 2), (3, 3, 2, 2))
  table = jnp.arange(50.0).reshape(5, 5, 2)

  def function(x):
    y = jax.jit(lambda x: convolve(x + table, jnp.asarray(kernel)))(x)
    return {"y": y, "x": (x, None)}

  actual = jax.jit(with_cpu_forms(function))(x)
  expected = function(x)
  assert_close(actual, expected)
  assert jax.tree.structure(actual) == jax.tree.structure(expected)
