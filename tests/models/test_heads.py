"""Skeptical students: gradients, shapes and gates of their early exits."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd import models
from jaxkd.models.cnn import CNN
from jaxkd.models.cpu import conv
from jaxkd.models.skeptical import EarlyExit, Skeptical
from jaxkd.types import DataSpec


def fill(init, *args):
  """Returns random parameters and initial statistics, without compiling."""
  rng = np.random.default_rng(0)
  shapes = jax.eval_shape(init, jax.random.key(0), *args)
  params = jax.tree.map(
    lambda leaf: np.float32(rng.normal(0, 0.4, leaf.shape)), shapes["params"]
  )
  statistics = jax.tree.map_with_path(
    lambda path, leaf: np.full(leaf.shape, path[-1].key == "var", "f4"),
    shapes["batch_stats"],
  )
  return {"params": params, "batch_stats": statistics}


def test_heads_have_gradients_only_in_the_layers_below():
  """The gradient of a loss on a head is exactly 0 above it."""
  module = Skeptical(
    CNN(3, channels=(4, 5, 6), hidden=7),
    stages=(0, 1, 2),
    chain=((5, 2),),
    gate_stride=1,
    dtype=jnp.float32,
  )
  images = np.float32(np.random.default_rng(1).normal(size=(8, 10, 10, 1)))
  variables = fill(functools.partial(module.init, train=False), images)

  def loss(params, weights):
    outputs = module.apply({**variables, "params": params}, images)
    losses = [jnp.mean(x**2) for x in (outputs.logits, *outputs.heads)]
    return jnp.dot(weights, jnp.stack(losses))

  with conv.reference_form():  # it compiles faster
    gradient = jax.jit(jax.grad(loss))
    gradient(variables["params"], jnp.zeros(4))
  stages = [("Conv_0", "BatchNorm_0"), ("Conv_1", "BatchNorm_1")]
  stages += [("Conv_2", "BatchNorm_2"), ("Dense_0", "BatchNorm_3", "Dense_1")]
  for head in range(4):  # 0 is the last, 3 the first exit
    gradients = gradient(variables["params"], jnp.eye(4)[head])
    nonzero = {
      name: any(np.any(leaf != 0) for leaf in jax.tree.leaves(group))
      for name, group in {**gradients, **gradients["backbone"]}.items()
      if name != "backbone"
    }
    reached = 4 - head
    assert nonzero == {
      **{f"EarlyExit_{i}": head == 3 - i for i in range(3)},
      **{name: i < reached for i, stage in enumerate(stages) for name in stage},
    }


@pytest.mark.parametrize(
  ("network", "side"),
  [
    ("cnn_quarter", 28),
    pytest.param("mobilenet_v2_quarter", 64, marks=pytest.mark.slow),
    ("resnet18", 28),
    pytest.param("shufflenet_v2_quarter", 28, marks=pytest.mark.slow),
  ],
)
def test_exits_take_any_size(network, side):
  spec = DataSpec("test", (side, side, 1), 12, (0.5,), (0.5,))
  module = models.create(f"skeptical_{network}", spec, dtype=jnp.bfloat16)
  images = jax.ShapeDtypeStruct((2, side, side, 1), jnp.float32)
  outputs, variables = jax.eval_shape(
    module.init_with_output, jax.random.key(0), images
  )
  assert len(outputs.heads) == 3
  for logits in (outputs.logits, *outputs.heads):
    assert (logits.shape, logits.dtype) == ((2, 12), jnp.dtype(jnp.float32))
  plain = models.shapes(network, spec)["params"]
  assert variables["params"]["backbone"] == plain


@pytest.mark.parametrize("stride", [1, 2])
def test_gate(stride):
  """The gate multiplies the map by numbers between 0.5 and 1."""
  x = np.float32(np.random.default_rng(2).normal(size=(3, 7, 7, 2)))
  module = EarlyExit(2, (), stride, jnp.float32)
  variables = fill(functools.partial(module.init, train=False), x)
  variables["params"]["Dense_0"] = {"kernel": np.eye(2), "bias": np.zeros(2)}
  run = jax.jit(functools.partial(module.apply, train=False))
  gated = run(variables, np.abs(x))
  whole = np.abs(x).mean((1, 2))
  assert np.all((gated >= whole / 2 - 1e-6) & (gated < whole))
  assert np.any(gated > 0.51 * whole)
  closed = variables["params"]["BatchNorm_0"]
  closed["scale"], closed["bias"] = np.zeros(2, "f4"), -np.ones(2, "f4")
  np.testing.assert_allclose(run(variables, np.abs(x)), whole / 2, rtol=1e-5)
