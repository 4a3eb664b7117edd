"""The networks by name: sizes, modes, initialisation and errors."""

import functools

import jax
import jax.numpy as jnp
from network_kinds import KINDS, every_network
import numpy as np
import pytest

from jaxkd import models
from jaxkd.types import DataSpec, JaxkdError

shapes = functools.cache(models.shapes)


def spec(side=32, channels=3, classes=10):
  half = (0.5,) * channels
  return DataSpec("test", (side, side, channels), classes, half, half)


COUNTS = [
  ("lenet5", spec(channels=1), 61_706),
  ("lenet5", spec(), 62_006),
  ("lenet5_half", spec(channels=1), 15_738),
  ("lenet5_half", spec(), 15_888),
  ("zsdb3kd_lenet5", spec(28, 1), 187_780),
  ("zsdb3kd_lenet5_half", spec(28, 1), 47_645),
  ("zsdb3kd_lenet5_fifth", spec(28, 1), 7_964),
  ("zsdb3kd_alexnet", spec(), 23_290_954),
  ("zsdb3kd_alexnet_half", spec(), 5_840_426),
  ("zsdb3kd_alexnet_quarter", spec(), 1_468_954),
  ("cnn", spec(), 357_514),
  ("cnn", spec(classes=100), 369_124),
  ("cake_cnn", spec(28, 1), 107_658),
  ("dast_small", spec(28, 1), 431_080),
  ("dast_medium", spec(28, 1), 153_630),
  ("dast_large", spec(28, 1), 101_180),
  ("ideal_alexnet", spec(28, 1), 2_163_210),
  ("ideal_cnn", spec(), 912_778),
  ("ideal_lenet", spec(28, 1), 29_034),
  ("ideal_mlp", spec(28, 1), 468_874),
  ("resnet18", spec(), 11_173_962),
  ("resnet18", spec(classes=12), 11_174_988),
  ("resnet18", spec(64, classes=200), 11_271_432),
  ("resnet18", spec(channels=1), 11_172_810),
  ("resnet34", spec(), 21_282_122),
  ("resnet34", spec(classes=100), 21_328_292),
  ("resnet50", spec(), 23_520_842),
  ("resnet50", spec(classes=100), 23_705_252),
  # The counts of torchvision 0.27.1 and of timm 1.0.31.
  ("torchvision_resnet18", spec(224, classes=1000), 11_689_512),
  ("torchvision_resnet34", spec(64, classes=1000), 21_797_672),
  ("torchvision_resnet50", spec(64, classes=1000), 25_557_032),
  ("torchvision_vgg11", spec(224, classes=1000), 132_863_336),
  ("torchvision_vgg11_bn", spec(64, classes=1000), 132_868_840),
  ("torchvision_vgg13", spec(64, classes=1000), 133_047_848),
  ("torchvision_vgg13_bn", spec(64, classes=1000), 133_053_736),
  ("torchvision_vgg16", spec(64, classes=1000), 138_357_544),
  ("torchvision_vgg16_bn", spec(64, classes=1000), 138_365_992),
  ("torchvision_mobilenet_v2", spec(64, classes=1000), 3_504_872),
  ("torchvision_shufflenet_v2_x1_0", spec(64, classes=1000), 2_278_604),
  ("torchvision_vit_b_16", spec(224, classes=1000), 86_567_656),
  ("timm_mobilenetv2_100", spec(96, classes=1000), 3_504_872),
  ("timm_resnet18", spec(96, classes=1000), 11_689_512),
  ("timm_resnet34", spec(96, classes=1000), 21_797_672),
  ("timm_resnet50", spec(96, classes=1000), 25_557_032),
  ("timm_vit_base_patch16_224", spec(224, classes=1000), 86_567_656),
  ("vgg8", spec(), 3_918_858),
  ("vgg11", spec(64), 9_231_114),
  ("vgg13", spec(28), 9_416_010),
  ("vgg16", spec(), 14_728_266),
  ("vgg16", spec(64, classes=12), 14_729_292),
  ("vit8", spec(), 1_138_610),
  ("vit8", spec(channels=1), 1_128_050),
  ("vit4", spec(), 579_758),
  ("wrn16_1", spec(), 175_066),
  ("wrn16_2", spec(), 691_674),
  ("wrn22_2", spec(), 1_079_642),
  ("wrn40_1", spec(), 563_930),
  ("wrn40_2", spec(64), 2_243_546),
  ("wrn22_2", spec(28, 1), 1_079_354),
  ("cnn_half", spec(), 90_186),
  ("cnn_quarter", spec(), 22_954),
  ("mobilenet_v2", spec(), 2_254_090),
  ("mobilenet_v2", spec(classes=100), 2_369_380),
  ("mobilenet_v2", spec(classes=200), 2_497_480),
  ("shufflenet_v2", spec(), 1_268_646),
  ("shufflenet_v2", spec(classes=100), 1_360_896),
  ("shufflenet_v2", spec(classes=200), 1_463_396),
  ("mobilenet_v2_quarter", spec(), 164_962),
  ("shufflenet_v2_quarter", spec(), 89_684),
  ("resnet8_16", spec(), 78_042),
  ("resnet8_8", spec(), 19_954),
  ("vgg8_half", spec(), 982_538),
  ("vit4_half", spec(), 150_862),
  ("skeptical_cnn", spec(), 548_008),
  ("skeptical_cnn_half", spec(), 143_208),
  ("skeptical_cnn_quarter", spec(), 38_920),
  ("skeptical_mobilenet_v2", spec(), 7_312_648),
  ("skeptical_mobilenet_v2_quarter", spec(), 505_300),
  ("skeptical_resnet18", spec(), 12_098_664),
  ("skeptical_resnet50", spec(), 37_688_936),
  ("skeptical_shufflenet_v2", spec(), 4_366_548),
  ("skeptical_shufflenet_v2_quarter", spec(), 301_454),
  ("mlp", DataSpec("moons", (2,), 2, (0.0, 0.0), (1.0, 1.0)), 942),
  ("mlp_half", DataSpec("moons", (2,), 2, (0.0, 0.0), (1.0, 1.0)), 272),
  ("ideal_mlp", DataSpec("moons", (2,), 2, (0.0,) * 2, (1.0,) * 2), 67_458),
]
SMALL = spec(), spec(28, 1)


