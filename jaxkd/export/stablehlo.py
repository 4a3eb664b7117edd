"""A classifier as a `jax.export` artefact: runs wherever JAX does, needs no
other package of ours.
"""

from collections.abc import Callable, Iterator
import contextlib
from datetime import date, timedelta

import jax
from jax import export
import jax.numpy as jnp

from jaxkd.models.cpu import conv
from jaxkd.types import Array, Classifier, DataSpec

PLATFORMS = ("cpu", "cuda", "tpu")
PROMISED = timedelta(days=180)  # JAX reads artefacts of the last six months


def artefact(classifier: Classifier, spec: DataSpec) -> bytes:
  """Images `[B, H, W, C]` float32 in [0, 1] to logits `[B, K]` float32, for any
  B, on each of `PLATFORMS`, with the gradient inside.

  Products are of full float32 everywhere, so that all platforms agree.
  `jax.export.deserialize(artefact).call(images)` runs it, and so does
  `jaxkd.serialization.stablehlo.from_export`.
  """
  (batch,) = export.symbolic_shape("batch")
  images = jax.ShapeDtypeStruct((batch, *spec.shape), jnp.float32)
  logits = jax.jit(logits_function(classifier))
  with (
    conv.reference_form(),
    jax.default_matmul_precision("highest"),
    _without_source_lines(),
  ):
    exported = export.export(logits, platforms=PLATFORMS)(images)
    return bytes(exported.serialize(vjp_order=1))


@contextlib.contextmanager
def _without_source_lines() -> Iterator[None]:
  """Programs traced inside do not name the files that they were written in:
  they say nothing of this machine, and equal networks are equal bytes.
  """
  name = "jax_traceback_in_locations_limit"
  before = getattr(jax.config, name)
  jax.config.update(name, 0)
  try:
    yield
  finally:
    jax.config.update(name, before)


def logits_function(classifier: Classifier) -> Callable[[Array], Array]:
  """Images `[B, H, W, C]` to logits `[B, K]` with the weights inside; B may be
  a symbol, whatever the network does with the length of its batch.
  """
  # Weights that lie on several devices would make a program for as many.
  classifier = jax.device_get(classifier)

  def logits_of_one(image: Array) -> Array:
    return classifier(image[None]).logits[0].astype(jnp.float32)

  return jax.vmap(logits_of_one)


def note() -> dict[str, str]:
  """What a reader must know of an artefact that is written today: `jax`, the
  version; `written` and `loads_until`, dates.
  """
  today = date.today()
  return {
    "jax": jax.__version__,
    "written": today.isoformat(),
    "loads_until": (today + PROMISED).isoformat(),
  }
