"""Training of networks on real data, each only once: results are cached."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple
import zlib

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np

from jaxkd import models
from jaxkd.config import user_code
from jaxkd.data import to_float
from jaxkd.runtime import keys, processes, run_folder
from jaxkd.runtime.keys import Purpose
from jaxkd.runtime.metrics import MetricsWriter
from jaxkd.serialization import weights
from jaxkd.training import fit, optimisers, saved_networks, source_digest
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

# Fields that determine a network's weights, beside the optimiser.
FIELDS = ("model", "epochs", "batch_size", "augment")


class Trainer(NamedTuple):
  """Trains networks on the same images by the same config.

  Networks are saved in the workdir, and in a cache under a digest of everything
  that determines their weights.

  Attributes:
    config: block `teacher` or `student`: `model`, `epochs`, `batch_size`,
      `augment`, `optimizer`.
    spec: of the inputs.
    samples: images and labels to train on.
    held_out: images and labels that none of these networks is trained on.
    key: of all random numbers.
    workdir: of the run.
    metrics: of the run.
    role: name of that block, for messages.
    modules: modules of the user that determine the supervision.
  """

  config: ConfigDict
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
    supervision: Supervision = SUPERVISED,
    model: str = "",
  ) -> Classifier:
    """Returns a network, from the workdir or the cache if it is there.

    Args:
      name: of its file in the workdir, `NAME.safetensors`.
      stage: name in metrics and checkpoints, and part of the random key.
      supervision: objective and targets.
      model: name that `jaxkd.models.init` takes; empty takes the config's.

    Raises:
      JaxkdError: if the loss stops being finite.
      Preempted: if a signal stops the run; the state is saved.
    """
    path = self.workdir / f"{name}.safetensors"
    model = model or self.config.model
    if processes.broadcast(path.exists()):
      return saved_networks.load_own(path, self.spec, model)
    key = keys.fold(self.key, Purpose.NETWORKS, zlib.crc32(stage.encode()))
    cached = run_folder.cache_dir("teachers") / (
      f"{model.replace(':', '.')}-{self.spec.name}-"
      f"{self._digest(model, supervision, key)}.safetensors"
    )
    with saved_networks.only_here(cached, name):
      reused = None
      with processes.raise_on_all():
        if processes.is_primary():
          reused = saved_networks.read_cache(cached, self.spec, model)
          if reused is not None:
            print(f"{name}: reused from {cached}")
            weights.write(path, reused, self.spec, model)
      if processes.broadcast(reused is not None):
        return saved_networks.load(path, self.spec, model)
      network = self._fit(name, stage, supervision, model, key)
      if processes.is_primary():
        saved_networks.write_cache(cached, network, self.spec, model)
    weights.save(path, network, self.spec, model)
    return network

  def _fit(
    self,
    name: str,
    stage: str,
    supervision: Supervision,
    model: str,
    key: Array,
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
    checkpoint = None
    if supervision.accuracy is not None:
      candidate = self.workdir / f".{name}.candidate.safetensors"
      checkpoint = TargetAccuracyCheckpoint(
        supervision.accuracy, candidate, self.held_out, self.spec, model
      )

    def first(states: TrainState) -> Classifier:
      return network.replace(
        variables=jax.tree.map(lambda leaf: leaf[0], states.variables)
      )

    def on_epoch_end(epoch: int, states: TrainState) -> None:
      if checkpoint is not None:
        checkpoint.update(first(states), epoch)

    states = fit.fit(
      stage,
      TrainConfig(
        network.apply,
        tx,
        supervision.objective,
        tuple(config.augment),
        per_view=supervision.reference is not None,
        synchronized=config.get("batch_norm") == "synchronized",
      ),
      jax.tree.map(lambda leaf: leaf[None], init_state(network, tx)),
      self.samples._replace(targets=supervision.targets),
      epochs=config.epochs,
      batch_size=batch_size,
      num_classes=self.spec.num_classes,
      hyper=supervision.hyper,
      key=keys.fold(key, Purpose.EPOCHS),
      teacher=supervision.reference,
      workdir=self.workdir,
      metrics=self.metrics,
      hint=supervision.hint,
      on_epoch_end=on_epoch_end,
    )
    network = checkpoint.network() if checkpoint else first(states)
    # The loss of the last epoch does not show what its last update did.
    if not _is_finite(network, self.samples.images[:batch_size]):
      raise JaxkdError(
        f"{name} has logits that are not finite after stage {stage}; lower "
        f"{supervision.hint}."
      )
    return network

  def _digest(self, model: str, supervision: Supervision, key: Array) -> str:
    """Returns a digest of everything that determines the weights."""
    held_out = self.held_out if supervision.accuracy is not None else None
    arrays = hashlib.sha256()
    for array in jax.tree.leaves((self.samples, supervision.targets, held_out)):
      arrays.update(np.ascontiguousarray(array))
    reference = supervision.reference and weights.digest(supervision.reference)
    modules = filter(None, (user_code.user_function(model), *self.modules))
    code = source_digest.code_digests(supervision.objective, modules)
    identity = {
      **{field: self.config[field] for field in FIELDS},
      "model": model,
      "batch_norm": self.config.get("batch_norm"),
      "optimizer": self.config.optimizer.to_dict(),
      "supervision": [
        supervision.objective.__name__,
        supervision.hyper,
        supervision.accuracy,
      ],
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


@jax.jit
def _is_finite(network: Classifier, images: Array) -> Array:
  return jnp.isfinite(network(to_float(images)).logits).all()
