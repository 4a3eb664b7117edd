"""Parameter counts from the published layer lists; shapes; normalisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd import models
from jaxkd.types import DataSpec, JaxkdError

COUNTS = [
  ("lenet5", (32, 32, 1), 10, 61_706),
  ("lenet5", (32, 32, 3), 10, 62_006),
  ("lenet5_half", (32, 32, 1), 10, 15_738),
  ("lenet5_half", (32, 32, 3), 10, 15_888),
  ("zsdb3kd_lenet5", (28, 28, 1), 10, 187_780),
  ("zsdb3kd_lenet5_half", (28, 28, 1), 10, 47_645),
  ("zsdb3kd_lenet5_fifth", (28, 28, 1), 10, 7_964),
  ("alexnet", (32, 32, 3), 10, 23_290_954),
  ("alexnet_half", (32, 32, 3), 10, 5_840_426),
  ("alexnet_quarter", (32, 32, 3), 10, 1_468_954),
  ("mlp", (2,), 2, 942),
  ("cnn", (32, 32, 3), 10, 357_514),
  ("cnn", (32, 32, 3), 100, 369_124),
  ("resnet18", (32, 32, 1), 10, 11_172_810),
  ("resnet18", (32, 32, 3), 10, 11_173_962),
  ("resnet18", (32, 32, 3), 12, 11_174_988),
  ("resnet18", (32, 32, 3), 100, 11_220_132),
  ("resnet18", (64, 64, 3), 200, 11_271_432),
  ("resnet34", (32, 32, 3), 10, 21_282_122),
  ("resnet34", (32, 32, 3), 100, 21_328_292),
  ("resnet34", (64, 64, 3), 200, 21_379_592),
  ("resnet50", (32, 32, 3), 10, 23_520_842),
  ("resnet50", (32, 32, 3), 100, 23_705_252),
  ("resnet50", (64, 64, 3), 200, 23_910_152),
  ("vit8", (32, 32, 3), 10, 1_138_610),
  ("vit4", (32, 32, 3), 10, 579_758),
  ("vit8", (32, 32, 1), 10, 1_128_050),
]


def spec(shape, num_classes=10):
  channels = shape[-1]
  return DataSpec("x", shape, num_classes, (0.4,) * channels, (0.2,) * channels)


@pytest.mark.parametrize("name, shape, num_classes, count", COUNTS)
def test_parameter_counts(name, shape, num_classes, count):
  shapes = models.shapes(name, spec(shape, num_classes))
  assert models.count_parameters(shapes) == count


@pytest.mark.parametrize("name", models.names())
def test_every_model_gives_logits_and_a_penultimate_feature(name):
  side = 28 if name.startswith("zsdb3kd") else 32
  inputs = spec((side, side, 3), 7)
  module, shapes = models.create(name, inputs), models.shapes(name, inputs)
  outputs = jax.eval_shape(
    module.apply, shapes, jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
  )
  assert outputs.logits.shape == (2, 7)
  assert outputs.logits.dtype == jnp.float32
  assert outputs.features[-1].ndim == 2


def test_initial_weights_are_pytorchs_and_follow_the_key():
  def kernel(seed):
    classifier = models.init("lenet5", jax.random.key(seed), spec((32, 32, 1)))
    return classifier.variables["params"]["fc1"]["kernel"]

  bound = 1 / np.sqrt(120)
  assert kernel(0).shape == (120, 84)
  assert float(jnp.abs(kernel(0)).max()) == pytest.approx(bound, rel=0.01)
  assert float(kernel(0).std()) == pytest.approx(bound / np.sqrt(3), rel=0.05)
  np.testing.assert_array_equal(kernel(0), kernel(0))
  assert not np.allclose(kernel(0), kernel(1))


def test_the_normaliser_is_inside():
  inputs = spec((4,))
  classifier = models.init("mlp", jax.random.key(0), inputs)
  images = jax.random.uniform(jax.random.key(1), (3, 4))
  module = models.create("mlp", inputs)
  normalised = (images - 0.4) / 0.2
  np.testing.assert_allclose(
    classifier(images).logits,
    module.apply(classifier.variables, normalised).logits,
    rtol=1e-5,
  )


def test_a_wrong_size_names_the_field():
  with pytest.raises(JaxkdError, match="image_size=32"):
    models.shapes("lenet5", spec((28, 28, 1)))


def test_unknown_models_name_the_nearest():
  with pytest.raises(JaxkdError, match="Did you mean resnet18"):
    models.create("resnet19", spec((32, 32, 3)))


def test_bfloat16_computes_near_and_keeps_float32_weights():
  inputs = spec((32, 32, 1))
  images = jax.random.uniform(jax.random.key(1), (2, 32, 32, 1))
  full = models.init("lenet5", jax.random.key(0), inputs)
  half = models.init("lenet5", jax.random.key(0), inputs, jnp.bfloat16)
  assert {x.dtype for x in jax.tree.leaves(half.variables)} == {
    jnp.dtype("float32")
  }
  np.testing.assert_allclose(
    half(images).logits, full(images).logits, atol=0.02
  )


def test_attention_never_looks_at_itself():
  from jaxkd.models.vit import LocalAttention

  layer = LocalAttention(heads=1, head_width=4)
  tokens = jax.random.normal(jax.random.key(0), (1, 3, 4))
  variables = layer.init(jax.random.key(1), tokens)
  qkv = variables["params"]["qkv"]["kernel"]
  # With queries and keys of zero every other token weighs the same.
  variables["params"]["qkv"]["kernel"] = qkv.at[:, :8].set(0)
  variables["params"]["out"] = {"kernel": jnp.eye(4), "bias": jnp.zeros(4)}
  values = tokens[0] @ qkv[:, 8:]
  expected = (values.sum(0) - values) / 2
  np.testing.assert_allclose(
    layer.apply(variables, tokens)[0], expected, atol=1e-5
  )


def test_resnet_in_training_changes_its_statistics_alone():
  inputs = spec((8, 8, 3))
  classifier = models.init("resnet18", jax.random.key(0), inputs)
  images = jax.random.uniform(jax.random.key(1), (2, 8, 8, 3))

  @jax.jit
  def both(variables):
    _, trained = classifier.apply(variables, images, train=True)
    _, evaluated = classifier.apply(variables, images)
    return trained, evaluated

  trained, evaluated = both(classifier.variables)
  assert evaluated == {}
  assert set(trained) == {"batch_stats"}
  before = jax.tree.leaves(classifier.variables["batch_stats"])
  after = jax.tree.leaves(trained["batch_stats"])
  assert all(
    not np.allclose(x, y) for x, y in zip(before, after, strict=True)
  )
