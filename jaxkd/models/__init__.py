"""Networks by name, and adapters for networks that are not ours."""

from collections.abc import Callable
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxkd import checks
from jaxkd.models.adapters import from_function, from_linen, from_nnx
from jaxkd.models.alexnet import AlexNet
from jaxkd.models.cnn import CNN
from jaxkd.models.layers import Dtype
from jaxkd.models.lenet import LeNet
from jaxkd.models.mlp import MLP
from jaxkd.models.resnet import BasicBlock, Bottleneck, ResNet
from jaxkd.models.vit import ViT
from jaxkd.types import Classifier, DataSpec, Variables

__all__ = [
  "count_parameters",
  "create",
  "from_function",
  "from_linen",
  "from_nnx",
  "init",
  "names",
  "shapes",
]


def _lenet(size: int, channels: tuple[int, int], *hidden: int):
  return functools.partial(
    LeNet, image_size=size, channels=channels, hidden=hidden
  )


def _resnet(block: type[nn.Module], *depths: int):
  return functools.partial(ResNet, block=block, depths=depths)


_MODELS: dict[str, Callable[..., nn.Module]] = {
  "alexnet": AlexNet,
  "alexnet_half": functools.partial(AlexNet, divisor=2),
  "alexnet_quarter": functools.partial(AlexNet, divisor=4),
  "cnn": CNN,
  "lenet5": _lenet(32, (6, 16), 120, 84),
  "lenet5_half": _lenet(32, (3, 8), 60, 42),
  "mlp": MLP,
  "resnet18": _resnet(BasicBlock, 2, 2, 2, 2),
  "resnet34": _resnet(BasicBlock, 3, 4, 6, 3),
  "resnet50": _resnet(Bottleneck, 3, 4, 6, 3),
  "vit4": functools.partial(ViT, depth=4),
  "vit8": functools.partial(ViT, depth=8),
  "zsdb3kd_lenet5": _lenet(28, (20, 50), 200),
  "zsdb3kd_lenet5_half": _lenet(28, (10, 25), 100),
  "zsdb3kd_lenet5_fifth": _lenet(28, (4, 10), 40),
}


def names() -> list[str]:
  """All models of the zoo."""
  return sorted(_MODELS)


def create(name: str, spec: DataSpec, dtype: Dtype = jnp.float32) -> nn.Module:
  """The module for inputs like `spec`.

  Args:
    name: one of `names()`.
    spec: its number of classes is taken.
    dtype: of the computation; parameters and logits are float32.

  Raises:
    JaxkdError: naming the nearest models.
  """
  checks.choice("model", name, names())
  return _MODELS[name](num_classes=spec.num_classes, dtype=dtype)


def shapes(name: str, spec: DataSpec) -> Variables:
  """The model's variables as shapes and types; nothing is computed.

  Raises:
    JaxkdError: if there is no such model, or it does not take such inputs.
  """
  return jax.eval_shape(
    create(name, spec).init, jax.random.key(0), _one_input(spec)
  )


def init(
  name: str, key: jax.Array, spec: DataSpec, dtype: Dtype = jnp.float32
) -> Classifier:
  """A fresh classifier for inputs like `spec`, its normaliser inside.

  Raises:
    JaxkdError: if there is no such model, or it does not take such inputs.
  """
  module = create(name, spec, dtype)
  # XLA compiles this generator's many small draws five times faster.
  key = jax.random.key(jax.random.bits(key), impl="rbg")
  variables = jax.jit(module.init)(key, _one_input(spec))
  return from_linen(
    module, variables, mean=spec.mean, std=spec.std, name=name
  )


def count_parameters(variables: Variables) -> int:
  """Numbers that are trained: those in `params`."""
  return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def _one_input(spec: DataSpec) -> jax.Array:
  return jnp.zeros((1, *spec.shape))
