"""The baseline of CAKE's poster: a generator trained by cross entropy alone.

Braun, Mundt and Kersting, AISTATS 2024, figure on two moons. A small
conditional generator x = G(z, y), z uniform in [0, 1)^5, is trained with
CE(teacher(G(z, y)), y) alone (Adam at 1e-3). The student is trained on its
samples and the teacher's soft answers to them. The generator collapses to few
points per class, which the figure is to show.
"""

import jax
import jax.numpy as jnp
import optax

from jaxkd.config.fields import COUNT, Field
from jaxkd.config.synthesis_fields import (
  ALPHA,
  BATCH_SIZE,
  STEP_SIZE,
  TEMPERATURE,
)
from jaxkd.models.layers import to_pixels
from jaxkd.models.mlp import ConditionalMLP
from jaxkd.runtime import devices
from jaxkd.synthesis import generator as engine
from jaxkd.training.objectives import kd
from jaxkd.types import (
  Array,
  DataSpec,
  Method,
  MethodInfo,
  Networks,
  Phase,
  Samples,
)

INFO = MethodInfo(
  access="white_box",
  source="a generator",
  critic="teacher",
  objective="KD",
  terms=("classification",),
  image_steps=("step_size",),
)

LATENTS = 5

FIELDS = (
  Field(
    "num_sets", int, ..., "M, sets that are drawn from the generator.", COUNT
  ),
  Field("set_size", int, ..., "N, samples in a set.", COUNT),
  Field("num_steps", int, ..., "T, updates of the generator.", COUNT),
  BATCH_SIZE,
  STEP_SIZE,
)
HYPER = (TEMPERATURE, ALPHA)


def build(
  spec: DataSpec,
  *,
  hyper: dict[str, float],
  num_sets: int,
  set_size: int,
  num_steps: int,
  batch_size: int,
  step_size: float,
) -> Method:
  """Builds the method for inputs like `spec`.

  Args:
    spec: shape, classes and normaliser of the data.
    hyper: `temperature` and `alpha` of the student's `kd_loss`.
    The others are declared in `FIELDS`.
  """
  network = ConditionalMLP(spec.shape, spec.num_classes)

  def sample(params, key: Array, count: int) -> tuple[Array, Array]:
    latent_key, label_key = jax.random.split(key)
    latents = jax.random.uniform(latent_key, (count, LATENTS))
    labels = jax.random.randint(label_key, (count,), 0, spec.num_classes)
    latents, labels = devices.over_batch((latents, labels))
    images = to_pixels(network.apply(params, latents, labels), spec)
    return images, labels

  def init(key: Array, nets: Networks):
    del nets
    return network.init(key, jnp.zeros((1, LATENTS)), jnp.zeros(1, jnp.int32))

  def ask(params, nets: Networks, key: Array):
    fit_key, sample_key = jax.random.split(key)

    def loss(params, key: Array):
      images, labels = sample(params, key, batch_size)
      logits = nets.teacher(images).logits
      error = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
      return error.mean(), {"classification": error.mean()}

    params, terms = engine.fit(
      loss, params, optax.adam(step_size), fit_key, num_steps
    )
    images, labels = sample(params, sample_key, num_sets * set_size)
    return params, Samples(images, labels), terms

  return Method(
    init=init,
    phases=(Phase(ask),),
    rounds=1,
    capacity=num_sets * set_size,
    objective=kd,
    hyper=hyper,
    required_access="white_box",
  )
