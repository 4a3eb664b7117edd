"""Networks that a function of the user builds, as `my_models:student`.

    def student(spec):          # returns a flax.linen module
    def student(spec, rngs):    # returns a flax.nnx module, made with nnx.Rngs

`spec` is the `jaxkd.DataSpec` of the inputs. As the networks of this package,
the module takes normalised images `[B, H, W, C]` and returns logits `[B, K]` or
`jaxkd.Outputs`; the mean and std of `spec` are applied before it. A module for
pixels in [0, 1] has to compute `x * std + mean` itself. `from_linen` and
`from_nnx` say how a module is told whether it is in training.
"""

from collections.abc import Callable
import functools
import inspect

from flax import nnx
import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxkd.config import user_code
from jaxkd.models.adapters import from_linen, from_nnx
from jaxkd.models.apply_functions import mode_argument, mode_arguments
from jaxkd.types import (
  ApplyFn,
  Array,
  Classifier,
  DataSpec,
  JaxkdError,
  Variables,
)

# Dtypes that files of weights can hold.
DTYPES = ("float32", "int32", "uint32", "bool")


def init(name: str, key: Array, spec: DataSpec) -> Classifier:
  """Creates the network that the function `name` builds, with random variables.

  The same key gives the same variables on the same kind of device.

  Args:
    name: `module:function`.
    key: random key of the variables.
    spec: spec of the inputs.

  Raises:
    JaxkdError: if there is no such function, or if it does not return a network
      for these inputs that can be trained and saved.
  """
  function = user_code.load_function("model", name)
  source = function
  if not _takes_rngs(name, function):
    source = function(spec)
    if not isinstance(source, nn.Module):
      raise _wrong_type(name, source)
    _check_hashable(name, source)
  return _init(source, name, spec, jax.random.bits(key, (4,)))


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _init(
  source: nn.Module | Callable[..., object],
  name: str,
  spec: DataSpec,
  seed: Array,
) -> Classifier:
  """Creates a network from a linen module, or a function of spec and rngs."""
  # With threefry the draws of a deep network take seconds to compile.
  rngs = nnx.Rngs(jax.random.wrap_key_data(seed, impl="rbg"))
  module = source
  if not isinstance(source, nn.Module):
    module = source(spec, rngs=rngs)
  if isinstance(module, nn.Module):
    images = jnp.zeros((1, *spec.shape))
    mode = mode_arguments(mode_argument(module), train=False)
    variables = module.init(rngs.params(), images, **mode)
    network = from_linen(
      module, variables, mean=spec.mean, std=spec.std, name=name
    )
  elif isinstance(module, nnx.Module):
    network = from_nnx(module, mean=spec.mean, std=spec.std, name=name)
  else:
    raise _wrong_type(name, module)
  _check_hashable(name, network.apply)
  _check(network, spec)
  return network


def _takes_rngs(name: str, function: Callable[..., object]) -> bool:
  """Returns whether it is a function of spec and rngs, not of spec alone."""
  is_class = isinstance(function, type)
  signature = inspect.signature(function.__init__ if is_class else function)
  takes_rngs = "rngs" in signature.parameters
  rngs = {"rngs": None} if takes_rngs else {}
  try:
    signature.bind(*(["self"] if is_class else []), "spec", **rngs)
  except TypeError as error:
    raise JaxkdError(
      f"model={name!r} takes {signature}; let it take (spec) or (spec, rngs)."
    ) from error
  return takes_rngs


def _wrong_type(name: str, returned: object) -> JaxkdError:
  if isinstance(returned, nnx.Module):
    return JaxkdError(
      f"model={name!r} returned an nnx module, which draws its weights when it "
      "is made: let the function take (spec, rngs), and pass rngs on."
    )
  if isinstance(returned, Classifier):
    return JaxkdError(
      f"model={name!r} returned a Classifier, which has its weights already; "
      "name the function of a trained teacher in teacher.factory."
    )
  return JaxkdError(
    f"model={name!r} returned a {type(returned).__name__}; it must return a "
    "flax.linen or flax.nnx module."
  )


def _check_hashable(name: str, network: nn.Module | ApplyFn) -> None:
  """Refuses a network that JAX can't take as a static argument."""
  try:
    hash(network)
  except TypeError as error:
    raise JaxkdError(
      f"model={name!r} has a field that can't be hashed; make fields numbers, "
      "texts, tuples or functions, not arrays."
    ) from error


def _check(network: Classifier, spec: DataSpec) -> None:
  """Refuses a network that can't be trained, evaluated or saved."""
  name, variables = network.name, network.variables
  if not jax.tree.leaves(variables.get("params", {})):
    raise JaxkdError(f"model={name!r} has no parameters to train.")
  for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
    if str(leaf.dtype) not in DTYPES:
      raise JaxkdError(
        f"model={name!r}: the variable {_words(path)} is {leaf.dtype}; choose "
        f"one of {', '.join(DTYPES)} (param_dtype)."
      )
  images = jax.ShapeDtypeStruct((2, *spec.shape), jnp.float32)
  outputs, _ = jax.eval_shape(network.apply, variables, images)
  if outputs.logits.shape != (2, spec.num_classes):
    raise JaxkdError(
      f"model={name!r} returns logits {list(outputs.logits.shape)} for 2 "
      f"images; they must be [2, {spec.num_classes}], one per class."
    )
  _, changed = jax.eval_shape(
    functools.partial(network.apply, train=True),
    variables,
    images,
    rng=jax.random.key(0),
  )
  before, after = _signature(variables), _signature({**variables, **changed})
  if before != after:
    differing = sorted(path for path, _ in before.items() ^ after.items())
    raise JaxkdError(
      f"model={name!r}: training changes the shape or dtype of the variable "
      f"{differing[0]}; keep it as it is initialised."
    )


def _signature(
  variables: Variables,
) -> dict[str, tuple[tuple[int, ...], jnp.dtype]]:
  return {
    _words(path): (leaf.shape, leaf.dtype)
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables)
  }


def _words(path: jax.tree_util.KeyPath) -> str:
  return jax.tree_util.keystr(path, simple=True, separator="/")
