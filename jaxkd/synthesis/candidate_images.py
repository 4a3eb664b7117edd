"""Methods that draw candidate images, select some, and ask the teacher.

Nothing is optimised: an image comes from a source (`jaxkd.synthesis.procedural`
or other people's images) or is a mutation of one that was asked before. A round

1. draws candidates and mutations and selects some of them
   (`jaxkd.synthesis.selection`);
2. asks the teacher about these;
3. trains new students from scratch on all answers so far, which select in the
   next round (`selection.members`), in the same dispatch.

After the rounds the student is trained on all answers.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxkd.config.fields import COUNT, NOT_NEGATIVE, POSITIVE, Block, Field
from jaxkd.data import to_float
from jaxkd.data.labels import labels_of
from jaxkd.evaluation.predictions import log_probs
from jaxkd.runtime import devices
from jaxkd.synthesis import mutations, procedural, replay, selection
from jaxkd.training import optimisers, sample_store as stores
from jaxkd.training.step import (
  EpochInputs,
  TrainConfig,
  TrainState,
  init_state,
  train_step,
)
from jaxkd.types import (
  Array,
  DataSpec,
  JaxkdError,
  LossContext,
  Method,
  Networks,
  Objective,
  Phase,
  Samples,
  Variables,
)

# (networks, key, count) -> uint8 images [count, H, W, C]
Source = Callable[[Networks, Array, int], Array]

SELECTION = Block(
  "selection",
  "How the images that are asked about are selected.",
  (
    Field(
      "criterion",
      str,
      "margin",
      "What students select by in a class; none: new candidates at random.",
      selection.CRITERIA,
    ),
    Field(
      "candidates",
      float,
      2.0,
      "New candidates for an image that is asked.",
      COUNT,
    ),
    Field(
      "mutations",
      float,
      2.0,
      "Mutations of asked images, for an image that is asked.",
      NOT_NEGATIVE,
    ),
    Field("members", int, 2, "Students that select.", COUNT),
    Field(
      "visits",
      int,
      150_000,
      "Images in all updates of a member in a round, which set its epochs.",
      COUNT,
    ),
    Field("min_epochs", int, 3, "Least epochs of a member.", COUNT),
    Field("max_epochs", int, 15, "Most epochs of a member.", COUNT),
    Field("batch_size", int, 32, "Images in an update of a member.", COUNT),
    Field(
      "learning_rate", float, 0.03, "Peak of a member's one-cycle.", POSITIVE
    ),
    Field(
      "weight_decay", float, 5e-3, "Weight decay of a member.", NOT_NEGATIVE
    ),
  ),
)


class SelectionConfig(NamedTuple):
  """The fields of the block `selection`."""

  criterion: str
  candidates: float
  mutations: float
  members: int
  visits: int
  min_epochs: int
  max_epochs: int
  batch_size: int
  learning_rate: float
  weight_decay: float

  def num_updates(self, stored: Array | int) -> Array:
    """Counts a member's updates in a round with `stored` answers."""
    epochs = jnp.clip(
      self.visits // jnp.maximum(stored, 1), self.min_epochs, self.max_epochs
    )
    return epochs * replay.batches_per_pass(stored, self.batch_size)


class MemberState(NamedTuple):
  """The students that select.

  Attributes:
    members: stacked, `[E, ...]`.
    update: number of their updates in this round.
    key: of the order of the samples in this round.
  """

  members: TrainState
  update: Array
  key: Array


