"""Classifiers from `jax.export` artefacts, which need no model code.

An artefact is a program of XLA. Reading it runs no Python code, but its author
decides what it computes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
import hashlib
import re

import jax
from jax import export
import jax.numpy as jnp
import numpy as np

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


def from_export(
  blob: bytes, spec: DataSpec, name: str = "stablehlo"
) -> Classifier:
  """Creates a classifier from the bytes of a `jax.export` artefact.

  The artefact has to take float32 images `[B, H, W, C]` in [0, 1] with a
  symbolic B, normalise them itself, and return float32 logits `[B, K]`; it has
  to be written by `serialize(vjp_order=1)`. An exported call cannot be vmapped,
  so mapped axes are merged with the batch.

  The weights are inside of the program and cannot be trained. The only variable
  is the SHA-256 of the bytes, so that `jaxkd.serialization.weights.digest`
  differs between artefacts.

  Args:
    blob: bytes of the artefact.
    spec: spec of the inputs; its normaliser is not applied.
    name: for messages and reports.

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
  _check_signature(exported, spec, name)
  _check_program(exported, name)
  _try(exported, spec, name)
  digest = hashlib.sha256(blob)
  variables = {
    "params": {},
    "sha256": jnp.asarray(np.frombuffer(digest.digest(), np.uint8)),
  }
  apply = _Exported(digest.hexdigest(), _differentiable(exported))
  return Classifier(variables, apply, name)


@dataclass(frozen=True)
class _Exported:
  """Applies an artefact; two of them are equal if their bytes are."""

  digest: str
  logits: Callable[[Array], Array] = field(compare=False, repr=False)

  def __call__(
    self,
    variables: Variables,
    images: Array,
    *,
    train: bool = False,
    rng: Array | None = None,
  ) -> tuple[Outputs, Variables]:
    del variables, train, rng  # an artefact is the same in training
    return Outputs(self.logits(jnp.asarray(images, jnp.float32))), {}


def _differentiable(exported: export.Exported) -> Callable[[Array], Array]:
  """Returns the exported call with its exported gradient and vmap rules."""
  forward = _merges_mapped_axes(exported.call)
  pullback = _merges_mapped_axes(lambda *both: exported.vjp().call(*both)[0])
  logits = jax.custom_vjp(forward)
  logits.defvjp(
    lambda images: (forward(images), images),
    lambda images, cotangents: (pullback(images, cotangents),),
  )
  return logits


def _merges_mapped_axes(call: Callable[..., Array]) -> Callable[..., Array]:
  """Decorates `call([B, ...], ...) -> [B, ...]` with a rule for `jax.vmap`.

  Every mapped axis is merged with the batch.
  """
  merged = jax.custom_batching.custom_vmap(call)

  @merged.def_vmap
  def rule(size: int, mapped: list[bool], *batches: Array):
    stacked = [
      batch if is_mapped else jnp.broadcast_to(batch, (size, *batch.shape))
      for batch, is_mapped in zip(batches, mapped, strict=True)
    ]
    result = merged(*(s.reshape(-1, *s.shape[2:]) for s in stacked))
    return result.reshape(size, -1, *result.shape[1:]), True

  return merged


def _check_signature(
  exported: export.Exported, spec: DataSpec, name: str
) -> None:
  """Refuses an artefact whose inputs and outputs are not those of `spec`."""
  trees = exported.in_tree, exported.out_tree
  if trees != (jax.tree.structure(((0,), {})), jax.tree.structure(0)):
    raise JaxkdError(
      f"{name} takes {len(exported.in_avals)} arrays and returns "
      f"{len(exported.out_avals)}; export a function of the images alone that "
      "returns the logits alone, with the weights as constants."
    )
  (images,), (logits,) = exported.in_avals, exported.out_avals
  if images.dtype != jnp.float32 or logits.dtype != jnp.float32:
    raise JaxkdError(
      f"{name} takes {images.dtype} and returns {logits.dtype}; both must be "
      "float32. Convert inside of the exported function."
    )
  if images.shape[1:] != spec.shape or logits.shape[1:] != (spec.num_classes,):
    raise JaxkdError(
      f"{name} maps inputs {_sizes(images)} to logits {_sizes(logits)}; the "
      f"spec of {spec.name} says inputs (B, {_joined(spec.shape)}) and logits "
      f"(B, {spec.num_classes}). Correct the one that is wrong."
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
  logits = jax.ShapeDtypeStruct((_TRIAL_BATCH, spec.num_classes), jnp.float32)
  try:
    jax.jit(exported.call).lower(images)
    jax.jit(exported.vjp().call).lower(images, logits)
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
