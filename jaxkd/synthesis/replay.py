"""Replay: updates of the student on all samples that the store holds."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxkd.config.fields import COUNT, Field
from jaxkd.data import augmentation, to_float
from jaxkd.training import sample_store as stores
from jaxkd.types import (
  Array,
  JaxkdError,
  Networks,
  Phase,
  Samples,
  SampleStore,
)

PASS_FIELDS = (
  Field("passes", int, ..., "Passes over the store in every round.", COUNT),
  Field("pass_batch_size", int, ..., "Images in one update of a pass.", COUNT),
  Field(
    "views",
    tuple[str, ...],
    ...,
    "Augmentations of the images in a pass.",
    augmentation.AUGMENTATIONS,
  ),
)


def phase(steps: int, batch_size: int, views: tuple[str, ...]) -> Phase:
  """Returns a phase of updates on random views that the teacher answers.

  The images of a batch are drawn independently of each other from the whole
  store, so that old and new ones are equally likely.

  Args:
    steps: of the student, in a round.
    batch_size: images in one.
    views: names in `jaxkd.data.augmentation.AUGMENTATIONS`, in order.
  """

  def sample_for_replay(state, nets: Networks, key: Array):
    draw_key, view_key = jax.random.split(key)
    samples = stores.sample(nets.store, draw_key, batch_size)
    images = augmentation.apply(views, view_key, to_float(samples.images))
    return state, samples._replace(images=images), {}

  return Phase(sample_for_replay, repeats=steps, student_steps=1, store=False)


class PassState(NamedTuple):
  """The position in the passes of a round over the store.

  Attributes:
    key: of the order of the samples.
    batch: number of batches since the round began.
  """

  key: Array
  batch: Array


def start_passes(key: Array) -> PassState:
  """Returns the position before the first batch of a round."""
  return PassState(key, jnp.zeros((), jnp.int32))


def passes_phase(
  passes: int, batch_size: int, views: tuple[str, ...], *, queries: bool
) -> Phase:
  """Returns a phase of passes over the store, every one in another order.

  The state of the method is a dict, in which `passes` is a `PassState`.

  Args:
    passes: in a round.
    batch_size: images in an update; the last batch of a pass is filled up.
    views: names in `jaxkd.data.augmentation.AUGMENTATIONS`, in order.
    queries: whether the teacher labels every view anew.
  """

  def sample_for_replay(state, nets: Networks, key: Array):
    position, samples = next_batch(state["passes"], nets.store, batch_size)
    images = augmentation.apply(views, key, samples.images)
    state = {**state, "passes": position}
    return state, samples._replace(images=images), {}

  return Phase(
    sample_for_replay,
    repeats=lambda stored: passes * batches_per_pass(stored, batch_size),
    student_steps=1,
    store=False,
    queries=queries,
  )


def next_batch(
  position: PassState, store: SampleStore, batch_size: int
) -> tuple[PassState, Samples]:
  """Returns the next batch of the passes, with float images, and the position
  after it.
  """
  per_pass = batches_per_pass(store.inserted, batch_size)
  samples = stores.shuffled_batch(
    store,
    jax.random.fold_in(position.key, position.batch // per_pass),
    position.batch % per_pass,
    batch_size,
  )
  after = PassState(position.key, position.batch + 1)
  return after, samples._replace(images=to_float(samples.images))


def batches_per_pass(stored: Array | int, batch_size: int) -> Array | int:
  """Returns the batches in a pass over `stored` samples, the last filled up."""
  return -(-stored // batch_size)


def rounds_within(
  budget: int, new_images: int, passes: int, batch_size: int
) -> int:
  """Returns the rounds that a budget pays for if every view costs a query.

  Args:
    budget: images that the teacher may be asked for.
    new_images: in a round, which go into the store.
    passes: over the store, in a round.
    batch_size: views in an update of a pass.

  Raises:
    JaxkdError: if it does not pay for one round.
  """
  rounds = spent = 0
  while True:
    stored = (rounds + 1) * new_images
    spent += passes * batches_per_pass(stored, batch_size) * batch_size
    if spent > budget:
      break
    rounds += 1
  if not rounds:
    raise JaxkdError(
      f"queries.budget={budget} does not pay for one round, which asks about "
      f"{spent} views; raise it, or lower synthesis.batch_size."
    )
  return rounds
