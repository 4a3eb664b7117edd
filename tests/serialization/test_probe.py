"""Probes accept equal networks and name the causes of differences."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxkd import models
from jaxkd.models import lenet
from jaxkd.models.cpu import conv
from jaxkd.models.layers import Dense, DepthwiseConv
from jaxkd.serialization import probe as probes
from jaxkd.serialization.answers import with_epsilon
from jaxkd.serialization.probe import Probe
from jaxkd.types import DataSpec, JaxkdError

SPEC = DataSpec("tiny", (8, 8, 3), 4, (0.2, 0.4, 0.6), (0.3, 0.25, 0.2))
IMAGES = probes.images(SPEC)


def with_random_statistics(classifier):
  draw = np.random.default_rng(1)

  def drawn(path, leaf):
    low = 0.05 if path[-1].key == "var" else -0.5
    return jnp.asarray(draw.uniform(low, 0.6, leaf.shape), jnp.float32)

  statistics = classifier.variables["batch_stats"]
  statistics = jax.tree_util.tree_map_with_path(drawn, statistics)
  variables = {**classifier.variables, "batch_stats": statistics}
  return classifier.replace(variables=variables)


@functools.cache
def network(model="ideal_lenet"):
  return with_random_statistics(models.init(model, jax.random.key(0), SPEC))


def logits(classifier, images=IMAGES):
  return np.asarray(classifier(jnp.asarray(images)).logits)


def refused(classifier, expected, images=IMAGES):
  """Returns the message for a classifier that does not answer as expected."""
  with pytest.raises(JaxkdError) as error:
    probes.check(classifier, Probe(images, expected), "This network")
  return str(error.value)


def normalised_by(classifier, mean, std):
  module = classifier.apply.module
  return models.from_linen(module, classifier.variables, mean=mean, std=std)


def test_its_own_answers_are_accepted():
  probe = Probe(IMAGES, logits(network()))
  assert probes.check(network(), probe, "x") <= 1e-5


def test_a_difference_above_the_tolerance_is_refused():
  expected = logits(network())
  scale = max(1, np.abs(expected).max())
  for share, fits in ((0.5, True), (2, False)):
    other = expected.copy()
    other[3, 1] += share * 1e-4 * scale
    if fits:
      difference = probes.check(network(), Probe(IMAGES, other), "x")
      assert difference == pytest.approx(share * 1e-4 * scale, rel=0.1)
    else:
      assert "largest difference" in refused(network(), other)


def test_probe_images_are_varied_and_the_same():
  assert IMAGES.shape == (8, 8, 8, 3) and IMAGES.dtype == np.float32
  assert IMAGES.min() >= 0 and IMAGES.max() <= 1
  np.testing.assert_array_equal(IMAGES, probes.images(SPEC))
  for axis in (0, 1, 2, 3):
    moved = np.roll(IMAGES, 1, axis)
    assert np.abs(moved - IMAGES).max() > 0.2
  points = probes.images(DataSpec("p", (2,), 2, (5.0, -5.0), (0.1, 0.1)))
  assert np.abs(points - [5, -5]).max() < 0.5


def test_probabilities_are_named():
  expected = np.asarray(jax.nn.softmax(logits(network())))
  assert "Softmax is already applied to the expected" in refused(
    network(), expected
  )


def test_a_network_that_gives_probabilities_is_named():
  soft = models.from_function(
    lambda scale, images: jax.nn.softmax(scale * images.mean((1, 2))), 3.0
  )
  answers = logits(soft)
  for expected in (answers, 1 + np.log(answers)):
    message = refused(soft, expected)
    assert "Softmax is already applied by the network" in message


def test_log_probabilities_are_accepted_as_logits():
  probe = Probe(IMAGES, np.asarray(jax.nn.log_softmax(logits(network()))))
  assert probes.check(network(), probe, "x") < 1e-4


def test_a_second_cause_is_found_behind_a_softmax():
  expected = jax.nn.softmax(logits(network(), IMAGES[..., ::-1]))
  message = refused(network(), np.asarray(expected))
  assert "--output_kind=probabilities" in message and "Channel order" in message


def test_channel_order_is_named():
  message = refused(network(), logits(network(), IMAGES[..., ::-1]))
  assert "Channel order" in message and "BGR" in message


IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORMALISERS = {
  "none": ((0.0,) * 3, (1.0,) * 3, "made without one; --mean=0,0,0"),
  "imagenet": (*IMAGENET, "ImageNet's; --mean=0.485,0.456,0.406"),
  "halves": ((0.5,) * 3, (0.5,) * 3, "0.5 and 0.5; --mean=0.5,0.5,0.5"),
  "cifar": (
    tuple(n / 255 for n in (125.3, 123.0, 113.9)),
    tuple(n / 255 for n in (63.0, 62.1, 66.7)),
    "cifar10's",
  ),
  "swapped": (SPEC.std, SPEC.mean, "swapped"),
  "bytes": ((0.0,) * 3, (1 / 255,) * 3, "images in [0, 255]; --mean=0,0,0"),
  "bytes, then": (
    tuple(n / 255 for n in SPEC.mean),
    tuple(n / 255 for n in SPEC.std),
    "[0, 255], then its own",
  ),
}


@pytest.mark.parametrize("case", NORMALISERS)
def test_the_normaliser_is_named(case):
  mean, std, words = NORMALISERS[case]
  message = refused(network(), logits(normalised_by(network(), mean, std)))
  assert "Normaliser" in message and words in message


def test_padding_of_strided_convolutions_is_named(monkeypatch):
  plain = conv.conv_general_dilated

  def same(x, kernel, strides, padding, **kwargs):
    padding = padding if tuple(strides) == (1, 1) else "SAME"
    return plain(x, kernel, strides, padding, **kwargs)

  classifier = network("resnet8_16")
  with monkeypatch.context() as patched:
    patched.setattr(conv, "conv_general_dilated", same)
    expected = logits(classifier)
  assert "Padding of strided" in refused(classifier, expected)


class Depthwise(nn.Module):
  """A strided depthwise convolution, with our padding or with flax's."""

  padded: bool = False

  @nn.compact
  def __call__(self, images):
    x = DepthwiseConv(3, 2, name="conv")(images)
    if self.padded:
      weights = self.get_variable("params", "conv")
      x = jax.lax.conv_general_dilated(
        images,
        weights["kernel"],
        (2, 2),
        "SAME",
        dimension_numbers=conv.LAYOUT,
        feature_group_count=3,
      )
      x += weights["bias"]
    return Dense(4)(x.mean((1, 2)))


