"""A committee: what labels that were paid for say about images that were not.

Students that learn the same few thousand hard labels differ by where they
began, and their mean errs less than each of them. That costs no query, and
neither do more images: the committee answers them in the teacher's place, and
one student learns from all.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxkd import checkpointing, checks, parallel
from jaxkd.checkpointing import Preempted
from jaxkd.data import to_float
from jaxkd.exchange import to_eight_bit
from jaxkd.progress import Progress
from jaxkd.teachers.trained import Lesson
from jaxkd.types import (
  Array,
  Classifier,
  JaxkdError,
  Objective,
  Preparation,
  Samples,
)

AT_ONCE = 500  # images that a network answers

# (whom they are made against, key) -> images and the classes meant
Maker = Callable[[Classifier, Array], Samples]


class Committee(NamedTuple):
  """Attributes:

  size: members; 0: there is none.
  unasked: images that it answers alone, for each that the teacher answered.
  """

  size: int
  unasked: int


def prepare(
  committee: Committee, objective: Objective, hyper: dict, make: Maker
) -> Preparation | None:
  """Adds the committee's answers to the teacher's.

  Each member takes as many updates as the student will. Where the teacher
  answered, half the answer is the committee's.

  Args:
    committee: how many.
    objective: that its members learn by, and
    hyper: its numbers.
    make: a batch of images, against one of the members.

  Raises:
    JaxkdError: naming the field and what it may be.
  """
  size, unasked = committee
  checks.not_negative(
    **{"synthesis.committee": size, "synthesis.unasked": unasked}
  )
  if unasked and not size:
    raise JaxkdError(
      f"synthesis.unasked={unasked} images would have nobody to answer them; "
      "set synthesis.committee above 0, or synthesis.unasked=0."
    )
  if not size:
    return None
  lesson = Lesson(objective, hyper, steer="student.optimizer.learning_rate")

  def prepared(trainer: Any, teacher: None, samples: Samples):
    patient = trainer.recipe.copy_and_resolve_references()
    patient.epochs *= 1 + unasked
    members = [
      trainer._replace(recipe=patient).train(
        f"committee{index}",
        f"committee_{index}",
        lesson._replace(targets=samples.targets),
      )
      for index in range(1, size + 1)
    ]
    told = _told(samples.targets, trainer.spec.num_classes)
    targets = jnp.log((told + _mean(members, samples.images)) / 2)
    parts = [samples._replace(targets=targets, extras={})]
    if unasked:
      parts.append(
        _unasked(members, make, trainer.key, unasked * len(told), samples)
      )
    return teacher, jax.tree.map(lambda *some: jnp.concatenate(some), *parts)

  what = f"a committee of {size}, with {unasked} images for each that is paid"
  return Preparation(prepared, "student", what)


def _unasked(
  members: list[Classifier], make: Maker, key: Array, count: int, like: Samples
) -> Samples:
  """`count` samples, made against the members by turns."""

  @jax.jit
  def batch(member: Classifier, key: Array) -> Samples:
    made = make(member, key)
    if like.images.dtype == jnp.uint8:
      made = made._replace(images=to_eight_bit(made.images))
    return Samples(made.images, made.labels)

  batches, there = [], 0
  with Progress(count, "unasked", "images") as progress:
    while there < count:
      (stop,) = parallel.any_process(checkpointing.stopping())
      if stop:  # the members are saved, the images made again
        raise Preempted
      index = len(batches)
      member = members[index % len(members)]
      made = batch(member, jax.random.fold_in(key, index))
      batches.append(jax.block_until_ready(made))
      more = min(len(made.labels), count - there)
      there += more
      progress.advance(more)
  made = jax.tree.map(lambda *some: jnp.concatenate(some)[:count], *batches)
  return made._replace(targets=jnp.log(_mean(members, made.images)))


def _told(targets: Array, num_classes: int) -> Array:
  """The teacher's answers as probabilities, `[N, K]`."""
  if jnp.issubdtype(targets.dtype, jnp.integer):
    return jax.nn.one_hot(targets, num_classes)
  return jax.nn.softmax(targets)


def _mean(members: list[Classifier], images: Array) -> Array:
  """The members' mean probabilities, `[N, K]`."""
  return sum(_probabilities(one, images) for one in members) / len(members)


@jax.jit
def _probabilities(member: Classifier, images: Array) -> Array:
  def answer(image: Array) -> Array:
    return jax.nn.softmax(member(to_float(image)[None]).logits[0])

  return jax.lax.map(answer, images, batch_size=AT_ONCE)
