"""The inputs of batch normalisations are captured in any network."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd import models
from jaxkd.models import from_function, from_linen
from jaxkd.synthesis import batch_statistics
from jaxkd.types import Classifier, DataSpec, JaxkdError

SPEC = DataSpec("tiny", (8, 8, 2), 3, (0.2, 0.4), (0.3, 0.5))
IMAGES = jax.random.uniform(jax.random.key(0), (6, *SPEC.shape))


class OneNorm(nn.Module):
  """Normalises its very inputs, and means over places are logits."""

  axis: int = -1

  @nn.compact
  def __call__(self, images, *, train=False):
    norm = nn.BatchNorm(use_running_average=not train, axis=self.axis)
    return norm(x=images).mean((1, 2))


def one_norm(mean, variance, axis=-1):
  """A classifier with `OneNorm` and these stored statistics."""
  module = OneNorm(axis)
  variables = module.init(jax.random.key(0), IMAGES)
  stored = {"mean": jnp.asarray(mean), "var": jnp.asarray(variance)}
  return from_linen(
    module, {**variables, "batch_stats": {"BatchNorm_0": stored}}
  )


def test_equal_statistics_are_at_distance_zero():
  teacher = one_norm(IMAGES.mean((0, 1, 2)), IMAGES.var((0, 1, 2)))

  def distance(images):
    return batch_statistics.batch_norm_term(
      batch_statistics.capture_batch_norms(teacher, images)[1]
    )

  value, slope = jax.value_and_grad(distance)(IMAGES)
  assert value < 1e-6
  # Scaled by 3: means 3 m, variances 9 v.
  mean, variance = np.mean(IMAGES, (0, 1, 2)), np.var(IMAGES, (0, 1, 2))
  expected = np.linalg.norm(2 * mean) + np.linalg.norm(8 * variance)
  assert distance(3 * IMAGES) == pytest.approx(expected, rel=1e-5)
  assert np.isfinite(slope).all()
  norms = batch_statistics.capture_batch_norms(teacher, 3 * IMAGES)[1]
  weighted = batch_statistics.batch_norm_term(norms, first=10.0)
  assert weighted == pytest.approx(10 * expected, rel=1e-5)  # of one layer


def test_the_slope_is_that_of_finite_differences():
  teacher = models.init("cnn_quarter", jax.random.key(1), SPEC)

  @jax.jit
  def distance(images):
    return batch_statistics.batch_norm_term(
      batch_statistics.capture_batch_norms(teacher, images)[1]
    )

  slope = jax.grad(distance)(IMAGES)
  steepest = jnp.linalg.norm(slope)
  way = 2e-2 * slope / steepest
  rise = distance(IMAGES + way) - distance(IMAGES - way)
  assert steepest > 0.1
  assert rise / 4e-2 == pytest.approx(float(steepest), rel=2e-2)


def test_layers_come_in_the_order_of_their_calls():
  teacher = models.init("cnn_quarter", jax.random.key(1), SPEC)
  marked = jax.tree.map(lambda leaf: leaf, teacher.variables)
  for index in range(4):
    stored = marked["batch_stats"][f"BatchNorm_{index}"]
    stored["mean"] += index
    stored["var"] += 10 * index
  teacher = teacher.replace(variables=marked)
  outputs, norms = batch_statistics.capture_batch_norms(teacher, IMAGES)
  np.testing.assert_array_equal(outputs.logits, teacher(IMAGES).logits)
  assert [x.shape for x in norms.inputs] == [
    (6, 8, 8, 8),
    (6, 4, 4, 16),
    (6, 2, 2, 32),
    (6, 32),
  ]
  assert [m[0] for m in norms.running_means] == [0, 1, 2, 3]
  assert [v[0] for v in norms.running_variances] == [1, 11, 21, 31]
  # What the first layer sees is the convolution of the normalised images.
  kernel = marked["params"]["Conv_0"]
  normalised = (IMAGES - np.array(SPEC.mean)) / np.array(SPEC.std)
  expected = jax.lax.conv_general_dilated(
    normalised.astype(jnp.float32), kernel["kernel"], (1, 1), "SAME",
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )  # fmt: skip
  np.testing.assert_allclose(
    norms.inputs[0], expected + kernel["bias"], atol=1e-5
  )


def test_features_in_front_are_moved_to_the_end():
  teacher = one_norm(jnp.zeros(8), jnp.ones(8), axis=1)
  (inputs,) = batch_statistics.capture_batch_norms(teacher, IMAGES)[1].inputs
  np.testing.assert_array_equal(inputs, jnp.moveaxis(IMAGES, 1, -1))


def test_nothing_changes_in_the_network_or_for_others():
  teacher = models.init("ideal_lenet", jax.random.key(1), SPEC)
  before = jax.tree.map(np.array, teacher.variables)
  batch_statistics.capture_batch_norms(teacher, IMAGES)
  jax.tree.map(np.testing.assert_array_equal, teacher.variables, before)
  assert (
    len(batch_statistics.capture_batch_norms(teacher, IMAGES)[1].inputs) == 2
  )


def test_pooled_features_are_means_over_places():
  maps = [jnp.arange(24.0).reshape(2, 3, 2, 2), jnp.ones((2, 1))]
  result = batch_statistics.pooled(maps)
  np.testing.assert_allclose(result, [[5.0, 6.0, 1.0], [17.0, 18.0, 1.0]])


def linear(variables, images):
  return images.reshape(len(images), -1) @ variables


@pytest.mark.parametrize("kind", ["lenet5", "function"])
def test_a_teacher_without_them_is_refused_by_name(kind):
  spec = SPEC._replace(shape=(32, 32, 2))
  teacher = from_function(linear, jnp.zeros((32 * 32 * 2, 3)), name="function")
  if kind == "lenet5":
    teacher = models.init("lenet5", jax.random.key(0), spec)
  with pytest.raises(JaxkdError, match=f"{kind}.*such as ideal_lenet.*or sew"):
    batch_statistics.require_batch_norms(teacher, spec, "sew")


def test_shapes_compute_nothing():
  teacher = models.init("cnn_quarter", jax.random.key(1), SPEC)
  shapes = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), teacher.variables
  )
  blank = Classifier(shapes, teacher.apply)
  _, norms = batch_statistics.shapes(blank, SPEC)
  assert [x.shape[-1] for x in norms.inputs] == [8, 16, 32, 32]
  batch_statistics.require_batch_norms(blank, SPEC, "")
