"""Export of a classifier as a `jax.export` artefact that needs only JAX."""

from collections.abc import Callable, Iterator
import contextlib
from datetime import date, timedelta

import jax
from jax import export
import jax.numpy as jnp

from jaxkd.models import batch_norms
from jaxkd.models.batch_norms import BatchNormCall
from jaxkd.models.cpu import conv
from jaxkd.types import Array, Classifier, DataSpec

PLATFORMS = ("cpu", "cuda", "tpu")
COMPATIBLE = timedelta(days=180)  # for so long, JAX promises to read artefacts


def serialize(
  classifier: Classifier, spec: DataSpec, *, show_batch_norms: bool = False
) -> bytes:
  """Serializes a classifier's function from images to logits.

  It takes images `[B, H, W, C]` float32 in [0, 1] with any B, returns logits
  `[B, K]` float32, has a gradient, and runs on each of `PLATFORMS`. Products
  have full float32 precision, so that all platforms agree.
  `jax.export.deserialize` reads it, and so does
  `jaxkd.serialization.stablehlo.from_export`.

  Args:
    classifier: the network.
    spec: spec of the inputs.
    show_batch_norms: whether the function also returns what `from_export` takes
      of batch normalisations, if the network has any.
  """
  (batch,) = export.symbolic_shape("batch")
  images = jax.ShapeDtypeStruct((batch, *spec.shape), jnp.float32)
  function = logits_function
  if show_batch_norms and _batch_norms(classifier, spec):
    function = logits_and_batch_norms_function
  program = jax.jit(function(classifier))
  with (
    conv.reference_form(),
    jax.default_matmul_precision("highest"),
    _without_source_lines(),
  ):
    exported = export.export(program, platforms=PLATFORMS)(images)
    return bytes(exported.serialize(vjp_order=1))


@contextlib.contextmanager
def _without_source_lines() -> Iterator[None]:
  """Leaves source files out of the programs that are traced inside.

  So they hold no paths of this machine, and equal networks give equal bytes.
  """
  name = "jax_traceback_in_locations_limit"
  before = getattr(jax.config, name)
  jax.config.update(name, 0)
  try:
    yield
  finally:
    jax.config.update(name, before)


def logits_function(classifier: Classifier) -> Callable[[Array], Array]:
  """Returns a function from images `[B, H, W, C]` to logits `[B, K]`.

  The weights are constants of it. B may be symbolic, because the network is
  mapped over single images.
  """
  # Weights on several devices would make a program for as many devices.
  classifier = jax.device_get(classifier)

  def logits_of_one(image: Array) -> Array:
    return classifier(image[None]).logits[0].astype(jnp.float32)

  return jax.vmap(logits_of_one)


def logits_and_batch_norms_function(
  classifier: Classifier,
) -> Callable[[Array], tuple]:
  """Returns a function from images to logits and batch normalisations.

  It returns `(logits, inputs, means, variances)`; the last three have an entry
  for each call of a batch normalisation.
  """
  classifier = jax.device_get(classifier)

  def of_one(image: Array) -> tuple:
    with batch_norms.record() as calls:
      logits = classifier(image[None]).logits[0].astype(jnp.float32)
    inputs, means, variances = zip(*calls, strict=True)
    return logits, tuple(each[0] for each in inputs), means, variances

  return jax.vmap(of_one, out_axes=(0, 0, None, None))


def _batch_norms(classifier: Classifier, spec: DataSpec) -> list[BatchNormCall]:
  """Returns the shapes of the calls of batch normalisations for one image."""

  def calls_of(images: Array) -> list[BatchNormCall]:
    with batch_norms.record() as calls:
      classifier(images)
    return calls

  images = jax.ShapeDtypeStruct((1, *spec.shape), jnp.float32)
  return jax.eval_shape(calls_of, images)


def compatibility() -> dict[str, str]:
  """Describes until when JAX reads an artefact that is written today.

  Returns:
    `jax`, the version; `written` and `loads_until`, dates.
  """
  today = date.today()
  return {
    "jax": jax.__version__,
    "written": today.isoformat(),
    "loads_until": (today + COMPATIBLE).isoformat(),
  }
