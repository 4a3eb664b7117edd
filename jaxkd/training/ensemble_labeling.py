"""An ensemble of students labels images, so that they cost no query.

Students that are trained on the same few thousand hard labels differ by their
initial weights, and the mean of their answers has a lower error than each of
them. It is averaged with the teacher's answers, and labels further images in
the teacher's place; one student is trained on all of them.
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

# (network that they are optimised for, key) -> images and their classes
MakeBatch = Callable[[Classifier, Array], Samples]

FIELDS = (
  Field(
    "ensemble",
    int,
    0,
    "Students in the ensemble that labels images; 0 is no ensemble.",
    NOT_NEGATIVE,
    formerly="committee",
  ),
  Field(
    "extra_images",
    int,
    0,
    "Images that the ensemble labels, for each that the teacher labels.",
    NOT_NEGATIVE,
    formerly="unasked",
  ),
)


class EnsembleConfig(NamedTuple):
  """The ensemble, and how many images it labels.

  Attributes:
    size: number of members; 0 is no ensemble.
    extra_images: images that it labels, for each that the teacher labels.
  """

  size: int
  extra_images: int


def ensemble_stage(
  ensemble: EnsembleConfig,
  objective: Objective,
  hyper: dict[str, float],
  make_batch: MakeBatch,
) -> PreStudentStage | None:
  """Returns the stage that averages the teacher's answers with an ensemble's.

  Each member takes as many updates as the student will.

  Args:
    ensemble: its size, and how many images it labels.
    objective: of its members.
    hyper: numbers of the objective.
    make_batch: makes images for one of the members.

  Raises:
    JaxkdError: if there are extra images without an ensemble.
  """
  size, extra_images = ensemble
  if extra_images and not size:
    raise JaxkdError(
      f"synthesis.extra_images={extra_images}: there is no ensemble that "
      "labels them; set synthesis.ensemble above 0, or extra_images=0."
    )
  if not size:
    return None
  supervision = Supervision(
    objective, hyper, hint="student.optimizer.learning_rate"
  )

  def run(
    trainer: Trainer, teacher: None, samples: Samples
  ) -> tuple[None, Samples]:
    longer = ConfigDict(trainer.config.to_dict())
    longer.epochs *= 1 + extra_images
    members = [
      trainer._replace(config=longer).train(
        f"committee{index}",
        f"committee_{index}",
        supervision._replace(targets=samples.targets),
      )
      for index in range(1, size + 1)
    ]
    answers = _answer_probs(samples.targets, trainer.spec.num_classes)
    targets = jnp.log((answers + _mean_probs(members, samples.images)) / 2)
    parts = [samples._replace(targets=targets, extras={})]
    if extra_images:
      count = extra_images * len(answers)
      parts.append(_label_images(trainer, members, make_batch, count))
    return teacher, jax.tree.map(lambda *some: jnp.concatenate(some), *parts)

  description = (
    f"an ensemble of {size}, which labels {extra_images} images for each that "
    "the teacher labels"
  )
  return PreStudentStage(run, "student", description)


def _label_images(
  trainer: Trainer, members: list[Classifier], make_batch: MakeBatch, count: int
) -> Samples:
  """Makes `count` images for the members in turn, and has them labelled."""

  def batch(member: Classifier, key: Array) -> Samples:
    images, labels, *_ = make_batch(member, key)
    if trainer.samples.images.dtype == jnp.uint8:
      images = to_eight_bit(images)
    return Samples(images, labels)

  @functools.partial(jax.jit, donate_argnums=0)
  def add(store: SampleStore, member: Classifier, key: Array) -> SampleStore:
    return stores.insert(store, batch(member, key))

  like = jax.eval_shape(batch, members[0], trainer.key)
  size, batches = len(like.labels), -(-count // len(like.labels))
  capacity, replicated = batches * size, devices.replicate(members)
  empty = devices.replicate(stores.init(capacity, like))
  with Checkpoints(trainer.workdir / "checkpoints" / FOLDER) as checkpoints:
    store = checkpoints.restore(empty) or empty
    start = int(store.inserted) // size
    with Progress(
      capacity, "extra_images", "images", done=start * size
    ) as progress:
      for index in range(start, batches):
        member = replicated[index % len(members)]
        key = keys.fold(trainer.key, Purpose.EXTRA_IMAGES, index)
        store = add(store, member, key)
        jax.block_until_ready(store)
        progress.advance(size)
        checkpoints.maybe_save(index + 1, store, last=index + 1 == batches)
  samples = devices.to_local(store).samples
  samples = jax.tree.map(lambda leaf: leaf[:count], samples)
  mean = _mean_probs(members, samples.images)
  return samples._replace(targets=jnp.log(mean))


def _answer_probs(targets: Array, num_classes: int) -> Array:
  """Returns the teacher's answers as probabilities, `[N, K]`."""
  if jnp.issubdtype(targets.dtype, jnp.integer):
    return jax.nn.one_hot(targets, num_classes)
  return jax.nn.softmax(targets)


def _mean_probs(members: list[Classifier], images: Array) -> Array:
  """Computes the members' mean probabilities, `[N, K]`."""
  answers = [jnp.exp(predict_log_probs(member, images)) for member in members]
  return sum(answers) / len(members)
