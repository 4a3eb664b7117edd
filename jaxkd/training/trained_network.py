"""Networks that are trained on real data, each only once."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple
import zlib

import jax
import jax.numpy as jnp
import numpy as np

from jaxkd import models
from jaxkd.config import user_code
from jaxkd.data import to_float
from jaxkd.runtime import keys, processes, run_folder
from jaxkd.runtime.keys import Purpose
from jaxkd.runtime.metrics import MetricsWriter
from jaxkd.serialization import weights
from jaxkd.training import fit, optimisers, source_digest
from jaxkd.training.step import TrainConfig, TrainState, init_state
from jaxkd.training.supervision import SUPERVISED, Supervision
from jaxkd.training.target_accuracy import TargetAccuracyCheckpoint
from jaxkd.types import (
  Array,
  Classifier,
  DataSpec,
  JaxkdError,
  Samples,
)

# Fields that decide, beside the optimiser, a network's weights.
FIELDS = ("model", "epochs", "batch_size", "augment")


class Trainer(NamedTuple):
  """Trains networks on the same images by the same config.

  What it trained stays in the workdir, and in a cache under a name that all
  that decides the weights goes into.

  Attributes:
    config: block `teacher` or `student`: `model`, `epochs`, `batch_size`,
      `augment`, `optimizer`.
    spec: of the inputs.
    samples: images and labels to train on.
    held_out: images and labels that none of these networks sees.
    key: all randomness comes from it.
    workdir: of the run.
    metrics: of the run.
    role: name of that block, for messages.
    modules: of the user's that decide what these networks are taught.
  """

  config: Any
  spec: DataSpec
  samples: Samples
  held_out: Samples
  key: Array
  workdir: Path
  metrics: MetricsWriter
  role: str = "teacher"
  modules: tuple[str, ...] = ()

  def train(
    self,
    name: str,
    stage: str,
    lesson: Supervision = SUPERVISED,
    model: str = "",
  ) -> Classifier:
    """The network, from the workdir or the cache if it is there.

    Args:
      name: of its file in the workdir, `NAME.safetensors`.
      stage: of the run, for metrics, checkpoints and randomness.
      lesson: what it is taught.
      model: name that `jaxkd.models.init` takes; empty takes the config's.

    Raises:
      JaxkdError: if the loss stops being finite.
      Preempted: if the run was told to stop; the state is saved.
    """
    mine = self.workdir / f"{name}.safetensors"
    model = model or self.config.model
    if processes.broadcast(mine.exists()):
      return load(mine, self.spec, model)
    key = keys.fold(self.key, Purpose.NETWORKS, zlib.crc32(stage.encode()))
    cached = run_folder.cache_dir("teachers") / (
      f"{model.replace(':', '.')}-{self.spec.name}-"
      f"{self._digest(model, lesson, key)}.safetensors"
    )
    reused = None
    with processes.raise_on_all():
      if processes.is_primary():
        reused = _read_cache(cached, self.spec, model)
        if reused is not None:
          print(f"{name}: reused from {cached}")
          weights.write(mine, reused, self.spec, model)
    if processes.broadcast(reused is not None):
      return load(mine, self.spec, model)
    network = self._fit(name, stage, lesson, model, key)
    if processes.is_primary():
      _write_cache(cached, network, self.spec, model)
    weights.save(mine, network, self.spec, model)
    return network

  def _fit(
    self, name: str, stage: str, lesson: Supervision, model: str, key: Array
  ) -> Classifier:
    config, count = self.config, len(self.samples.labels)
    batch_size = fit.check_batch_size(
      config.batch_size, count, f"{self.role}.batch_size"
    )
    tx = optimisers.optimiser(
      config.optimizer, count // batch_size, config.epochs
    )
    initial_key = keys.fold(key, Purpose.INITIAL)
    network = models.init(model, initial_key, self.spec)
    nearest = None
    if lesson.accuracy is not None:
      candidate = self.workdir / f".{name}.candidate.safetensors"
      nearest = TargetAccuracyCheckpoint(
        lesson.accuracy, candidate, self.held_out, self.spec, model
      )

    def first(states: TrainState) -> Classifier:
      return network.replace(
        variables=jax.tree.map(lambda leaf: leaf[0], states.variables)
      )

    def on_epoch_end(epoch: int, states: TrainState) -> None:
      if nearest is not None:
        nearest.look(first(states), epoch)

    states = fit.fit(
      stage,
      TrainConfig(
        network.apply,
        tx,
        lesson.objective,
        tuple(config.augment),
        per_view=lesson.reference is not None,
        synchronized=config.get("batch_norm") == "synchronized",
      ),
      jax.tree.map(lambda leaf: leaf[None], init_state(network, tx)),
      self.samples._replace(targets=lesson.targets),
      epochs=config.epochs,
      batch_size=batch_size,
      num_classes=self.spec.num_classes,
      hyper=lesson.hyper,
      key=keys.fold(key, Purpose.EPOCHS),
      teacher=lesson.reference,
      workdir=self.workdir,
      metrics=self.metrics,
      hint=lesson.hint,
      on_epoch_end=on_epoch_end,
    )
    network = nearest.network() if nearest else first(states)
    # No epoch that follows would show that the last update blew it up.
    if not _answers_finitely(network, self.samples.images[:batch_size]):
      raise JaxkdError(
        f"{name} gives answers that are not finite after stage {stage}; lower "
        f"{lesson.hint}."
      )
    return network

  def _digest(self, model: str, lesson: Supervision, key: Array) -> str:
    """Names a network by all that decides its weights."""
    held_out = self.held_out if lesson.accuracy is not None else None
    arrays = hashlib.sha256()
    for array in jax.tree.leaves((self.samples, lesson.targets, held_out)):
      arrays.update(np.ascontiguousarray(array))
    reference = lesson.reference and weights.digest(lesson.reference)
    modules = filter(None, (user_code.own(model), *self.modules))
    code = source_digest.code_digests(lesson.objective, modules)
    identity = {
      **{field: self.config[field] for field in FIELDS},
      "model": model,
      "batch_norm": self.config.get("batch_norm"),
      "optimizer": self.config.optimizer.to_dict(),
      "lesson": [lesson.objective.__name__, lesson.hyper, lesson.accuracy],
      "sources": [source_digest.package_digest(), *code],
      "reference": reference,
      "data": [self.spec, arrays.hexdigest()],
      "key": jax.random.key_data(key).tolist(),
      "jax": jax.__version__,
      "backend": jax.default_backend(),
      "devices": jax.device_count(),
    }
    text = json.dumps(identity, sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read_cache(path: Path, spec: DataSpec, model: str) -> Classifier | None:
  """The network in the cache; None if it is not there, or can't be read."""
  try:
    return load(path, spec, model) if path.exists() else None
  except (JaxkdError, OSError) as error:
    print(f"The cache is not used: {error}")
    return None


def _write_cache(
  path: Path, network: Classifier, spec: DataSpec, model: str
) -> None:
  """Keeps the network for other runs; says so where that is impossible."""
  try:
    weights.write(path, network, spec, model)
  except JaxkdError as error:
    print(f"Nothing is cached. {error}")


@jax.jit
def _answers_finitely(network: Classifier, images: Array) -> Array:
  return jnp.isfinite(network(to_float(images)).logits).all()


def load(path: Path, spec: DataSpec, model: str) -> Classifier:
  """The network in `path`.

  Args:
    path: of the file.
    spec: of the data set.
    model: of the config; the file may hold any network of the zoo, of the
      user's this one alone.

  Raises:
    JaxkdError: if it does not fit the data set.
  """
  classifier, found = weights.load_classifier(path, user_code.own(model))
  if (found.shape, found.num_classes) != (spec.shape, spec.num_classes):
    raise JaxkdError(
      f"The teacher {path} is for inputs {found.shape} and "
      f"{found.num_classes} classes; {spec.name} has {spec.shape} and "
      f"{spec.num_classes}."
    )
  return classifier