def candidate_method(
  spec: DataSpec,
  source: Source,
  *,
  rounds: int,
  batch_size: int,
  select: SelectionConfig,
  objective: Objective,
  hyper: dict[str, float],
  relabel_views: bool,
  real_images: str = "",
) -> Method:
  """Builds a method that asks about images from a source.

  Args:
    spec: of the inputs.
    source: draws new candidates.
    rounds: of the method.
    batch_size: images that the teacher is asked about in a round.
    select: how they are selected.
    objective: of the student and of the members.
    hyper: its numbers.
    relabel_views: see `jaxkd.types.Method`.
    real_images: see `jaxkd.types.Method`.

  Raises:
    JaxkdError: for inputs that are no images.
  """
  if len(spec.shape) != 3:
    raise JaxkdError(
      f"{spec.name} has inputs of shape {spec.shape}, and this method makes "
      "images [H, W, C]; choose another method."
    )
  selects = select.criterion != "none"
  num_new = round(select.candidates * batch_size)
  num_mutations = round(select.mutations * batch_size) if selects else 0
  tx = _member_optimiser(select)

  def init(key: Array, nets: Networks):
    if not selects:
      return ()
    return _new_members(nets, key, select.members, tx)

  def ask(state, nets: Networks, key: Array):
    draw_key, mutate_key, select_key = jax.random.split(key, 3)
    candidates, store = source(nets, draw_key, num_new), nets.store
    if store is None:  # while the store's shapes are worked out
      return state, stores.unlabelled(candidates[:batch_size]), {}
    valid = jnp.ones(num_new, bool)
    if num_mutations:
      children = _mutated(nets, mutate_key, num_mutations, spec)
      candidates = jnp.concatenate([candidates, children])
      # Before the first answers there is nothing to mutate.
      any_stored = jnp.broadcast_to(store.inserted > 0, (num_mutations,))
      valid = jnp.concatenate([valid, any_stored])
    new = valid & selection.is_new(
      candidates, store.samples.images, store.inserted
    )
    answers = jnp.zeros((1, len(candidates), spec.num_classes))
    if selects:
      answers = jnp.where(
        store.inserted > 0, _predict(nets, state, candidates), answers
      )
    rows = selection.select(
      select_key,
      answers,
      new,
      stores.label_counts(store, spec.num_classes),
      batch_size,
      select.criterion,
    )
    return state, stores.unlabelled(candidates[rows]), {}

  def restart(state, nets: Networks, answered: Samples, key: Array):
    if selects:
      state = _new_members(nets, key, select.members, tx)
    return state, answered, {}

  def next_batch(state: MemberState, nets: Networks, key: Array):
    del key
    per_pass = replay.batches_per_pass(nets.store.inserted, select.batch_size)
    samples = stores.shuffled_batch(
      nets.store,
      jax.random.fold_in(state.key, state.update // per_pass),
      state.update % per_pass,
      select.batch_size,
    )
    return state, samples._replace(images=to_float(samples.images)), {}

  def update(state: MemberState, nets: Networks, batch: Samples, key: Array):
    total = select.num_updates(nets.store.inserted)
    config = TrainConfig(nets.student.apply, tx, objective)
    inputs = EpochInputs(
      {name: jnp.float32(value) for name, value in hyper.items()},
      LossContext(
        state.update, stores.label_counts(nets.store, spec.num_classes)
      ),
      key,
    )

    def step(member: TrainState, key: Array):
      rates = _rates(select, state.update / jnp.maximum(total - 1, 1))
      opt_state = optax.tree.set(member.opt_state, **rates)
      member = member.replace(opt_state=opt_state)
      return train_step(config, member, batch, inputs, key)

    keys = jax.random.split(key, select.members)
    members, losses = devices.vmap_networks(step)(state.members, keys)
    state = state._replace(members=members, update=state.update + 1)
    return state, batch, {"members": losses.mean()}

  training = Phase(
    next_batch,
    update,
    repeats=select.num_updates,
    store=False,
    queries=False,
  )
  return Method(
    init=init,
    phases=(Phase(ask, restart), *((training,) if selects else ())),
    rounds=rounds,
    capacity=rounds * batch_size,
    objective=objective,
    hyper=hyper,
    relabel_views=relabel_views,
    required_access="white_box" if relabel_views else "label",
    real_images=real_images,
    round_student=_first_member if selects else None,
  )


def _first_member(state: MemberState) -> Variables:
  return jax.tree.map(lambda leaf: leaf[0], state.members.variables)


def _mutated(nets: Networks, key: Array, count: int, spec: DataSpec) -> Array:
  """Returns mutations of stored images, those of rare classes most often."""
  parent_key, partner_key, pattern_key, mutate_key = jax.random.split(key, 4)
  store = nets.store
  held = jnp.arange(store.capacity) < store.inserted
  labels = jnp.where(held, labels_of(store.samples), -1)
  counts = stores.label_counts(store, spec.num_classes)
  parents = selection.rare_classes(parent_key, labels, counts, count)
  partners = jax.random.randint(
    partner_key, (count,), 0, jnp.maximum(store.inserted, 1)
  )
  images = store.samples.images
  return mutations.mutate(
    mutate_key,
    images[parents],
    images[partners],
    procedural.draw("smooth", pattern_key, count, spec.shape),
  )


def _predict(nets: Networks, state: MemberState, images: Array) -> Array:
  """Returns the members' log-probabilities `[E, N, K]`."""
  count = len(state.members.step)
  members = [
    nets.student.replace(
      variables=jax.tree.map(lambda leaf, i=i: leaf[i], state.members.variables)
    )
    for i in range(count)
  ]
  return jnp.stack([log_probs(member, images) for member in members])


def _new_members(
  nets: Networks, key: Array, count: int, tx: optax.GradientTransformation
) -> MemberState:
  """Returns students with new random weights, before their first update."""
  order_key, weights_key = jax.random.split(key)
  members = [
    init_state(nets.student.replace(variables=nets.init_student(key)), tx)
    for key in jax.random.split(weights_key, count)
  ]
  stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
  return MemberState(stacked, jnp.int32(0), order_key)


def _member_optimiser(select: SelectionConfig) -> optax.GradientTransformation:
  """Returns SGD whose rate and momentum are set before every update."""
  return optax.chain(
    optax.add_decayed_weights(select.weight_decay),
    optax.inject_hyperparams(optax.sgd)(
      learning_rate=select.learning_rate, momentum=0.9
    ),
  )


def _rates(select: SelectionConfig, progress: Array) -> dict[str, Array]:
  """Returns the one-cycle's rate and momentum; progress goes from 0 to 1."""
  ticks, peak = 1000, select.learning_rate
  at = progress * (ticks - 1)
  return {
    "learning_rate": optimisers.cosine_cycle(
      ticks, peak / 25, peak, peak / 25e4
    )(at),
    "momentum": optimisers.cosine_cycle(ticks, 0.95, 0.85, 0.95)(at),
  }
