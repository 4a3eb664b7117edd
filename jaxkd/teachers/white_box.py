"""A teacher that we hold in our hands: loaded, or trained on real data."""

import hashlib
import json
from pathlib import Path

import flax
import jax
import jax.numpy as jnp
import numpy as np

from jaxkd import models, optim, parallel, training, weights, workdirs
from jaxkd.data import Dataset
from jaxkd.metrics import MetricsWriter
from jaxkd.objectives import truth
from jaxkd.types import (
  Array,
  Classifier,
  DataSpec,
  JaxkdError,
  Samples,
)

# Of `config.teacher`, beside the optimiser; the rest says how it is reached.
TRAINING = ("model", "epochs", "batch_size", "augment")
ANSWER_CHUNK = 512  # images that the labelling stage runs at once, per device


@flax.struct.dataclass
class WhiteBox:
  """Full access: methods may differentiate through `classifier`."""

  classifier: Classifier

  access = "white_box"
  eight_bit = False
  in_process = True

  def answer(self, images: Array) -> Array:
    """Log-probabilities `[N, K]` for `images [N, ...]`; jittable."""

    def chunked(classifier: Classifier, images: Array) -> Array:
      def one(image: Array) -> Array:
        return jax.nn.log_softmax(classifier(image[None]).logits[0])

      return jax.lax.map(one, images, batch_size=ANSWER_CHUNK)

    if len(images) % jax.device_count():
      return chunked(self.classifier, images)
    return parallel.over_sets(chunked)(self.classifier, images)


def recipe_hash(block, dataset: Dataset, seed: int) -> str:
  """Names a teacher by all that decides its weights."""
  images = hashlib.sha256()
  for array in (dataset.train_images, dataset.train_labels):
    images.update(np.ascontiguousarray(array))
  recipe = {
    **{name: block[name] for name in TRAINING},
    "optimizer": block.optimizer.to_dict(),
    "data": [dataset.spec, images.hexdigest()],
    "seed": seed,
    "jax": jax.__version__,
    "backend": jax.default_backend(),
    "devices": jax.device_count(),
  }
  text = json.dumps(recipe, sort_keys=True, default=list)
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def obtain(
  config, dataset: Dataset, key: Array, workdir: Path, metrics: MetricsWriter
) -> Classifier:
  """The teacher of `config`: loaded from `config.teacher.checkpoint`, reused
  from a run with the same recipe, or trained.

  A copy stays in the workdir, which a resumed run takes.

  Raises:
    JaxkdError: if the checkpoint does not fit the data set.
  """
  block, spec = config.teacher, dataset.spec
  mine = workdir / "teacher.safetensors"
  if mine.exists():
    return _load(mine, spec)
  if block.checkpoint:
    classifier = _load(Path(block.checkpoint), spec)
  else:
    name = recipe_hash(block, dataset, config.seed)
    cached = workdirs.cache("teachers") / (
      f"{block.model}-{spec.name}-{name}.safetensors"
    )
    if cached.exists():
      print(f"teacher: reused from {cached}")
      classifier = _load(cached, spec)
    else:
      classifier = train(config, dataset, key, workdir, metrics)
      weights.save(cached, classifier, spec, block.model)
  weights.save(mine, classifier, spec, classifier.name)
  return classifier


def _load(path: Path, spec: DataSpec) -> Classifier:
  classifier, found = weights.load_classifier(path)
  if (found.shape, found.num_classes) != (spec.shape, spec.num_classes):
    raise JaxkdError(
      f"The teacher {path} is for inputs {found.shape} and "
      f"{found.num_classes} classes; {spec.name} has {spec.shape} and "
      f"{spec.num_classes}."
    )
  return classifier


def train(
  config, dataset: Dataset, key: Array, workdir: Path, metrics: MetricsWriter
) -> Classifier:
  """Trains `config.teacher.model` on the data set's training split."""
  block, spec = config.teacher, dataset.spec
  count = len(dataset.train_labels)
  batch_size = training.check_batch_size(
    block.batch_size, count, "teacher.batch_size"
  )
  tx = optim.optimiser(block.optimizer, count // batch_size, block.epochs)
  init_key, train_key = jax.random.split(key)
  network = models.init(block.model, init_key, spec)
  state = training.create(network, tx)
  states = training.fit(
    "teacher",
    training.Recipe(network.apply, tx, truth, tuple(block.augment)),
    jax.tree.map(lambda leaf: leaf[None], state),
    Samples(
      jnp.asarray(dataset.train_images), jnp.asarray(dataset.train_labels)
    ),
    epochs=block.epochs,
    batch_size=batch_size,
    num_classes=spec.num_classes,
    hyper={},
    key=train_key,
    teacher=None,
    workdir=workdir,
    metrics=metrics,
  )
  variables = jax.tree.map(lambda leaf: leaf[0], states.variables)
  return network.replace(variables=variables)
