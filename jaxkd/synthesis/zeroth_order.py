"""The engine that fits a generator to a black box, by finite differences.

A black box gives no gradient, so the gradient of a loss L at the images is
estimated from its values at nearby points. With u uniform on the unit sphere of
R^D, E[u u^T] = I / D, hence

  grad L(a)  ~  (D / M) sum_m (L(a + r u_m) - L(a)) / r  u_m.

The points lie around the generator's output before its last activation (the
pre-activation a), so that they stay images; from there to the weights the
gradient is the generator's own. Every image costs M + 1 queries.

Truong et al., "Data-Free Model Extraction", CVPR 2021 (M = 1); Kariyappa et
al., "MAZE: Data-Free Model Stealing Attack Using Zeroth-Order Gradient
Estimation", CVPR 2021 (M = 10).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxkd.config.network_fields import OPTIMIZER
from jaxkd.config.synthesis_fields import (
  BATCH_SIZE,
  CAPACITY,
  FINITE_DIFFERENCES,
  LATENTS,
  PAID_ROUNDS,
  WIDTH,
)
from jaxkd.models.generators.registry import Generator
from jaxkd.synthesis import directions
from jaxkd.training import sample_store as stores
from jaxkd.types import (
  Array,
  LossTerms,
  Method,
  Networks,
  Objective,
  PerSampleObjective,
  Phase,
  Samples,
  Variables,
)

FIELDS = (
  PAID_ROUNDS,
  BATCH_SIZE,
  LATENTS,
  WIDTH,
  *FINITE_DIFFERENCES,
  OPTIMIZER,
  CAPACITY,
)


def points(centre: Array, directions: Array, radius: float) -> Array:
  """Returns the points `[M + 1, N, ...]`, `centre [N, ...]` itself first."""
  return jnp.concatenate([centre[None], centre + radius * directions])


def gradient(losses: Array, directions: Array, radius: float) -> Array:
  """Estimates the gradient at the centre from the losses at `points`.

  Args:
    losses: `[M + 1, N]`, of each sample by itself.
    directions: `[M, N, ...]`, as in `points`.
    radius: likewise.

  Returns:
    `[N, ...]`: each sample's own gradient, not divided by N. It is exact for
    a linear loss if the directions are an orthonormal basis (M = D).
  """
  slopes = (losses[1:] - losses[0]) / radius
  slopes = slopes.reshape(*slopes.shape, *[1] * (directions.ndim - 2))
  return directions[0, 0].size * jnp.mean(slopes * directions, axis=0)


class ZerothOrderState(NamedTuple):
  """The state of a method with a `ZerothOrderTrainer`.

  Attributes:
    variables: of the generator.
    opt_state: of its optimiser.
    key: that the points of the last question were drawn with.
  """

  variables: Variables
  opt_state: optax.OptState
  key: Array


class ZerothOrderTrainer(NamedTuple):
  """Trains a generator to make images on which student and teacher disagree.

  The generator is in train mode throughout, the student in evaluation mode,
  so that an image's loss does not depend on the other images of the batch.

  Attributes:
    generator: from latents to pre-activations.
    tx: its optimiser.
    disagreement: `(student's logits [B, K], targets) -> [B]`, maximised.
    batch_size: N, images in a step.
    num_directions: M.
    radius: r, in pre-activations.
  """

  generator: Generator
  tx: optax.GradientTransformation
  disagreement: PerSampleObjective
  batch_size: int
  num_directions: int
  radius: float

  def init(self, key: Array, nets: Networks) -> ZerothOrderState:
    """Returns the state before the first round."""
    del nets
    variables = self.generator.init(key)
    return ZerothOrderState(variables, self.tx.init(variables["params"]), key)

  def latents(self, key: Array) -> Array:
    """Draws the latents of a batch, `[N, Z]`."""
    return jax.random.normal(key, (self.batch_size, self.generator.latents))

  def directions(self, key: Array, like: Array) -> Array:
    """Draws directions `[M, N, H, W, C]` for `like [N, H, W, C]`."""
    return directions.random(key, (self.num_directions, *like.shape))

  def ask_images(
    self, state: ZerothOrderState, nets: Networks, key: Array
  ) -> tuple[ZerothOrderState, Samples, LossTerms]:
    """Makes fresh images `[N, H, W, C]`, for the student."""
    del nets
    pre, changed = self.generator.apply(
      state.variables, self.latents(key), train=True
    )
    state = state._replace(variables={**state.variables, **changed})
    return state, stores.unlabelled(self.generator.to_pixels(pre)), {}

  def ask_points(
    self, state: ZerothOrderState, nets: Networks, key: Array
  ) -> tuple[ZerothOrderState, Samples, LossTerms]:
    """Makes fresh images and the points around them, `[(M + 1) N, H, W, C]`."""
    del nets
    latent_key, direction_key = _keys(key)
    pre, _ = self.generator.apply(
      state.variables, self.latents(latent_key), train=True
    )
    around = points(pre, self.directions(direction_key, pre), self.radius)
    images = self.generator.to_pixels(around.reshape(-1, *pre.shape[1:]))
    return state._replace(key=key), stores.unlabelled(images), {}

  def tell_points(
    self, state: ZerothOrderState, nets: Networks, samples: Samples, key: Array
  ) -> tuple[ZerothOrderState, Samples, LossTerms]:
    """Updates the generator; returns the N images without the points."""
    del key
    # Accelerators multiply with 10 bits by default, which is too coarse for
    # differences of almost equal losses.
    with jax.default_matmul_precision("highest"):
      logits = nets.student(samples.images).logits
    values = self.disagreement(logits, samples.targets)
    values = values.reshape(-1, self.batch_size)
    # The points are drawn again, because a key takes less memory than they do.
    latent_key, direction_key = _keys(state.key)
    latents = self.latents(latent_key)
    params = state.variables["params"]

    def pre_activations(params: Variables) -> tuple[Array, Variables]:
      variables = {**state.variables, "params": params}
      return self.generator.apply(variables, latents, train=True)

    pre, pull_back, changed = jax.vjp(pre_activations, params, has_aux=True)
    ascent = gradient(values, self.directions(direction_key, pre), self.radius)
    ascent /= self.batch_size
    (grads,) = pull_back(-ascent)
    updates, opt_state = self.tx.update(grads, state.opt_state, params)
    params = optax.apply_updates(params, updates)
    variables = {**state.variables, **changed, "params": params}
    centre = jax.tree.map(lambda leaf: leaf[: self.batch_size], samples)
    terms = {"disagreement": values[0].mean()}
    return ZerothOrderState(variables, opt_state, state.key), centre, terms

  def generator_phase(self, repeats: int = 1, student_steps: int = 0) -> Phase:
    """Returns the phase of `repeats` updates of the generator.

    After each of them the student makes `student_steps` on the same images.
    """
    return Phase(
      self.ask_points,
      self.tell_points,
      repeats=repeats,
      student_steps=student_steps,
      store=False,
    )

  def student_phase(self, repeats: int) -> Phase:
    """Returns the phase of `repeats` updates of the student on fresh images."""
    return Phase(self.ask_images, repeats=repeats, student_steps=1)


def zeroth_order_method(
  trainer: ZerothOrderTrainer,
  phases: tuple[Phase, ...],
  *,
  rounds: int,
  capacity: int,
  objective: Objective,
  hyper: dict[str, float],
) -> Method:
  """Builds a method that copies a black box by finite differences.

  Args:
    trainer: of the generator.
    phases: of a round.
    rounds: of the method.
    capacity: samples that the store holds.
    objective: of the student.
    hyper: its numbers.
  """
  return Method(
    init=trainer.init,
    phases=phases,
    rounds=rounds,
    capacity=capacity,
    objective=objective,
    hyper=hyper,
    required_access="label",
    float_pixels=True,
  )


def _keys(key: Array) -> Array:
  """Returns the keys of latents and directions, the same at every call."""
  return jax.random.split(jax.random.clone(key))
