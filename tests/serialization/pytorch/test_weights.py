"""PyTorch state dicts: names, layouts, and errors."""

import functools

import jax
import jax.numpy as jnp
from network_kinds import every_network
import numpy as np
import pytest

from jaxkd import models
from jaxkd.serialization.pytorch.names import names_of
from jaxkd.serialization.pytorch.weights import from_torch, to_torch
from jaxkd.types import DataSpec, JaxkdError

SIDES = {"cake_cnn": 28, "dast": 28, "ideal_alexnet": 28, "zsdb3kd_lenet5": 28}


@pytest.fixture(autouse=True, scope="module")
def traced_once():
  """Caches the shapes of networks, each of which takes up to half a second."""
  with pytest.MonkeyPatch.context() as patched:
    patched.setattr(models, "shapes", functools.cache(models.shapes))
    yield


def spec_for(name, channels=3, classes=10):
  side = next((SIDES[key] for key in SIDES if name.startswith(key)), 32)
  half = (0.5,) * channels
  return DataSpec("test", (side, side, channels), classes, half, half)


def random_variables(name, spec):
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda leaf: jnp.asarray(rng.random(leaf.shape, np.float32)),
    models.shapes(name, spec),
  )


def same(actual, expected):
  jax.tree.map(np.testing.assert_array_equal, actual, expected)


@every_network
def test_round_trip(name):
  spec = spec_for(name)
  variables = random_variables(name, spec)
  tensors = to_torch(name, spec, variables)
  assert len(tensors) == len(jax.tree.leaves(variables))
  same(from_torch(name, spec, tensors), variables)


@pytest.mark.parametrize("shape", [(4,), (6, 4, 3)])
def test_flat_inputs(shape):
  channels = shape[-1] if len(shape) == 3 else 1
  spec = DataSpec("test", shape, 3, (0.5,) * channels, (0.5,) * channels)
  variables = random_variables("mlp", spec)
  same(from_torch("mlp", spec, to_torch("mlp", spec, variables)), variables)


def test_map_that_is_not_square():
  spec = DataSpec("test", (32, 16, 3), 10, (0.5,) * 3, (0.5,) * 3)
  variables = random_variables("cnn", spec)
  tensors = to_torch("cnn", spec, variables)
  same(from_torch("cnn", spec, tensors), variables)
  kernel = variables["params"]["Dense_0"]["kernel"].reshape(4, 2, 128, 128)
  actual = tensors["fc1.weight"].reshape(128, 128, 4, 2)
  np.testing.assert_array_equal(actual[5, 7, 3, 1], kernel[3, 1, 7, 5])


# A tensor of each naming scheme, and the path of our array.
SCHEMES = [
  ("resnet18", "layer2.0.downsample.0.weight", "Block_2/Conv_2/kernel"),
  ("resnet18", "layer2.0.shortcut.0.weight", "Block_2/Conv_2/kernel"),
  ("resnet50", "layer4.2.conv3.weight", "Block_15/Conv_2/kernel"),
  ("resnet50", "layer1.0.shortcut.0.weight", "Block_0/Conv_3/kernel"),
  ("vgg11", "features.11.weight", "Conv_3/kernel"),
  ("vgg11", "features.25.weight", "Conv_7/kernel"),
  ("vgg11", "features.24.weight", "Conv_7/kernel"),
  ("vgg11", "head.fc.weight", "Dense_0/kernel"),
  ("vgg11", "block2.3.weight", "Conv_3/kernel"),
  (
    "mobilenet_v2",
    "features.2.conv.1.0.weight",
    "InvertedResidual_1/DepthwiseConv_0/kernel",
  ),
  (
    "mobilenet_v2",
    "blocks.1.0.conv_dw.weight",
    "InvertedResidual_1/DepthwiseConv_0/kernel",
  ),
  (
    "mobilenet_v2",
    "stage2.0.residual.3.weight",
    "InvertedResidual_1/DepthwiseConv_0/kernel",
  ),
  ("shufflenet_v2", "stage3.1.branch2.5.weight", "ShuffleUnit_5/Conv_1/kernel"),
  (
    "shufflenet_v2",
    "stage3.0.shortcut.2.weight",
    "ShuffleUnit_4/Conv_0/kernel",
  ),
  ("wrn16_2", "block2.layer.1.conv2.weight", "WideBlock_3/Conv_1/kernel"),
  ("wrn16_2", "layer2.0.shortcut.0.weight", "WideBlock_2/Conv_0/kernel"),
  ("wrn16_1", "block1.layer.0.conv1.weight", "WideBlock_0/Conv_0/kernel"),
  ("vit4", "blocks.1.mlp.fc2.weight", "Dense_3/kernel"),
  ("vit4", "transformer.layers.1.1.net.4.weight", "Dense_3/kernel"),
  ("vit4", "transformer.layers.1.1.fn.net.3.weight", "Dense_3/kernel"),
  (
    "torchvision_mobilenet_v2",
    "features.1.conv.1.weight",
    "InvertedResidual_0/Conv_0/kernel",
  ),
  (
    "timm_mobilenetv2_100",
    "blocks.0.0.conv_pw.weight",
    "InvertedResidual_0/Conv_0/kernel",
  ),
  (
    "torchvision_shufflenet_v2_x1_0",
    "stage2.0.branch1.2.weight",
    "ShuffleUnit_0/Conv_0/kernel",
  ),
  (
    "torchvision_vit_b_16",
    "encoder.layers.encoder_layer_1.mlp.3.weight",
    "EncoderBlock_1/Dense_3/kernel",
  ),
  (
    "torchvision_vit_b_16",
    "encoder.layers.encoder_layer_1.mlp.linear_2.weight",
    "EncoderBlock_1/Dense_3/kernel",
  ),
  (
    "timm_vit_base_patch16_224",
    "blocks.11.attn.proj.weight",
    "EncoderBlock_11/Dense_1/kernel",
  ),
  ("lenet5", "9.weight", "Dense_0/kernel"),
  ("lenet5", "fc3.weight", "Dense_1/kernel"),
  ("mlp", "1.weight", "Dense_0/kernel"),
  ("mlp", "0.weight", "Dense_0/kernel"),
  ("cnn", "fcbn1.weight", "BatchNorm_3/scale"),
  ("ideal_lenet", "layer2.1.weight", "BatchNorm_1/scale"),
]


