"""The teacher of a run where it is in process: given, loaded, reused or
trained, and defended.
"""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxkd import defenses
from jaxkd.data import Dataset
from jaxkd.pipeline.setup import Setup
from jaxkd.runtime import keys, processes
from jaxkd.runtime.files import user_path
from jaxkd.runtime.keys import Purpose, Stream
from jaxkd.runtime.metrics import MetricsWriter
from jaxkd.serialization import weights
from jaxkd.teachers.replay import Replay
from jaxkd.training import saved_networks
from jaxkd.training.trained_network import Trainer
from jaxkd.types import Array, Classifier, JaxkdError, Samples


class TeacherPair(NamedTuple):
  """The teacher with its defence and without.

  Attributes:
    published: the network that others may ask.
    undefended: the network that a defence started from; None without one.
  """

  published: Classifier
  undefended: Classifier | None = None


def make_teacher(
  setup: Setup, dataset: Dataset, workdir: Path, metrics: MetricsWriter
) -> TeacherPair | None:
  """The teacher of a run; None where it is behind an interface.

  It is the one that exists already, the one in `teacher.checkpoint`, one of
  the same recipe from the cache, or a newly trained one; then
  `teacher.defense` is applied. Copies stay in the workdir, and a resumed run
  takes those.

  Raises:
    JaxkdError: if the checkpoint does not fit the data set.
  """
  if setup.networks.teacher is None:
    return None
  block, defense = setup.config.teacher, setup.config.teacher.defense
  key = setup.key(Stream.TEACHER)
  train, held_out = split(dataset, block.validation_fraction, key)
  trainer = Trainer(block, setup.spec, train, held_out, key, workdir, metrics)
  name = "normal" if defense.name else "teacher"
  if setup.teacher is not None:
    undefended = setup.teacher
  elif block.checkpoint:
    undefended = _load_copy(workdir / f"{name}.safetensors", setup)
  else:
    _check_images(dataset)
    undefended = trainer.train(name, "teacher")
  if not defense.name:
    return TeacherPair(undefended)
  published = defenses.defend(trainer, undefended, defense)
  path = workdir / "teacher.safetensors"
  weights.save(path, published, setup.spec, block.model)
  return TeacherPair(published, undefended)


def _check_images(dataset: Dataset) -> None:
  if not len(dataset.train_labels):
    raise JaxkdError(
      f"{dataset.spec.name} has no image to train the teacher on, but "
      f"{len(dataset.test_labels)} to test on: nothing was found in "
      "train/CLASS/ of a folder, or under the names of training arrays. Add "
      "images, or set teacher.checkpoint, teacher.factory or teacher.url."
    )


def check_given(setup: Setup, workdir: Path | None = None) -> None:
  """Checks that a run in `workdir` can load the teacher that it is given.

  Raises:
    JaxkdError: if there is no network in `teacher.checkpoint` that fits, and no
      copy of it in the workdir; or no ledger in `teacher.replay`.
  """
  if setup.config.teacher.replay:
    Replay(user_path(setup.config.teacher.replay), setup.config.teacher.access)
  if setup.networks.teacher is None or setup.teacher is not None:
    return
  names = ("normal", "teacher")
  copies = [workdir / f"{name}.safetensors" for name in names if workdir]
  if setup.config.teacher.checkpoint and not any(c.exists() for c in copies):
    load_checkpoint(setup)


def load_checkpoint(setup: Setup) -> Classifier:
  """Loads the network in the file that `teacher.checkpoint` names.

  Raises:
    JaxkdError: if there is none, or it does not fit the data set.
  """
  block = setup.config.teacher
  path = user_path(block.checkpoint)
  try:
    return saved_networks.load(path, setup.spec, block.model)
  except JaxkdError as error:
    raise JaxkdError(f"teacher.checkpoint: {error}") from error


def _load_copy(copy: Path, setup: Setup) -> Classifier:
  model = setup.config.teacher.model
  if processes.broadcast(copy.exists()):
    return saved_networks.load_own(copy, setup.spec, model)
  network = load_checkpoint(setup)
  weights.save(copy, network, setup.spec, network.name)
  return network


def split(
  dataset: Dataset, fraction: float, key: Array
) -> tuple[Samples, Samples]:
  """Training images and labels of the data set, and a random fraction of them
  that is held out.
  """
  images, labels = dataset.train_images, dataset.train_labels
  if not fraction:
    samples = Samples(jnp.asarray(images), jnp.asarray(labels))
    return samples, jax.tree.map(lambda leaf: leaf[:0], samples)
  order = jax.device_get(
    jax.random.permutation(keys.fold(key, Purpose.HOLDOUT), len(labels))
  )
  cut = len(labels) - round(fraction * len(labels))
  training, held_out = order[:cut], order[cut:]
  return (
    Samples(jnp.asarray(images[training]), jnp.asarray(labels[training])),
    Samples(jnp.asarray(images[held_out]), jnp.asarray(labels[held_out])),
  )
