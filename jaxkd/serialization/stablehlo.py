"""Classifiers from `jax.export` artefacts, which need no model code.

An artefact is a program of XLA. Reading it runs no Python code, but its author
decides what it computes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
import hashlib
import re
from typing import NamedTuple

import jax
from jax import export
import jax.numpy as jnp
import numpy as np

from jaxkd.models import batch_norms
from jaxkd.types import (
  Array,
  Classifier,
  DataSpec,
  JaxkdError,
  Outputs,
  Variables,
)

# Targets of calls back into the Python process that exported the artefact.
_CALLBACK = re.compile(rb"xla_\w*callback")
_TRIAL_BATCH = 3  # no multiple of 2, to find artefacts for other batch sizes


class _Answer(NamedTuple):
  """What an artefact returns.

  Attributes:
    logits: `[B, K]`.
    inputs: `[B, ..., D]` of each batch normalisation that it shows.
    means: `[D]` of each, the running mean.
    variances: `[D]` of each, the running variance.
  """

  logits: Array
  inputs: tuple[Array, ...] = ()
  means: tuple[Array, ...] = ()
  variances: tuple[Array, ...] = ()


def from_export(
  blob: bytes, spec: DataSpec, name: str = "stablehlo", output: str = ""
) -> Classifier:
  """Creates a classifier from the bytes of a `jax.export` artefact.

  The artefact has to take float32 images `[B, H, W, C]` in [0, 1] with a
  symbolic B, normalise them itself, and return float32 logits `[B, K]`; it has
  to be written by `serialize(vjp_order=1)`. It may return a tuple of logits and
  of the inputs of its batch normalisations, `[B, ..., D]`, their running means
  and their running variances, each a tuple; methods that need them see them.
  Of any other arrays that it returns, one is taken; of two classes one number
  is enough. An exported call cannot be vmapped, so mapped axes are merged with
  the batch.

  The weights are inside of the program and cannot be trained. The only variable
  is the SHA-256 of the bytes, so that `jaxkd.serialization.weights.digest`
  differs between artefacts.

  Args:
    blob: bytes of the artefact.
    spec: spec of the inputs; its normaliser is not applied.
    name: for messages and reports.
    output: name or index of the logits among several outputs; empty takes the
      one that fits.

  Raises:
    JaxkdError: if the bytes are no artefact that this version of JAX can run,
      or if its inputs, outputs or gradient are not as described.
  """
  try:
    exported = export.deserialize(bytearray(blob))
  except Exception as error:  # a damaged file can raise any error
    raise JaxkdError(
      f"{name} is no jax.export artefact that JAX {jax.__version__} reads "
      f"({_first_line(error)}). It is damaged, from a later JAX, or more than "
      "six months older; export it again."
    ) from error
  index = _logits_index(exported, spec, name, output)
  _check_signature(exported, spec, name, index)
  _check_program(exported, name)
  _try(exported, spec, name)
  digest = hashlib.sha256(blob)
  variables = {
    "params": {},
    "sha256": jnp.asarray(np.frombuffer(digest.digest(), np.uint8)),
  }
  one_number = exported.out_avals[index].shape[1:] in ((), (1,))
  answer = _differentiable(exported, index)
  apply = _Exported(digest.hexdigest(), index, answer, one_number)
  return Classifier(variables, apply, name)


@dataclass(frozen=True)
class _Exported:
  """Applies an artefact; two of them are equal if their bytes and outputs are.

  Attributes:
    digest: of the bytes.
    output: index of the logits among the arrays that it returns.
    answer: computes what it returns.
    gives_one_number: whether it does for an image, in place of logits.
  """

  digest: str
  output: int
  answer: Callable[[Array], _Answer] = field(compare=False, repr=False)
  gives_one_number: bool = False

  def __call__(
    self,
    variables: Variables,
    images: Array,
    *,
    train: bool = False,
    rng: Array | None = None,
  ) -> tuple[Outputs, Variables]:
    del variables, train, rng  # an artefact is the same in training
    answer = self.answer(jnp.asarray(images, jnp.float32))
    for inputs, mean, variance in zip(*answer[1:], strict=True):
      batch_norms.report(inputs, mean, variance, axis=-1)
    return Outputs(answer.logits), {}


def is_artefact(classifier: Classifier) -> bool:
  """Returns whether a classifier comes from `from_export`."""
  variables = classifier.variables
  return isinstance(variables, dict) and set(variables) == {"params", "sha256"}


def _differentiable(
  exported: export.Exported, index: int
) -> Callable[[Array], _Answer]:
  """Returns the exported call with its exported gradient and vmap rules.

  Args:
    exported: the artefact.
    index: of the logits among its outputs.
  """
  shown = _num_batch_norms(exported)

  def call(images: Array) -> _Answer:
    returned = exported.call(images)
    if shown:
      return _Answer(*returned)
    return _Answer(jax.tree.leaves(returned)[index])

  def pull_back(images: Array, logits: Array, *inputs: Array) -> Array:
    # No other output has a part in a loss; running statistics do not depend on
    # the images.
    shapes = jax.tree.leaves(jax.eval_shape(exported.call, images))
    cotangents = [_zeros(each) for each in shapes]
    cotangents[index] = logits
    cotangents[1 : 1 + len(inputs)] = inputs
    return exported.vjp().call(images, *cotangents)[0]

  forward = _merges_mapped_axes(call)
  pullback = _merges_mapped_axes(pull_back)
  answer = jax.custom_vjp(forward)
  answer.defvjp(
    lambda images: (forward(images), images),
    lambda images, cotangents: (
      pullback(images, cotangents.logits, *cotangents.inputs),
    ),
  )
  return answer


def _zeros(shape: jax.ShapeDtypeStruct) -> Array | np.ndarray:
  """Returns the zero gradient of an output."""
  if jnp.issubdtype(shape.dtype, jnp.inexact):
    return jnp.zeros(shape.shape, shape.dtype)
  return np.zeros(shape.shape, jax.dtypes.float0)


def _merges_mapped_axes(
  call: Callable[..., Array | _Answer],
) -> Callable[..., Array | _Answer]:
  """Decorates `call([B, ...], ...)` with a rule for `jax.vmap`.

  Every mapped axis is merged with the batch. In what the function returns
  running statistics have no batch.
  """
  merged = jax.custom_batching.custom_vmap(call)

  @merged.def_vmap
  def rule(size: int, mapped: list[bool], *batches: Array):
    stacked = [
      batch if is_mapped else jnp.broadcast_to(batch, (size, *batch.shape))
      for batch, is_mapped in zip(batches, mapped, strict=True)
    ]
    result = merged(*(s.reshape(-1, *s.shape[2:]) for s in stacked))
    split = lambda x: x.reshape(size, -1, *x.shape[1:])
    if not isinstance(result, _Answer):
      return split(result), True
    logits, inputs = jax.tree.map(split, result[:2])
    answer = result._replace(logits=logits, inputs=inputs)
    has_batch = (True, (True,) * len(inputs))
    without = ((False,) * len(inputs),) * 2
    return answer, _Answer(*has_batch, *without)

  return merged


def _logits_index(
  exported: export.Exported, spec: DataSpec, name: str, output: str
) -> int:
  """Returns which of the arrays that an artefact returns are the logits.

  Raises:
    JaxkdError: if there is no such output, or if none is named and not exactly
      one fits.
  """
  if _num_batch_norms(exported) is not None and output in ("", "0"):
    return 0
  indices = jax.tree.unflatten(
    exported.out_tree, range(len(exported.out_avals))
  )
  paths = [
    jax.tree_util.keystr(path, simple=True, separator=".")
    for path, _ in jax.tree_util.tree_leaves_with_path(indices)
  ]
  if output in paths:
    return paths.index(output)
  if output.isdecimal() and int(output) < len(paths):
    return int(output)
  fitting = [
    index
    for index, array in enumerate(exported.out_avals)
    if _fits(array, spec.num_classes)
  ]
  named = [i for i in fitting if paths[i].rpartition(".")[2] == "logits"]
  for indices in (fitting, named):
    if len(indices) == 1 and not output:
      return indices[0]
  described = ", ".join(
    f"{path} {_sizes(array)}"
    for path, array in zip(paths, exported.out_avals, strict=True)
  )
  raise JaxkdError(
    f"{name} returns {described}; name the one with a number for each of "
    f"{spec.num_classes} classes by --output, or its index."
  )


def _fits(logits: jax.core.ShapedArray, num_classes: int) -> bool:
  """Returns whether an array has a number for each class; of two classes one
  is enough.
  """
  sizes = logits.shape[1:]
  return sizes == (num_classes,) or (num_classes == 2 and sizes in ((), (1,)))


def _check_signature(
  exported: export.Exported, spec: DataSpec, name: str, index: int
) -> None:
  """Refuses an artefact whose inputs and outputs are not those of `spec`."""
  if exported.in_tree != jax.tree.structure(((0,), {})):
    raise JaxkdError(
      f"{name} takes {len(exported.in_avals)} arrays and returns "
      f"{len(exported.out_avals)}; export a function of the images alone that "
      "returns the logits alone, with the weights as constants."
    )
  (images,), logits = exported.in_avals, exported.out_avals[index]
  norms = _num_batch_norms(exported) or 0
  shown = exported.out_avals if norms else (logits,)
  if {each.dtype for each in (images, *shown)} != {jnp.dtype(jnp.float32)}:
    raise JaxkdError(
      f"{name} takes {images.dtype} and returns {logits.dtype}; both must be "
      "float32. Convert inside of the exported function."
    )
  if images.shape[1:] != spec.shape or not _fits(logits, spec.num_classes):
    raise JaxkdError(
      f"{name} maps inputs {_sizes(images)} to logits {_sizes(logits)}; the "
      f"spec of {spec.name} says inputs (B, {_joined(spec.shape)}) and logits "
      f"(B, {spec.num_classes}). Correct the one that is wrong."
    )
  inputs = exported.out_avals[1 : 1 + norms]
  widths = [each.shape[-1:] for each in inputs]
  if norms and [each.shape for each in shown[1 + norms :]] != widths * 2:
    raise JaxkdError(
      f"{name} returns running statistics of other widths than the inputs of "
      "its batch normalisations; return inputs [B, ..., D] and statistics [D]."
    )
  if not export.is_symbolic_dim(images.shape[0]):
    raise JaxkdError(
      f"{name} takes only batches of {images.shape[0]}; export it with a "
      "symbolic batch, jax.export.symbolic_shape('batch')."
    )
  if not exported.has_vjp():
    raise JaxkdError(
      f"{name} has no gradient; write it with exported.serialize(vjp_order=1)."
    )


def _num_batch_norms(exported: export.Exported) -> int | None:
  """Returns the number of batch normalisations that an artefact shows, or None
  if it does not return what an artefact has to return.
  """
  if exported.out_tree == jax.tree.structure(0):
    return 0
  count = (len(exported.out_avals) - 1) // 3
  shown = jax.tree.structure((0, (0,) * count, (0,) * count, (0,) * count))
  return count if exported.out_tree == shown else None


def _check_program(exported: export.Exported, name: str) -> None:
  """Refuses a program that calls back into Python."""
  for program in (exported, exported.vjp()):
    if _CALLBACK.search(program.mlir_module_serialized):
      raise JaxkdError(
        f"{name} calls back into Python; export a network without callbacks."
      )


def _try(exported: export.Exported, spec: DataSpec, name: str) -> None:
  """Refuses an artefact that cannot be lowered on this machine."""
  images = jax.ShapeDtypeStruct((_TRIAL_BATCH, *spec.shape), jnp.float32)
  try:
    jax.jit(exported.call).lower(images)
    cotangents = jax.tree.leaves(jax.eval_shape(exported.call, images))
    jax.jit(
      lambda images: exported.vjp().call(images, *map(_zeros, cotangents))
    ).lower(images)
  except Exception as error:  # MLIR, shape and platform errors
    raise JaxkdError(
      f"{name} does not run on {jax.default_backend()} with JAX "
      f"{jax.__version__} ({_first_line(error)}). Export it again with this "
      "version, for this platform, and for any size of the batch."
    ) from error


def _first_line(error: Exception) -> str:
  return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def _sizes(array: jax.core.ShapedArray) -> str:
  return f"(B, {_joined(array.shape[1:])})"


def _joined(sizes: tuple[int, ...]) -> str:
  return ", ".join(map(str, sizes))
