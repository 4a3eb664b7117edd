"""MobileNetV2 and ShuffleNetV2: shapes of the maps, and the blocks."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd import models
from jaxkd.models.mobilenet import InvertedResidual
from jaxkd.models.shufflenet import ShuffleUnit
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


@pytest.mark.parametrize(
  ("name", "shape", "maps"),
  [
    (
      "mobilenet_v2",
      (32, 32, 3),
      [(34, 16), (17, 24), (9, 32), (5, 64), (5, 96), (5, 160), (5, 320)],
    ),
    (
      "mobilenet_v2_quarter",
      (28, 28, 1),
      [(30, 4), (15, 6), (8, 8), (4, 16), (4, 24), (4, 40), (4, 80)],
    ),
    ("shufflenet_v2", (64, 64, 3), [(32, 116), (16, 232), (8, 464)]),
    ("shufflenet_v2_quarter", (28, 28, 1), [(14, 28), (7, 58), (4, 116)]),
    ("resnet8_16", (28, 28, 1), [(28, 16), (14, 32), (7, 64)]),
  ],
)
def test_maps(name, shape, maps):
  spec = DataSpec("test", shape, 200, (0.5,) * shape[2], (0.5,) * shape[2])
  images = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
  outputs, _ = jax.eval_shape(
    models.create(name, spec).init_with_output, jax.random.key(0), images
  )
  *stages, pooled = [feature.shape for feature in outputs.features]
  assert stages == [(2, side, side, width) for side, width in maps]
  assert len(pooled) == 2
  assert outputs.logits.shape == (2, 200)


@pytest.mark.parametrize(
  ("features", "stride", "added"), [(2, 1, True), (3, 1, False), (2, 2, False)]
)
def test_inverted_residual_adds_where_shapes_agree(features, stride, added):
  x = np.float32(np.random.default_rng(1).normal(size=(2, 4, 4, 2)))
  block = InvertedResidual(features, 3, stride, nn.relu6, jnp.float32)
  variables = fill(functools.partial(block.init, train=False), x)
  zeros = np.zeros(features, "f4")
  variables["params"]["BatchNorm_2"] = {"scale": zeros, "bias": zeros}
  y = jax.jit(functools.partial(block.apply, train=False))(variables, x)
  assert y.shape == (2, 4 // stride, 4 // stride, features)
  np.testing.assert_array_equal(y, x if added else 0)


def test_shuffle_unit_interleaves():
  """Every second output channel is an input channel."""
  x = np.float32(np.random.default_rng(2).normal(size=(2, 4, 4, 6)))
  unit = ShuffleUnit(6, 1, jnp.float32)
  variables = fill(functools.partial(unit.init, train=False), x)
  run = jax.jit(functools.partial(unit.apply, train=False))
  y = run(variables, x)
  np.testing.assert_array_equal(y[..., ::2], x[..., :3])
  np.testing.assert_array_less(-1e-9, y[..., 1::2])  # they end in a ReLU
  first = x.copy()
  first[..., :3] = 0
  np.testing.assert_array_equal(run(variables, first)[..., 1::2], y[..., 1::2])