@pytest.mark.parametrize(("model", "tensor", "path"), SCHEMES)
def test_schemes(model, tensor, path):
  names = names_of(models.create(model, spec_for(model)))
  layer, _, leaf = path.rpartition("/")
  assert leaf in ("kernel", "scale")
  tensors = [scheme.layers[layer] + ".weight" for scheme in names.schemes]
  assert tensor in tensors
  for scheme in names.schemes:
    assert len(set(scheme.layers.values())) == len(scheme.layers), scheme.name


@pytest.mark.parametrize(
  "model", ["resnet8_16", "mobilenet_v2_quarter", "vgg8"]
)
def test_every_scheme_is_read(model):
  spec = spec_for(model)
  variables = random_variables(model, spec)
  written = to_torch(model, spec, variables)
  first, *others = names_of(models.create(model, spec)).schemes
  for scheme in others:
    tensors = {}
    for name, tensor in written.items():
      torch_layer, _, leaf = name.rpartition(".")
      layer = next(a for a, b in first.layers.items() if b == torch_layer)
      if layer in scheme.as_conv and leaf == "weight":
        tensor = tensor[:, :, None, None]
      tensors[f"{scheme.layers[layer]}.{leaf}"] = tensor
    same(from_torch(model, spec, tensors), variables)


def test_linear_layer_for_the_last_convolution():
  spec = spec_for("lenet5", 1)
  variables = random_variables("lenet5", spec)
  tensors = to_torch("lenet5", spec, variables)
  tensors["fc3.weight"] = tensors.pop("fc2.weight")
  tensors["fc3.bias"] = tensors.pop("fc2.bias")
  tensors["fc2.weight"] = tensors.pop("fc1.weight")
  tensors["fc2.bias"] = tensors.pop("fc1.bias")
  tensors["fc1.weight"] = tensors.pop("conv3.weight").reshape(120, 400)
  tensors["fc1.bias"] = tensors.pop("conv3.bias")
  same(from_torch("lenet5", spec, tensors), variables)


@pytest.fixture(scope="module")
def lenet():
  spec = spec_for("zsdb3kd_lenet5_fifth", 1)
  variables = random_variables("zsdb3kd_lenet5_fifth", spec)
  tensors = to_torch("zsdb3kd_lenet5_fifth", spec, variables)

  def read(tensors, **options):
    return from_torch("zsdb3kd_lenet5_fifth", spec, tensors, **options)

  return spec, variables, tensors, read


@pytest.mark.parametrize(
  "prefix", ["module.", "_orig_mod.", "model.backbone.", "_orig_mod.module."]
)
def test_prefix(lenet, prefix):
  _, variables, tensors, read = lenet
  prefixed = {prefix + name: tensor for name, tensor in tensors.items()}
  same(read(prefixed), variables)