@pytest.mark.parametrize(
  ("name", "inputs", "count"),
  [
    case
    if (case[0] in KINDS and case[1] in SMALL) or "torchvision" in case[0]
    else pytest.param(*case, marks=pytest.mark.slow)
    for case in COUNTS
  ],
)
def test_parameter_counts(name, inputs, count):
  assert models.count_parameters(shapes(name, inputs)) == count


@every_network
def test_contract(name):
  """Checks shapes and dtypes in both modes, without computing."""
  inputs = spec(
    28 if name.startswith(("zsdb3kd_lenet", "cake", "dast")) else 32
  )
  images = jax.ShapeDtypeStruct((2, *inputs.shape), jnp.float32)
  variables = shapes(name, inputs)
  assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {
    jnp.dtype(jnp.float32)
  }
  for dtype, train in ((jnp.float32, True), (jnp.bfloat16, False)):
    module = models.create(name, inputs, dtype=dtype)
    apply = models.from_linen(module, variables).apply
    outputs, changed = jax.eval_shape(
      lambda v, x, key, apply=apply, train=train: apply(
        v, x, train=train, rng=key
      ),
      variables,
      images,
      jax.random.key(0),
    )
    assert len(outputs.heads) == (3 if name.startswith("skeptical") else 0)
    for logits in (outputs.logits, *outputs.heads):
      assert logits.shape == (2, 10)
      assert logits.dtype == jnp.float32
    assert outputs.features[-1].ndim == 2
    assert all(len(feature) == 2 for feature in outputs.features)
    assert {feature.dtype for feature in outputs.features} == {jnp.dtype(dtype)}
    statistics = variables.get("batch_stats") if train else None
    actual = changed.get("batch_stats")
    assert jax.tree.structure(actual) == jax.tree.structure(statistics)


def test_initialisation_is_pytorchs():
  """Kernels and biases are uniform within 1 / sqrt(fan_in)."""
  first = models.init("lenet5", jax.random.key(0), spec())
  params = first.variables["params"]
  for layer, fan_in in {"Conv_0": 75, "Conv_1": 150, "Dense_0": 120}.items():
    bound = fan_in**-0.5
    kernel = params[layer]["kernel"]
    assert 0.9 * bound < np.abs(kernel).max() <= bound
    np.testing.assert_allclose(kernel.std(), bound / 3**0.5, rtol=0.1)
    assert 0.3 * bound < np.abs(params[layer]["bias"]).max() <= bound
  again = models.init("lenet5", jax.random.key(0), spec())
  other = models.init("lenet5", jax.random.key(1), spec())
  jax.tree.map(np.testing.assert_array_equal, first.variables, again.variables)
  assert not np.array_equal(
    params["Conv_0"]["kernel"], other.variables["params"]["Conv_0"]["kernel"]
  )