def test_padding_of_depthwise_convolutions_is_named():
  variables = Depthwise().init(jax.random.key(0), IMAGES)
  mine, owners = (
    models.from_linen(Depthwise(padded), variables) for padded in (False, True)
  )
  assert "Padding of strided" in refused(mine, logits(owners))


@pytest.mark.parametrize("order", ["chw", "hwc"])
@pytest.mark.parametrize("model", ["ideal_lenet", "ideal_mlp"])
def test_flatten_order_is_named(model, order):
  right = models.init(model, jax.random.key(0), SPEC)
  if model == "ideal_lenet":
    right = with_random_statistics(right)
  kernel = right.variables["params"]["Dense_0"]["kernel"]
  channels = 32 if model == "ideal_lenet" else 3
  # Read as if it had been trained in the other order.
  split = (channels, -1) if order == "hwc" else (-1, channels)
  moved = kernel.reshape(*split, kernel.shape[-1]).swapaxes(0, 1)
  layers = dict(right.variables["params"])
  layers["Dense_0"] = {
    **layers["Dense_0"],
    "kernel": moved.reshape(kernel.shape),
  }
  wrong = right.replace(variables={**right.variables, "params": layers})
  other = {"chw": "hwc", "hwc": "chw"}[order]
  message = refused(wrong, logits(right))
  assert "Flatten order" in message
  assert f"--flatten={order}" in message and f"--flatten={other}" not in message


