"""What a model owner has: the teacher that others may ask, and the normal one
behind it.
"""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxkd import defenses
from jaxkd.data import Dataset
from jaxkd.runtime import keys, processes
from jaxkd.runtime.keys import Purpose
from jaxkd.runtime.metrics import MetricsWriter
from jaxkd.serialization import weights
from jaxkd.training import trained_network
from jaxkd.training.trained_network import Trainer
from jaxkd.types import Array, Classifier, Samples


class TeacherPair(NamedTuple):
  """Attributes:

  published: the network that others may ask.
  normal: the one that a defence started from; None without a defence.
  """

  published: Classifier
  normal: Classifier | None = None


def build_teacher(
  config,
  dataset: Dataset,
  key: Array,
  workdir: Path,
  metrics: MetricsWriter,
  given: Classifier | None = None,
) -> TeacherPair:
  """The teachers of `config`: loaded from `config.teacher.checkpoint`, reused
  from a run with the same recipe, or trained; defended if
  `config.teacher.defense` says so.

  Copies stay in the workdir, which a resumed run takes.

  Args:
    given: a network to take instead.

  Raises:
    JaxkdError: if the checkpoint does not fit the data set.
  """
  block, defense = config.teacher, config.teacher.defense
  trainer = Trainer(block, dataset.spec, *split(dataset, block.holdout, key),
    key, workdir, metrics)  # fmt: skip
  name = "normal" if defense.name else "teacher"
  if given is not None:
    normal = given
  elif block.checkpoint:
    normal = _copied(workdir / f"{name}.safetensors", block, trainer)
  else:
    normal = trainer.train(name, "teacher")
  if not defense.name:
    return TeacherPair(normal)
  published = defenses.defend(trainer, normal, defense)
  path = workdir / "teacher.safetensors"
  weights.save(path, published, dataset.spec, block.model)
  return TeacherPair(published, normal)


def _copied(path: Path, block, trainer: Trainer) -> Classifier:
  if processes.broadcast(path.exists()):
    return trained_network.load(path, trainer.spec)
  network = trained_network.load(Path(block.checkpoint), trainer.spec)
  weights.save(path, network, trainer.spec, network.name)
  return network


def split(
  dataset: Dataset, holdout: float, key: Array
) -> tuple[Samples, Samples]:
  """The owner's images and labels: to train on, and a random share of
  `holdout` of them that is held out.
  """
  images, labels = dataset.train_images, dataset.train_labels
  if not holdout:
    everything = Samples(jnp.asarray(images), jnp.asarray(labels))
    return everything, jax.tree.map(lambda leaf: leaf[:0], everything)
  order = jax.device_get(
    jax.random.permutation(keys.fold(key, Purpose.HOLDOUT), len(labels))
  )
  cut = len(labels) - round(holdout * len(labels))
  kept, out = order[:cut], order[cut:]
  return (
    Samples(jnp.asarray(images[kept]), jnp.asarray(labels[kept])),
    Samples(jnp.asarray(images[out]), jnp.asarray(labels[out])),
  )
