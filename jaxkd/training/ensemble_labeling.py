"""A committee: what labels that were paid for say about images that were not.

Students that learn the same few thousand hard labels differ by where they
began, and their mean errs less than each of them. That costs no query, and
neither do more images: the committee answers them in the teacher's place, and
one student learns from all.
"""

from collections.abc import Callable
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from jaxkd.config.fields import NOT_NEGATIVE, Field
from jaxkd.data.pixels import to_eight_bit
from jaxkd.evaluation.predictions import predict_log_probs
from jaxkd.runtime import devices, keys
from jaxkd.runtime.checkpoints import Checkpoints
from jaxkd.runtime.keys import Purpose
from jaxkd.runtime.progress import Progress
from jaxkd.training import sample_store as stores
from jaxkd.training.supervision import Supervision
from jaxkd.training.trained_network import Trainer
from jaxkd.types import (
  Array,
  Classifier,
  JaxkdError,
  Objective,
  PreStudentStage,
  Samples,
  SampleStore,
)

FOLDER = "committee_images"  # of the checkpoints

# (whom they are made against, key) -> images and the classes meant
Maker = Callable[[Classifier, Array], Samples]


FIELDS = (
  Field(
    "ensemble",
    int,
    0,
    "Students whose mean labels extra images; 0: there is no ensemble.",
    NOT_NEGATIVE,
    formerly="committee",
  ),
  Field(
    "extra_images",
    int,
    0,
    "Images that the ensemble labels, for each that the teacher answered.",
    NOT_NEGATIVE,
    formerly="unasked",
  ),
)


class EnsembleConfig(NamedTuple):
  """Attributes:

  size: members; 0: there is none.
  extra_images: images that it labels, for each that the teacher answered.
  """

  size: int
  extra_images: int


def prepare(
  committee: EnsembleConfig, objective: Objective, hyper: dict, make: Maker
) -> PreStudentStage | None:
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
  size, extra_images = committee
  if extra_images and not size:
    raise JaxkdError(
      f"synthesis.extra_images={extra_images}: there is no ensemble to label "
      "them; set synthesis.ensemble above 0, or synthesis.extra_images=0."
    )
  if not size:
    return None
  lesson = Supervision(objective, hyper, hint="student.optimizer.learning_rate")

  def prepared(trainer: Trainer, teacher: None, samples: Samples):
    longer = ConfigDict(trainer.config.to_dict())
    longer.epochs *= 1 + extra_images
    members = [
      trainer._replace(config=longer).train(
        f"committee{index}",
        f"committee_{index}",
        lesson._replace(targets=samples.targets),
      )
      for index in range(1, size + 1)
    ]
    told = _answer_probs(samples.targets, trainer.spec.num_classes)
    targets = jnp.log((told + _mean(members, samples.images)) / 2)
    parts = [samples._replace(targets=targets, extras={})]
    if extra_images:
      count = extra_images * len(told)
      parts.append(_extra_images(trainer, members, make, count))
    return teacher, jax.tree.map(lambda *some: jnp.concatenate(some), *parts)

  what = f"an ensemble of {size}, with {extra_images} images for each paid one"
  return PreStudentStage(prepared, "student", what)


def _extra_images(
  trainer: Trainer, members: list[Classifier], make: Maker, count: int
) -> Samples:
  """`count` images made against the members by turns, and their answers."""

  def batch(member: Classifier, key: Array) -> Samples:
    made = make(member, key)
    images = made.images
    if trainer.samples.images.dtype == jnp.uint8:
      images = to_eight_bit(images)
    return Samples(images, made.labels)

  @functools.partial(jax.jit, donate_argnums=0)
  def add(store: SampleStore, member: Classifier, key: Array) -> SampleStore:
    return stores.insert(store, batch(member, key))

  like = jax.eval_shape(batch, members[0], trainer.key)
  size, batches = len(like.labels), -(-count // len(like.labels))
  capacity, shared = batches * size, devices.replicate(members)
  opening = devices.replicate(stores.init(capacity, like))
  with Checkpoints(trainer.workdir / "checkpoints" / FOLDER) as checkpoints:
    store = checkpoints.restore(opening) or opening
    start = int(store.inserted) // size
    with Progress(
      capacity, "extra images", "images", done=start * size
    ) as progress:
      for index in range(start, batches):
        member = shared[index % len(shared)]
        key = keys.fold(trainer.key, Purpose.EXTRA_IMAGES, index)
        store = add(store, member, key)
        jax.block_until_ready(store)
        progress.advance(size)
        checkpoints.maybe_save(index + 1, store, last=index + 1 == batches)
  made = devices.to_local(store).samples
  made = jax.tree.map(lambda leaf: leaf[:count], made)
  return made._replace(targets=jnp.log(_mean(members, made.images)))


def _answer_probs(targets: Array, num_classes: int) -> Array:
  """The teacher's answers as probabilities, `[N, K]`."""
  if jnp.issubdtype(targets.dtype, jnp.integer):
    return jax.nn.one_hot(targets, num_classes)
  return jax.nn.softmax(targets)


def _mean(members: list[Classifier], images: Array) -> Array:
  """The members' mean probabilities, `[N, K]`."""
  answers = [jnp.exp(predict_log_probs(member, images)) for member in members]
  return sum(answers) / len(members)
