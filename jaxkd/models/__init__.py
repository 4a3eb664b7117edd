"""The networks by name, and classifiers from a user's own networks.

    adapters.py         classifiers from linen, nnx modules and functions
    pytorch.py          classifiers from PyTorch modules
    batch_norms.py      the inputs of batch normalisations
    apply_functions.py  how a classifier applies each of these
    user_networks.py    networks that are built by a user's function
    layers.py           the layers, with PyTorch's initialisation
    cpu/                faster forms of layers for XLA:CPU
    generators/         networks that turn latents into images

The other modules define one family of networks each.
"""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxkd.config import checks, user_code
from jaxkd.models import user_networks
from jaxkd.models.adapters import (
  from_function,
  from_linen,
  from_nnx,
  output_kind,
  with_compute_dtype,
  with_logit_scale,
  with_output,
)
from jaxkd.models.alexnet import AlexNet, IdealAlexNet
from jaxkd.models.cnn import CNN, CakeCNN, IdealCNN
from jaxkd.models.cpu import conv
from jaxkd.models.dast import Substitute
from jaxkd.models.lenet import IdealLeNet, LeNet
from jaxkd.models.mlp import MLP, IdealMLP
from jaxkd.models.mobilenet import MobileNetV2
from jaxkd.models.resnet import ResNet
from jaxkd.models.shufflenet import ShuffleNetV2
from jaxkd.models.skeptical import skeptical
from jaxkd.models.vgg import VGG, TorchvisionVGG
from jaxkd.models.vit import ViT
from jaxkd.models.wide_resnet import WideResNet
from jaxkd.types import Array, Classifier, DataSpec, JaxkdError, Variables

__all__ = [
  "abstract",
  "check",
  "count_parameters",
  "create",
  "from_function",
  "from_linen",
  "from_nnx",
  "init",
  "names",
  "output_kind",
  "shapes",
  "with_compute_dtype",
  "with_logit_scale",
  "with_output",
]

_MODELS = {
  "cake_cnn": CakeCNN,
  "cnn": CNN,
  "cnn_half": functools.partial(CNN, channels=(16, 32, 64), hidden=64),
  "cnn_quarter": functools.partial(CNN, channels=(8, 16, 32), hidden=32),
  "dast_large": functools.partial(Substitute, sizes=(5, 5, 3, 3)),
  "dast_medium": functools.partial(Substitute, sizes=(5, 5, 3)),
  "dast_small": Substitute,
  "ideal_alexnet": IdealAlexNet,
  "ideal_cnn": IdealCNN,
  "ideal_lenet": IdealLeNet,
  "ideal_mlp": IdealMLP,
  "lenet5": LeNet,
  "lenet5_half": functools.partial(LeNet, channels=(3, 8, 60), hidden=42),
  "mlp": MLP,
  "mlp_half": functools.partial(MLP, width=10),
  "mobilenet_v2": MobileNetV2,
  "mobilenet_v2_quarter": functools.partial(MobileNetV2, divisor=4),
  "resnet18": ResNet,
  "resnet34": functools.partial(ResNet, blocks=(3, 4, 6, 3)),
  "resnet50": functools.partial(ResNet, blocks=(3, 4, 6, 3), bottleneck=True),
  "resnet8_16": functools.partial(ResNet, blocks=(1, 1, 1), width=16),
  "resnet8_8": functools.partial(ResNet, blocks=(1, 1, 1), width=8),
  "shufflenet_v2": ShuffleNetV2,
  "shufflenet_v2_quarter": functools.partial(ShuffleNetV2, divisor=4),
  "torchvision_resnet18": functools.partial(ResNet, imagenet_stem=True),
  "torchvision_resnet34": functools.partial(
    ResNet, blocks=(3, 4, 6, 3), imagenet_stem=True
  ),
  "torchvision_resnet50": functools.partial(
    ResNet, blocks=(3, 4, 6, 3), bottleneck=True, imagenet_stem=True
  ),
  "vgg11": functools.partial(VGG, depths=(1, 1, 2, 2, 2)),
  "vgg13": functools.partial(VGG, depths=(2, 2, 2, 2, 2)),
  "vgg16": functools.partial(VGG, depths=(2, 2, 3, 3, 3)),
  "vgg8": VGG,
  "vgg8_half": functools.partial(VGG, divisor=2),
  "vit4": functools.partial(ViT, depth=4),
  "vit4_half": functools.partial(ViT, depth=4, dim=32, heads=4, hidden=32),
  "vit8": ViT,
  "wrn16_1": functools.partial(WideResNet, depth=16, widening=1),
  "wrn16_2": functools.partial(WideResNet, depth=16),
  "wrn22_2": functools.partial(WideResNet, depth=22),
  "wrn40_1": functools.partial(WideResNet, widening=1),
  "wrn40_2": WideResNet,
  "zsdb3kd_alexnet": AlexNet,
  "zsdb3kd_alexnet_half": functools.partial(AlexNet, divisor=2),
  "zsdb3kd_alexnet_quarter": functools.partial(AlexNet, divisor=4),
  "zsdb3kd_lenet5": functools.partial(
    LeNet, channels=(20, 50), hidden=200, side=28
  ),
  "zsdb3kd_lenet5_fifth": functools.partial(
    LeNet, channels=(4, 10), hidden=40, side=28
  ),
  "zsdb3kd_lenet5_half": functools.partial(
    LeNet, channels=(10, 25), hidden=100, side=28
  ),
}
_MODELS |= {
  f"torchvision_{name}{suffix}": functools.partial(
    TorchvisionVGG, **_MODELS[name].keywords, batch_norm=bool(suffix)
  )
  for name in ("vgg11", "vgg13", "vgg16")
  for suffix in ("", "_bn")
}
_MODELS |= {
  f"skeptical_{name}": functools.partial(skeptical, _MODELS[name])
  for name in (
    "cnn",
    "cnn_half",
    "cnn_quarter",
    "mobilenet_v2",
    "mobilenet_v2_quarter",
    "resnet18",
    "resnet50",
    "shufflenet_v2",
    "shufflenet_v2_quarter",
  )
}


