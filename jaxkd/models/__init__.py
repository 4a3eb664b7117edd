"""The networks by name, and classifiers from a user's own networks.

    adapters.py         classifiers from linen, nnx modules and functions
    pytorch.py          classifiers from PyTorch modules
    batch_norms.py      the inputs of batch normalisations
    apply_functions.py  how a classifier applies each of these
    changed_outputs.py  networks whose outputs are scaled, converted, defended
    last_layer.py       the last layer, whose weights can scale the logits
    user_networks.py    networks that are built by a user's function
    registry.py         the networks of this package by name
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
from jaxkd.models.cpu import conv
from jaxkd.models.registry import NETWORKS
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


def names() -> list[str]:
  """Returns all names that `create` accepts.

  >>> "lenet5" in names()
  True
  """
  return sorted(NETWORKS)


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
  elif name not in NETWORKS:
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
  return NETWORKS[name](num_classes=spec.num_classes, dtype=dtype)


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
