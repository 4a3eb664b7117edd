"""Classifiers from `jax.export` artefacts, which need no model code.

An artefact is a program of XLA. Reading it runs no Python code, but its author
decides what it computes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
import hashlib
from typing import NamedTuple

import jax
from jax import export
import jax.numpy as jnp
import numpy as np

from jaxkd.models import batch_norms
from jaxkd.serialization import artefact
from jaxkd.types import Array, Classifier, DataSpec, Outputs, Variables


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
  blob: bytes,
  spec: DataSpec,
  name: str = "The exported network",
  output: str = "",
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
  exported = artefact.read(blob, name)
  index = artefact.logits_index(exported, spec, name, output)
  artefact.check(exported, spec, name, index)
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
  shown = artefact.num_batch_norms(exported)

  def call(images: Array) -> _Answer:
    returned = exported.call(images)
    if shown:
      return _Answer(*returned)
    return _Answer(jax.tree.leaves(returned)[index])

  def pull_back(images: Array, logits: Array, *inputs: Array) -> Array:
    # No other output has a part in a loss; running statistics do not depend on
    # the images.
    cotangents = artefact.zero_cotangents(exported, images)
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
