"""Classifiers from `jax.export` artefacts: a teacher without its model code.

An artefact is a program. Nothing of Python runs when it is read, but what it
computes is up to whoever wrote it.
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

# Targets that would call into the Python of a process that is no more.
_CALLBACK = re.compile(rb"xla_\w*callback")
_TRIAL = 3  # images; a batch that is no multiple of 2


def from_export(
  blob: bytes, spec: DataSpec, name: str = "stablehlo"
) -> Classifier:
  """A classifier from the bytes of a `jax.export` artefact.

  The artefact takes float32 images `[B, H, W, C]` in [0, 1], with a symbolic
  B, normalises them itself, and gives float32 logits `[B, K]`; it was written
  by `serialize(vjp_order=1)`. An exported call can't be vmapped, so mapped axes
  are folded into the batch.

  The weights are inside the program: nothing here can be trained, and the one
  variable is the SHA-256 of the bytes, by which
  `jaxkd.serialization.weights.digest` tells one artefact from another.

  Args:
    blob: the artefact.
    spec: spec of the inputs; its normaliser is not applied.
    name: for messages and reports.

  Raises:
    JaxkdError: if the bytes are no artefact that this version of JAX runs, or
      its inputs, outputs or gradient are not as above.
  """
  try:
    exported = export.deserialize(bytearray(blob))
  except (
    Exception
  ) as error:  # a torn file fails in as many ways as it has bytes
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
  """The exported call with its own gradient, and both with a rule for vmap."""
  forward = _folding(exported.call)
  pullback = _folding(lambda *both: exported.vjp().call(*both)[0])
  logits = jax.custom_vjp(forward)
  logits.defvjp(
    lambda images: (forward(images), images),
    lambda images, cotangents: (pullback(images, cotangents),),
  )
  return logits


def _folding(call: Callable[..., Array]) -> Callable[..., Array]:
  """`call([B, ...], ...) -> [B, ...]` that may be vmapped, any number of
  times: each mapped axis joins the batch.
  """
  folded = jax.custom_batching.custom_vmap(call)

  @folded.def_vmap
  def rule(size: int, mapped: list[bool], *batches: Array):
    stacked = [
      batch if is_mapped else jnp.broadcast_to(batch, (size, *batch.shape))
      for batch, is_mapped in zip(batches, mapped, strict=True)
    ]
    result = folded(*(s.reshape(-1, *s.shape[2:]) for s in stacked))
    return result.reshape(size, -1, *result.shape[1:]), True

  return folded


def _check_signature(
  exported: export.Exported, spec: DataSpec, name: str
) -> None:
  """Refuses an artefact whose inputs and outputs are not those of `spec`."""
  trees = exported.in_tree, exported.out_tree
  if trees != (jax.tree.structure(((0,), {})), jax.tree.structure(0)):
    raise JaxkdError(
      f"{name} takes {len(exported.in_avals)} arrays and gives "
      f"{len(exported.out_avals)}; export a function of one argument, the "
      "images, that returns one array, the logits. Weights go inside."
    )
  (images,), (logits,) = exported.in_avals, exported.out_avals
  if images.dtype != jnp.float32 or logits.dtype != jnp.float32:
    raise JaxkdError(
      f"{name} takes {images.dtype} and gives {logits.dtype}; both must be "
      "float32. Convert inside the exported function."
    )
  if images.shape[1:] != spec.shape or logits.shape[1:] != (spec.num_classes,):
    raise JaxkdError(
      f"{name} maps inputs {_sizes(images)} to logits {_sizes(logits)}; the "
      f"spec of {spec.name} says inputs (B, {_listed(spec.shape)}) and logits "
      f"(B, {spec.num_classes}). Correct the one that is wrong."
    )
  if not export.is_symbolic_dim(images.shape[0]):
    raise JaxkdError(
      f"{name} takes batches of {images.shape[0]} alone; export it with a "
      "symbolic batch, jax.export.symbolic_shape('batch')."
    )
  if not exported.has_vjp():
    raise JaxkdError(
      f"{name} has no gradient inside; write it with "
      "exported.serialize(vjp_order=1)."
    )


def _check_program(exported: export.Exported, name: str) -> None:
  """Refuses a program that would leave XLA."""
  for program in (exported, exported.vjp()):
    if _CALLBACK.search(program.mlir_module_serialized):
      raise JaxkdError(
        f"{name} calls back into Python; export a network without callbacks."
      )


def _try(exported: export.Exported, spec: DataSpec, name: str) -> None:
  """Refuses an artefact that can't be lowered here, before a run begins."""
  images = jax.ShapeDtypeStruct((_TRIAL, *spec.shape), jnp.float32)
  logits = jax.ShapeDtypeStruct((_TRIAL, spec.num_classes), jnp.float32)
  try:
    jax.jit(exported.call).lower(images)
    jax.jit(exported.vjp().call).lower(images, logits)
  except Exception as error:  # of MLIR, of shapes, of platforms
    raise JaxkdError(
      f"{name} does not run on {jax.default_backend()} with JAX "
      f"{jax.__version__} ({_first_line(error)}). Export it again with this "
      "version, for this platform, and for any size of the batch."
    ) from error


def _first_line(error: Exception) -> str:
  return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def _sizes(array: jax.core.ShapedArray) -> str:
  return f"(B, {_listed(array.shape[1:])})"


def _listed(sizes: tuple[int, ...]) -> str:
  return ", ".join(map(str, sizes))
