"""A generator of one batch, whose latents are trained with its weights.

A projection head is trained with them. It outlives the generator, and so do
Adam's averages of it. Parameters are a dict of `generator`, `latents [N, Z]`
and `head`.
"""

import jax
import jax.numpy as jnp
import optax

from jaxkd import losses
from jaxkd.models.generators.registry import Generator
from jaxkd.synthesis.generator import GeneratorState
from jaxkd.types import Array, Variables


def optimiser(
  step_size: float, head_step_size: float
) -> optax.GradientTransformation:
  """Returns Adam for generator and latents, and another Adam for the head."""
  return optax.partition(
    {
      "image": optax.adam(step_size, b1=0.5),  # CMI's released code's betas
      "head": optax.adam(head_step_size),
    },
    {"generator": "image", "latents": "image", "head": "head"},
  )


def adversarial_term(student_logits: Array, logits: Array) -> Array:
  """Computes `- mean [argmax s = argmax t] KL(t || s)`, CMI's.

  Lowering it makes images on which the student is less certain than the
  teacher, and of the same class.

  Args:
    student_logits: s, `[N, K]`.
    logits: t of the teacher, `[N, K]`.
  """
  agree = student_logits.argmax(-1) == logits.argmax(-1)
  gap = losses.disagreement_loss(student_logits, logits, kind="kl")
  return -jnp.mean(agree * gap)


def init(
  network: Generator, key: Array, batch_size: int, head: Variables
) -> tuple[Variables, Variables]:
  """Returns the variables of a new generator, and all trained parameters."""
  init_key, latent_key = jax.random.split(key)
  variables = network.init(init_key)
  params = {
    "generator": variables["params"],
    "latents": jax.random.normal(latent_key, (batch_size, network.latents)),
    "head": head,
  }
  return variables, params


def init_state(
  tx: optax.GradientTransformation,
  params: Variables,
  head_optimizer: optax.OptState,
) -> GeneratorState:
  """Returns the state before the first update, with `head_optimizer` as the
  head's part of the optimiser's state.
  """
  opt_state = tx.init(params)
  inner_states = {**opt_state.inner_states, "head": head_optimizer}
  opt_state = opt_state._replace(inner_states=inner_states)
  return GeneratorState({"params": params}, opt_state)


def images_of(
  network: Generator, variables: Variables, params: Variables
) -> Array:
  """Returns the images `[N, H, W, C]` of the latents."""
  outputs, _ = network.apply(
    {**variables, "params": params["generator"]}, params["latents"], train=True
  )
  return network.to_pixels(outputs)
