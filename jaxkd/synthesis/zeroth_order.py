"""The engine that fits a generator to a black box, by finite differences.

A black box gives no gradient, so the slope of a loss L at the images is
guessed from its values at nearby points. With u uniform on the unit sphere of
R^D, E[u u^T] = I / D, hence

  grad L(a)  ~  (D / M) sum_m (L(a + r u_m) - L(a)) / r  u_m.

The points are moved in the generator's output before its last squashing (the
pre-activation a), so that they stay images; the rest of the way, to the
weights, is the generator's own derivative. Every image costs M + 1 queries.

Truong et al., "Data-Free Model Extraction", CVPR 2021 (M = 1); Kariyappa et
al., "MAZE: Data-Free Model Stealing Attack Using Zeroth-Order Gradient
Estimation", CVPR 2021 (M = 10).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxkd.models.generators.registry import Generator
from jaxkd.synthesis import directions as ways
from jaxkd.training import sample_store as stores
from jaxkd.types import Array, LossTerms, Networks, Samples, Variables


def points(centre: Array, directions: Array, radius: float) -> Array:
  """Where to ask: `[M + 1, N, ...]`, `centre [N, ...]` itself first."""
  return jnp.concatenate([centre[None], centre + radius * directions])


def gradient(losses: Array, directions: Array, radius: float) -> Array:
  """The estimate at the centre, from what was found at `points`.

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
  """Attributes:

  variables: of the generator.
  opt_state: of its optimiser.
  key: what the points that were asked last were drawn from.
  """

  variables: Variables
  opt_state: optax.OptState
  key: Array


class ZerothOrderTrainer(NamedTuple):
  """A generator that seeks images on which student and teacher disagree.

  The generator is in train mode throughout, the student in evaluation mode,
  so that an image's loss does not depend on the others that are asked.

  Attributes:
    generator: from latents to pre-activations.
    tx: its optimiser.
    disagreement: `(student logits [B, K], targets) -> [B]`, made greater.
    batch_size: N, images in a step.
    num_directions: M.
    radius: r, in pre-activations.
  """

  generator: Generator
  tx: optax.GradientTransformation
  disagreement: Callable[[Array, Array], Array]
  batch_size: int
  num_directions: int
  radius: float

  @property
  def queries(self) -> int:
    """What one step of the generator costs, in images."""
    return self.batch_size * (self.num_directions + 1)

  def init(self, key: Array, nets: Networks) -> ZerothOrderState:
    del nets
    variables = self.generator.init(key)
    return ZerothOrderState(variables, self.tx.init(variables["params"]), key)

  def latents(self, key: Array) -> Array:
    return jax.random.normal(key, (self.batch_size, self.generator.latents))

  def directions(self, key: Array, like: Array) -> Array:
    """`[M, N, H, W, C]` for `like [N, H, W, C]`."""
    return ways.random(key, (self.num_directions, *like.shape))

  def ask_images(
    self, state: ZerothOrderState, nets: Networks, key: Array
  ) -> tuple[ZerothOrderState, Samples, LossTerms]:
    """Fresh images `[N, H, W, C]`, for the student."""
    del nets
    pre, changed = self.generator.apply(
      state.variables, self.latents(key), train=True
    )
    state = state._replace(variables={**state.variables, **changed})
    return state, stores.unlabelled(self.generator.to_pixels(pre)), {}

  def ask_points(
    self, state: ZerothOrderState, nets: Networks, key: Array
  ) -> tuple[ZerothOrderState, Samples, LossTerms]:
    """Fresh images and the points around them, `[(M + 1) N, H, W, C]`."""
    del nets
    latent_key, direction_key = _keys(key)
    pre, _ = self.generator.apply(
      state.variables, self.latents(latent_key), train=True
    )
    directions = self.directions(direction_key, pre)
    asked = points(pre, directions, self.radius).reshape(-1, *pre.shape[1:])
    state = state._replace(key=key)
    return state, stores.unlabelled(self.generator.to_pixels(asked)), {}

  def tell_points(
    self, state: ZerothOrderState, nets: Networks, answered: Samples, key: Array
  ) -> tuple[ZerothOrderState, Samples, LossTerms]:
    """One step of the generator; hands on the N images without the points."""
    del key
    # Small differences of losses: the 10 bits with which accelerators multiply
    # by default would drown them.
    with jax.default_matmul_precision("highest"):
      logits = nets.student(answered.images).logits
    found = self.disagreement(logits, answered.targets)
    found = found.reshape(-1, self.batch_size)
    # Drawn again: a key is less to keep than all directions.
    latent_key, direction_key = _keys(state.key)
    latents = self.latents(latent_key)
    params = state.variables["params"]

    def pre_activations(params: Variables) -> tuple[Array, Variables]:
      variables = {**state.variables, "params": params}
      return self.generator.apply(variables, latents, train=True)

    pre, pull_back, changed = jax.vjp(pre_activations, params, has_aux=True)
    directions = self.directions(direction_key, pre)
    ascent = gradient(found, directions, self.radius) / self.batch_size
    (grads,) = pull_back(-ascent)
    updates, opt_state = self.tx.update(grads, state.opt_state, params)
    params = optax.apply_updates(params, updates)
    variables = {**state.variables, **changed, "params": params}
    centre = jax.tree.map(lambda leaf: leaf[: self.batch_size], answered)
    terms = {"disagreement": found[0].mean()}
    return ZerothOrderState(variables, opt_state, state.key), centre, terms


def _keys(key: Array) -> Array:
  """Of the latents and the directions of a step; the same, however often."""
  return jax.random.split(jax.random.clone(key))