def test_epsilon_is_named_and_mended(monkeypatch):
  def norm(*, train, dtype):
    return functools.partial(
      nn.BatchNorm, use_running_average=not train, epsilon=1e-3, dtype=dtype
    )

  with monkeypatch.context() as patched:
    patched.setattr(lenet, "batch_norm", norm)
    expected = logits(network())
  assert "--batch_norm_epsilon=0.001" in refused(network(), expected)
  variables = with_epsilon(network().variables, 1e-3)
  mended = network().replace(variables=variables)
  probes.check(mended, Probe(IMAGES, expected), "x")


def test_train_mode_is_named():
  outputs, _ = network().apply(network().variables, IMAGES, train=True)
  assert "Train mode" in refused(network(), np.asarray(outputs.logits))


def test_another_network_has_no_usual_cause():
  other = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
  assert "None of the usual causes" in refused(network(), other)


def test_causes_are_tried_for_a_plain_function():
  kernel = jax.random.normal(jax.random.key(0), (192, 4))
  function = models.from_function(
    lambda kernel, images: images.reshape(len(images), -1) @ kernel, kernel
  )
  message = refused(function, logits(function, IMAGES[..., ::-1]))
  assert "Channel order" in message
  message = refused(function, logits(function, (IMAGES - 0.5) / 0.5))
  assert "0.5 and 0.5" in message


def test_the_number_of_classes_is_named():
  expected = np.zeros((8, 7), np.float32)
  assert "answers 4 classes, and the probe has 7" in refused(
    network(), expected
  )


def test_answers_that_are_not_finite_are_refused():
  infinite = models.from_function(
    lambda scale, images: scale * images.mean((1, 2)), jnp.inf
  )
  expected = np.zeros((8, 3), np.float32)
  assert "not finite" in refused(infinite, expected)


def test_infinite_expectations_are_refused(tmp_path):
  huge = np.full((8, 4), 1e300)
  probe = probes.load(saved(tmp_path / "probe", rows=huge), SPEC)
  assert "The probe has answers that are not finite" in refused(
    network(), probe.logits
  )


def saved(path, images=IMAGES, rows=None, **others):
  rows = np.zeros((len(images), 4), np.float32) if rows is None else rows
  tensors = {"images": images, "logits": rows, **others}
  tensors = {k: np.ascontiguousarray(v) for k, v in tensors.items()}
  save_file(tensors, path)
  return path


def test_the_layout_is_inferred(tmp_path):
  for images in (IMAGES, IMAGES.transpose(0, 3, 1, 2)):
    probe = probes.load(saved(tmp_path / "probe", images), SPEC)
    np.testing.assert_array_equal(probe.images, IMAGES)


def test_an_ambiguous_layout_has_to_be_given(tmp_path):
  spec = SPEC._replace(shape=(3, 3, 3))
  images = probes.images(spec)
  path = saved(tmp_path / "probe", images)
  with pytest.raises(JaxkdError, match="--layout"):
    probes.load(path, spec)
  loaded = probes.load(path, spec, "nchw").images
  np.testing.assert_array_equal(loaded, images.transpose(0, 2, 3, 1))


NAN = np.full((8, 4), np.nan, np.float32)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"images": IMAGES[:, :7]}, "which are not N images"),
    ({"images": IMAGES * 3 - 1}, "before the normaliser"),
    ({"images": np.full_like(IMAGES, np.nan)}, "not finite"),
    ({"images": (255 * IMAGES).astype(np.uint8)}, "float32"),
    ({"images": IMAGES[:0]}, "expected 1 to 64"),
    ({"images": np.repeat(IMAGES, 9, 0)}, "expected 1 to 64"),
    ({"rows": NAN}, "not finite"),
    ({"rows": NAN[:, :3]}, "rows of 4 logits"),
    ({"rows": NAN[:3]}, "rows of 4 logits"),
    ({"more": NAN}, "exactly `images` and `logits`"),
  ],
)
def test_invalid_probes_are_refused(tmp_path, change, message):
  with pytest.raises(JaxkdError, match=message):
    probes.load(saved(tmp_path / "probe", **change), SPEC)
