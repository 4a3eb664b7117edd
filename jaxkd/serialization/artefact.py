"""What a `jax.export` artefact takes and returns, and whether it is usable."""

import re

import jax
from jax import export
import jax.numpy as jnp
import numpy as np

from jaxkd.config.teacher_fields import output_index
from jaxkd.types import Array, DataSpec, JaxkdError

# Targets of calls back into the Python process that exported the artefact.
_CALLBACK = re.compile(rb"xla_\w*callback")
_TRIAL_BATCH = 3  # no multiple of 2, to find artefacts for other batch sizes


def read(blob: bytes, name: str) -> export.Exported:
  """Reads an artefact from its bytes.

  Args:
    blob: the bytes.
    name: for messages.

  Raises:
    JaxkdError: if they are no artefact that this version of JAX reads.
  """
  try:
    return export.deserialize(bytearray(blob))
  except Exception as error:  # a damaged file can raise any error
    raise JaxkdError(
      f"{name} is no network that jax.export wrote, or none that JAX "
      f"{jax.__version__} reads ({_first_line(error)}). It is damaged, from a "
      "later JAX, or more than six months older; export it again."
    ) from error


def check(
  exported: export.Exported, spec: DataSpec, name: str, index: int
) -> None:
  """Checks that an artefact is a classifier of the images of `spec`.

  Args:
    exported: the artefact.
    spec: spec of the inputs.
    name: for messages.
    index: of the logits among its outputs, as `logits_index` gives it.

  Raises:
    JaxkdError: if its inputs, outputs or gradient are not as `from_export`
      describes them, or if it can't be run on this machine.
  """
  _check_signature(exported, spec, name, index)
  _check_program(exported, name)
  _try(exported, spec, name)


def zero_cotangents(
  exported: export.Exported, images: Array | jax.ShapeDtypeStruct
) -> list[Array | np.ndarray]:
  """Returns the zero gradient of every array that an artefact returns."""
  shapes = jax.tree.leaves(jax.eval_shape(exported.call, images))
  return [
    jnp.zeros(each.shape, each.dtype)
    if jnp.issubdtype(each.dtype, jnp.inexact)
    else np.zeros(each.shape, jax.dtypes.float0)
    for each in shapes
  ]


def logits_index(
  exported: export.Exported, spec: DataSpec, name: str, output: str
) -> int:
  """Returns which of the arrays that an artefact returns are the logits.

  Raises:
    JaxkdError: if there is no such output, or if none is named and not exactly
      one fits.
  """
  if num_batch_norms(exported) is not None and output in ("", "0", "-1"):
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
  if (index := output_index(output, len(paths))) is not None:
    return index
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


def num_batch_norms(exported: export.Exported) -> int | None:
  """Returns the number of batch normalisations that an artefact shows, or None
  if it does not return what an artefact has to return.
  """
  if exported.out_tree == jax.tree.structure(0):
    return 0
  count = (len(exported.out_avals) - 1) // 3
  shown = jax.tree.structure((0, (0,) * count, (0,) * count, (0,) * count))
  return count if exported.out_tree == shown else None


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
  norms = num_batch_norms(exported) or 0
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
    jax.jit(
      lambda images: exported.vjp().call(
        images, *zero_cotangents(exported, images)
      )
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
