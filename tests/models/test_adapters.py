"""Classifiers from linen modules, nnx modules and functions."""

from flax import nnx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd import models
from jaxkd.models import from_function, from_linen, from_nnx, with_compute_dtype
from jaxkd.types import DataSpec, JaxkdError, Outputs

IMAGES = jax.random.uniform(jax.random.key(0), (6, 4))


class WithoutModes(nn.Module):
  """A module without a keyword argument for its mode."""

  @nn.compact
  def __call__(self, x):
    return nn.Dense(3)(x)


class Deterministic(nn.Module):
  """A module whose keyword argument `deterministic` is false in training."""

  @nn.compact
  def __call__(self, x, deterministic):
    x = nn.BatchNorm(use_running_average=deterministic)(x)
    return nn.Dropout(0.5, deterministic=deterministic)(x)


class Network(nnx.Module):
  """A network with batch statistics, dropout and a list of layers."""

  def __init__(self, rngs):
    self.layers = nnx.List([nnx.Linear(4, 4, rngs=rngs) for _ in range(2)])
    self.norm = nnx.BatchNorm(4, rngs=rngs)
    self.dropout = nnx.Dropout(0.5, rngs=rngs)

  def __call__(self, x):
    for layer in self.layers:
      x = layer(x)
    return self.dropout(self.norm(x))


def test_linen_without_modes():
  module = WithoutModes()
  variables = module.init(jax.random.key(0), IMAGES)
  classifier = from_linen(module, variables, mean=[0.5], std=[0.25])
  expected = module.apply(variables, (IMAGES - 0.5) / 0.25)
  np.testing.assert_allclose(classifier(IMAGES).logits, expected, rtol=1e-6)
  assert classifier.name == "WithoutModes"
  outputs, changed = classifier.apply(
    variables, IMAGES, train=True, rng=jax.random.key(1)
  )
  np.testing.assert_allclose(outputs.logits, expected, rtol=1e-6)
  assert not changed
  assert hash(classifier.apply) == hash(
    from_linen(WithoutModes(), None, mean=(0.5,), std=(0.25,)).apply
  )


def test_linen_with_a_deterministic_mode():
  module = Deterministic()
  variables = module.init(jax.random.key(0), IMAGES, True)
  apply = from_linen(module, variables).apply
  outputs, changed = apply(variables, IMAGES)
  assert not changed
  np.testing.assert_allclose(outputs.logits, IMAGES, rtol=1e-4)
  outputs, changed = apply(variables, IMAGES, train=True, rng=jax.random.key(1))
  assert 0 < np.mean(outputs.logits == 0) < 1
  np.testing.assert_allclose(
    changed["batch_stats"]["BatchNorm_0"]["mean"],
    0.01 * IMAGES.mean(0),
    rtol=1e-4,
  )


def test_nnx():
  model = Network(nnx.Rngs(0))
  classifier = from_nnx(model, mean=(0.5,), std=(0.25,))
  model.eval()
  expected = model((IMAGES - 0.5) / 0.25)
  np.testing.assert_allclose(classifier(IMAGES).logits, expected, rtol=1e-5)

  @jax.jit
  def train(variables, key):
    return classifier.apply(variables, IMAGES, train=True, rng=key)

  outputs, changed = train(classifier.variables, jax.random.key(1))
  again, _ = train(classifier.variables, jax.random.key(1))
  other, _ = train(classifier.variables, jax.random.key(2))
  np.testing.assert_array_equal(outputs.logits, again.logits)
  assert not np.array_equal(outputs.logits == 0, other.logits == 0)
  assert np.all(changed["batch_stats"]["norm"]["mean"] != 0)
  merged = {**classifier.variables, **changed}
  assert jax.tree.structure(merged) == jax.tree.structure(classifier.variables)
  assert not np.allclose(classifier.apply(merged, IMAGES)[0].logits, expected)
  assert from_nnx(Network(nnx.Rngs(1)), mean=(0.5,), std=(0.25,)).apply == (
    classifier.apply
  )


def test_nnx_has_gradients():
  classifier = from_nnx(nnx.Linear(4, 3, rngs=nnx.Rngs(0)))

  def total(params):
    variables = {**classifier.variables, "params": params}
    return classifier.apply(variables, IMAGES)[0].logits.sum()

  gradient = jax.grad(total)(classifier.variables["params"])
  expected = jnp.broadcast_to(IMAGES.sum(0)[:, None], (4, 3))
  np.testing.assert_allclose(gradient["kernel"], expected, rtol=1e-5)


def test_function():
  classifier = from_function(
    lambda variables, x: Outputs(x @ variables["params"], features=(x,)),
    {"params": jnp.eye(4)},
    mean=(1.0,),
    std=(2.0,),
    name="identity",
  )
  np.testing.assert_allclose(classifier(IMAGES).logits, (IMAGES - 1) / 2)
  assert classifier(IMAGES).features[0].shape == (6, 4)
  assert classifier.name == "identity"


def test_errors():
  with pytest.raises(JaxkdError, match="give both or neither"):
    from_function(lambda variables, x: x, {}, mean=(0.5,))
  with pytest.raises(JaxkdError, match=r"returned 0 .*teacher.output"):
    from_function(lambda variables, x: (x, x), {})(IMAGES)


def test_computing_in_another_dtype_keeps_the_weights():
  spec = DataSpec("test", (8, 8, 1), 10, (0.5,), (0.5,))
  network = models.init("mlp", jax.random.key(0), spec)
  assert with_compute_dtype(network, "float32") is network
  reduced = with_compute_dtype(network, "bfloat16")
  assert reduced.variables is network.variables
  images = jax.random.uniform(jax.random.key(1), (4, 8, 8, 1))
  full, rough = network(images).logits, reduced(images).logits
  assert rough.dtype == jnp.float32 and not np.array_equal(full, rough)
  np.testing.assert_allclose(full, rough, atol=0.02)
  again = with_compute_dtype(network, "bfloat16")
  assert again.apply == reduced.apply  # both share compiled functions
  assert hash(again.apply) == hash(reduced.apply)


def test_a_compute_dtype_needs_a_module_with_that_field():
  plain = from_function(lambda scale, images: scale * images, 2.0, name="twice")
  with pytest.raises(JaxkdError, match="'twice' is no flax.linen module"):
    with_compute_dtype(plain, "bfloat16")