def test_flatten_order(lenet):
  spec, variables, tensors, read = lenet
  expected = np.asarray(variables["params"]["Dense_0"]["kernel"])
  other = read(tensors, flatten="hwc")
  actual = np.asarray(other["params"]["Dense_0"]["kernel"])
  assert not np.array_equal(actual, expected)
  np.testing.assert_array_equal(actual, tensors["fc1.weight"].T)
  other["params"]["Dense_0"]["kernel"] = variables["params"]["Dense_0"][
    "kernel"
  ]
  same(other, variables)
  images = np.random.default_rng(1).random((2, *spec.shape), np.float32)
  apply = jax.jit(models.create("zsdb3kd_lenet5_fifth", spec).apply)
  logits = [
    apply(actual, images).logits
    for actual in (variables, read(tensors, flatten="hwc"))
  ]
  assert np.abs(logits[0] - logits[1]).max() > 1e-3
  with pytest.raises(JaxkdError, match="flatten 'cwh'"):
    read(tensors, flatten="cwh")


def test_missing_and_unused_tensors(lenet):
  _, _, tensors, read = lenet
  lacking = {k: v for k, v in tensors.items() if k != "fc1.bias"}
  with pytest.raises(JaxkdError, match=r"plain\): fc1.bias missing"):
    read(lacking)
  more = tensors | {f"aux.{i}.weight": tensors["fc2.bias"] for i in range(5)}
  with pytest.raises(JaxkdError, match=r"aux.2.weight and 2 more not used"):
    read(more)
  with pytest.raises(
    JaxkdError, match="conv1.bias, conv1.weight, conv2.*5 more mi"
  ):
    read({})


def test_batch_counters_are_ignored():
  spec = spec_for("cnn_quarter")
  variables = random_variables("cnn_quarter", spec)
  tensors = to_torch("cnn_quarter", spec, variables)
  counters = {f"bn{i}.num_batches_tracked": np.int64(7) for i in range(1, 5)}
  same(from_torch("cnn_quarter", spec, tensors | counters), variables)


def test_wrong_shapes(lenet):
  _, _, tensors, read = lenet
  wrong = tensors | {"fc1.weight": np.zeros((40, 250), "f4")}
  with pytest.raises(
    JaxkdError, match=r"fc1.weight is 40x250 in place of 40x160.*28x28x1"
  ):
    read(wrong)
  wrong = tensors | {
    "fc2.weight": np.zeros((100, 40), "f4"),
    "fc2.bias": np.zeros(100, "f4"),
  }
  with pytest.raises(JaxkdError, match=r"100 classes, and spec.num_classes is"):
    read(wrong)


def test_network_for_imagenet():
  spec = spec_for("resnet18", classes=1000)
  tensors = to_torch("resnet18", spec, random_variables("resnet18", spec))
  tensors["conv1.weight"] = np.zeros((64, 3, 7, 7), "f4")
  with pytest.raises(JaxkdError, match="64x3x7x7 .*torchvision_resnet18"):
    from_torch("resnet18", spec, tensors)
  spec = spec_for("vgg11")
  tensors = to_torch("vgg11", spec, random_variables("vgg11", spec))
  for part in ("weight", "bias"):
    tensors[f"classifier.0.{part}"] = tensors.pop(f"classifier.{part}")
    tensors[f"classifier.3.{part}"] = tensors[f"classifier.0.{part}"] + 1
  with pytest.raises(
    JaxkdError, match=r"classifier.3.weight not used.*torchvision_vgg11"
  ):
    from_torch("vgg11", spec, tensors)


def test_values(lenet):
  _, variables, tensors, read = lenet
  double = {name: tensor.astype("f8") for name, tensor in tensors.items()}
  same(read(double), variables)
  bad = np.full_like(tensors["fc2.bias"], np.nan)
  with pytest.raises(JaxkdError, match="fc2.bias has values that are not fin"):
    read(tensors | {"fc2.bias": bad})
  whole = np.zeros(tensors["fc2.bias"].shape, np.int8)
  with pytest.raises(JaxkdError, match="fc2.bias holds int8"):
    read(tensors | {"fc2.bias": whole})


def test_variables_of_another_network(lenet):
  _, variables, _, _ = lenet
  with pytest.raises(JaxkdError, match="not the variables of 'lenet5'"):
    to_torch("lenet5", spec_for("lenet5", 1), variables)
  with pytest.raises(JaxkdError, match="Did you mean lenet5"):
    from_torch("lenet6", spec_for("lenet5", 1), {})