def names() -> list[str]:
  """Returns all names that `create` accepts.

  >>> "lenet5" in names()
  True
  """
  return sorted(_MODELS)


def check(field: str, name: str) -> None:
  """Refuses a name that `init` does not take.

  Args:
    field: the config field, for the message.
    name: one of `names()`, or `module:function` of the user.

  Raises:
    JaxkdError: if there is no such network.
  """
  if user_code.is_function(name):
    user_code.load_function(field, name)
  elif name not in _MODELS:
    raise JaxkdError(
      f"{checks.unknown(field, name, names())} A network of your own is "
      "written module:function."
    )


def create(
  name: str, spec: DataSpec, *, dtype: jnp.dtype = jnp.float32
) -> nn.Module:
  """Creates a network of this package for inputs like `spec`, as a module.

  Args:
    name: one of `names()`.
    spec: spec of the inputs.
    dtype: compute dtype; parameters and logits are float32.

  Raises:
    JaxkdError: if there is no such network, or if it does not take such inputs.
  """
  checks.choice("model", name, names())
  if len(spec.shape) != 3 and name not in ("mlp", "mlp_half", "ideal_mlp"):
    raise JaxkdError(
      f"The network {name!r} takes images [H, W, C], and {spec.name} has "
      f"inputs of shape {spec.shape}; choose 'mlp'."
    )
  return _MODELS[name](num_classes=spec.num_classes, dtype=dtype)


def init(name: str, key: Array, spec: DataSpec) -> Classifier:
  """Creates the network `name` with random variables and `spec`'s normaliser.

  The same key gives the same variables on the same kind of device.

  Args:
    name: one of `names()`, or `module:function` of the user, see
      `jaxkd.models.user_networks`.
    key: random key of the variables.
    spec: spec of the inputs.

  Raises:
    JaxkdError: if there is no such network, or if it does not take such inputs
      or images of this size.
  """
  if user_code.is_function(name):
    return user_networks.init(name, key, spec)
  check("model", name)
  module = create(name, spec)
  variables = _init(module, spec.shape, jax.random.bits(key, (4,)))
  return from_linen(module, variables, mean=spec.mean, std=spec.std, name=name)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _init(module: nn.Module, shape: tuple[int, ...], seed: Array) -> Variables:
  # With threefry the draws of a deep network take seconds to compile, with the
  # hardware generator they do not.
  key = jax.random.wrap_key_data(seed, impl="rbg")
  # What the layers compute is thrown away.
  with conv.reference_form():
    return module.init(key, jnp.zeros((1, *shape)))


def abstract(name: str, spec: DataSpec) -> Classifier:
  """Returns a network with shapes and dtypes in place of arrays.

  Nothing is computed.

  Raises:
    JaxkdError: if there is no such network, or if it does not take such inputs
      or images of this size.
  """
  return jax.eval_shape(lambda key: init(name, key, spec), jax.random.key(0))


def shapes(name: str, spec: DataSpec) -> Variables:
  """Returns the shapes and dtypes of a network's variables, without computing.

  Raises:
    JaxkdError: if there is no such network, or if it does not take such inputs
      or images of this size.
  """
  return abstract(name, spec).variables


def count_parameters(variables: Variables) -> int:
  """Counts the trainable parameters.

  They are the entries of the collection `params`, or of all variables where
  there is no such collection.
  """
  if isinstance(variables, dict) and "params" in variables:
    variables = variables["params"]
  return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables))