def test_init_normalises_and_does_not_recompile():
  first, second = (
    models.init("mlp", jax.random.key(seed), spec(4, 1)) for seed in range(2)
  )
  assert first.apply == second.apply
  traces = []

  @jax.jit
  def logits(classifier, images):
    traces.append(None)
    return classifier(images).logits

  images = np.float32(np.random.default_rng(0).uniform(size=(3, 4, 4, 1)))
  actual = logits(first, images)
  logits(second, images)
  assert len(traces) == 1
  module = models.create("mlp", spec(4, 1))
  outputs = jax.jit(module.apply)(first.variables, 2 * images - 1)
  np.testing.assert_allclose(actual, outputs.logits, rtol=1e-4, atol=1e-6)


def fill(shapes):
  """Returns random parameters and initial batch statistics."""
  rng = np.random.default_rng(0)
  draw = lambda leaf: np.float32(rng.normal(0, 0.3, leaf.shape))
  params = jax.tree.map(draw, shapes["params"])
  batch_stats = jax.tree.map_with_path(
    lambda path, leaf: np.full(leaf.shape, path[-1].key == "var", "f4"),
    shapes.get("batch_stats", {}),
  )
  return {"params": params, "batch_stats": batch_stats}


def test_modes_of_a_resnet():
  """Training normalises with the batch and updates the statistics by 0.1."""
  module = models.resnet.ResNet(3, blocks=(1,))
  images = np.float32(np.random.default_rng(1).normal(2, 1, (4, 4, 4, 1)))
  variables = fill(jax.eval_shape(module.init, jax.random.key(0), images))
  apply = models.from_linen(module, variables).apply

  @jax.jit
  def both(variables, images):
    stem = models.layers.Conv(64, 3, padding=1, use_bias=False)
    return (
      apply(variables, images),
      apply(variables, images, train=True),
      stem.apply({"params": variables["params"]["Conv_0"]}, images),
    )

  (evaluated, unchanged), (trained, changed), stem = both(variables, images)
  assert unchanged == {}
  assert not np.allclose(evaluated.logits, trained.logits)
  np.testing.assert_allclose(
    changed["batch_stats"]["BatchNorm_0"]["mean"],
    0.1 * stem.mean((0, 1, 2)),
    rtol=1e-4,
    atol=1e-5,
  )


def test_attention_leaves_out_the_diagonal():
  """Of two tokens each attends to the other one only."""
  attention = models.vit.LocalityAttention(2, 4, jnp.float32)
  x = np.float32(np.random.default_rng(2).normal(size=(1, 2, 6)))
  variables = fill(jax.eval_shape(attention.init, jax.random.key(0), x))
  first = lambda x: attention.apply(variables, x)[0, 0].sum()
  gradient = jax.jit(jax.grad(first))(x)[0]
  np.testing.assert_array_equal(gradient[0], 0)
  assert np.all(gradient[1] != 0)


def test_shortcut_of_a_wide_block():
  """It is x or, where the width changes, a 1x1 convolution of relu(norm(x))."""
  x = np.float32(np.random.default_rng(3).normal(size=(2, 4, 4, 2)))

  def run(features, stride):
    block = models.wide_resnet.WideBlock(features, stride, jnp.float32)
    variables = fill(
      jax.eval_shape(lambda: block.init(jax.random.key(0), x, train=False))
    )
    # The last convolution is 0, so that the shortcut remains.
    last = list(variables["params"])[-1]
    variables["params"][last] = {
      "kernel": np.zeros_like(variables["params"][last]["kernel"])
    }
    return block.apply(variables, x, train=False), variables["params"]

  same, _ = run(2, 1)
  np.testing.assert_array_equal(same, x)
  wider, params = run(3, 2)
  norm = params["BatchNorm_0"]
  y = jax.nn.relu(x / np.sqrt(1 + 1e-5) * norm["scale"] + norm["bias"])
  expected = y[:, ::2, ::2] @ params["Conv_0"]["kernel"][0, 0]
  np.testing.assert_allclose(wider, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
  ("name", "inputs", "message"),
  [
    ("lenet55", spec(), "lenet5"),
    ("lenet5", spec(28), "image_size=32"),
    ("zsdb3kd_lenet5", spec(32), "image_size=28"),
    ("zsdb3kd_alexnet", spec(28), "image_size=32"),
    ("dast_large", spec(32), "image_size=28"),
    ("vit4", spec(30), "multiples of 4"),
    ("cnn", DataSpec("moons", (2,), 2, (0, 0), (1, 1)), "choose 'mlp'"),
  ],
)
def test_errors_name_a_remedy(name, inputs, message):
  with pytest.raises(JaxkdError, match=message):
    models.shapes(name, inputs)
