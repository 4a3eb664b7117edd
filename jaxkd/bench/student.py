"""The training of a student, epoch by epoch as in a run."""

import jax
import jax.numpy as jnp
import optax

from jaxkd.runtime import devices
from jaxkd.training import objectives
from jaxkd.training.epoch import epoch_function, epoch_indices
from jaxkd.training.step import EpochInputs, TrainConfig, init_state
from jaxkd.types import Array, Classifier, DataSpec, LossContext, Samples

HYPER = {"temperature": 1.0, "alpha": 1.0}
OPTIMISER = {"learning_rate": 0.01, "momentum": 0.9, "weight_decay": 5e-4}


def optimiser() -> optax.GradientTransformation:
  """Makes SGD with momentum and weight decay, as PyTorch defines them."""
  return optax.chain(
    optax.add_decayed_weights(OPTIMISER["weight_decay"]),
    optax.sgd(OPTIMISER["learning_rate"], OPTIMISER["momentum"]),
  )


def random_samples(count: int, spec: DataSpec) -> Samples:
  """Makes random images and log-probabilities `[count, ...]`.

  The time of training does not depend on the content of images.
  """
  keys = jax.random.split(jax.random.key(3), 3)
  labels = jax.random.randint(keys[1], (count,), 0, spec.num_classes)
  logits = jax.random.normal(keys[2], (count, spec.num_classes))
  return Samples(
    jax.random.uniform(keys[0], (count, *spec.shape)),
    labels,
    jax.nn.log_softmax(logits),
  )


class StudentRunner:
  """Trains a student; every epoch continues from the one before.

  Args:
    student: the network to start from.
    samples: the samples of an epoch.
    batch_size: the number of images in a batch.
  """

  def __init__(self, student: Classifier, samples: Samples, batch_size: int):
    self.student, self.samples = student, devices.replicate(samples)
    self.batch_size, self.epochs = batch_size, 0
    tx = optimiser()
    recipe = TrainConfig(student.apply, tx, objectives.kd)
    state = init_state(student, tx)
    self.states = jax.tree.map(lambda leaf: leaf[None], state)
    self.run_epoch = epoch_function(recipe)
    hyper = {name: jnp.float32([value]) for name, value in HYPER.items()}
    counts = jnp.ones(samples.targets.shape[-1])
    key = jax.random.key(5)
    self.inputs = EpochInputs(hyper, LossContext(jnp.int32(0), counts), key)

  def epoch_indices(self) -> Array:
    """Returns the rows of samples in the next epoch, `[D, steps, B / D]`."""
    key = jax.random.fold_in(jax.random.key(4), self.epochs)
    return epoch_indices(key, len(self.samples.labels), self.batch_size)

  def epoch(self) -> float:
    """Trains for one epoch and returns the mean loss."""
    self.states, loss = self.run_epoch(
      self.states, (self.inputs, self.samples), self.epoch_indices()
    )
    self.epochs += 1
    return float(jax.device_get(loss)[0])

  def variables(self) -> dict[str, Array]:
    """Returns the student's current variables."""
    return jax.tree.map(lambda leaf: leaf[0], self.states.variables)
