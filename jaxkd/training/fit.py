"""The training loop of teachers and students: epochs, checkpoints and metrics.

An epoch is one dispatch; seeds and points of a grid are trained at once.
"""

from collections.abc import Callable
from pathlib import Path
import time

import jax
import jax.numpy as jnp
import numpy as np

from jaxkd.data.labels import class_counts, labels_of
from jaxkd.evaluation import image_checks
from jaxkd.runtime import compile_target, devices, profiling
from jaxkd.runtime.checkpoints import Checkpoints
from jaxkd.runtime.metrics import MetricsWriter
from jaxkd.runtime.progress import Progress
from jaxkd.training.epoch import epoch_function, epoch_indices
from jaxkd.training.step import EpochInputs, TrainConfig, TrainState
from jaxkd.types import Array, Classifier, JaxkdError, LossContext, Samples


def check_batch_size(batch_size: int, count: int, field: str) -> int:
  """Returns the batch size, at most `count` rounded down to the devices.

  Raises:
    JaxkdError: if it can't be split evenly over the devices.
  """
  num_devices = compile_target.device_count()
  size = min(batch_size, count // num_devices * num_devices)
  if size == 0 or size % num_devices:
    raise JaxkdError(
      f"{field}={batch_size} can't be split over {num_devices} devices; choose "
      f"a multiple of {num_devices}."
    )
  return size


def numbers_of(
  hyper: dict[str, float | Array], num_networks: int
) -> dict[str, Array]:
  """Returns the numbers `[E]` of `num_networks` networks."""
  return {
    name: jnp.broadcast_to(jnp.float32(value), (num_networks,))
    for name, value in hyper.items()
  }


def epoch_inputs(
  hyper: dict[str, Array],
  epoch: int,
  counts: Array,
  key: Array,
  teacher: Classifier | None,
  first: int,
) -> EpochInputs:
  """Returns the inputs of an epoch; `counts [K]` are samples of each class."""
  context = LossContext(jnp.int32(epoch), counts)
  return EpochInputs(hyper, context, key, teacher, jnp.int32(first))


def fit(
  stage: str,
  train_config: TrainConfig,
  states: TrainState,
  samples: Samples,
  *,
  epochs: int,
  batch_size: int,
  num_classes: int,
  hyper: dict[str, float | Array],
  key: Array,
  teacher: Classifier | None,
  workdir: Path,
  metrics: MetricsWriter,
  hint: str,
  first: int = 0,
  on_epoch_end: Callable[[int, TrainState], None] = lambda epoch, states: None,
) -> TrainState:
  """Trains the networks `states [E, ...]` for `epochs` on `samples`.

  It continues from the newest checkpoint of the stage in `workdir`. The
  networks may differ in their initial weights and in `hyper`; they see the same
  batches and the same views of them.

  Args:
    stage: name in metrics and checkpoints.
    train_config: how all networks are trained.
    states: of E networks, stacked.
    samples: `[N, ...]` to train on.
    epochs: passes over the samples.
    batch_size: from `check_batch_size`.
    num_classes: K.
    hyper: numbers of the objective, one for all networks or arrays `[E]`.
    key: of the order of the samples, of views and of dropout.
    teacher: labels every view, if `train_config.per_view`.
    workdir: of the run, for checkpoints.
    metrics: of the run; every epoch is a line.
    hint: fields of the config that keep the loss finite, for messages.
    first: number of networks with the same key that are trained before these.
    on_epoch_end: is called with every epoch (from 1) and its states; after a
      resume it may see an epoch again.

  Returns:
    The states after the last epoch, as arrays of this process.

  Raises:
    JaxkdError: if no network's loss is finite. If only some diverge, training
      goes on, and these are evaluated like the others.
    Preempted: if a signal stops the run; the state is saved.
  """
  states, samples, teacher = devices.replicate((states, samples, teacher))
  labels = labels_of(samples)
  counts = class_counts(labels, num_classes)
  num_networks = len(states.step)
  hyper = numbers_of(hyper, num_networks)
  run_epoch = epoch_function(train_config)
  with Checkpoints(workdir / "checkpoints" / stage) as checkpoints:
    saved = {"epoch": 0, "states": states}
    saved = checkpoints.restore(saved) or saved
    states, start = saved["states"], int(saved["epoch"])
    metrics.truncate_after(stage, start)
    with (
      Progress(epochs, stage, "epochs", done=start) as progress,
      metrics.traced(stage, range(start, epochs)) as steps,
    ):
      for epoch in steps:
        began = time.monotonic()
        shuffle_key, inputs_key = jax.random.split(
          jax.random.fold_in(key, epoch)
        )
        inputs = epoch_inputs(hyper, epoch, counts, inputs_key, teacher, first)
        states, loss = run_epoch(
          states,
          (inputs, samples),
          epoch_indices(shuffle_key, len(labels), batch_size),
        )
        loss = jax.device_get(loss)  # also keeps forced host devices in step
        if not np.isfinite(loss).any():
          raise JaxkdError(
            f"The loss of stage {stage} is {loss} in epoch {epoch + 1}, on "
            f"images with {image_checks.range_of(samples.images)}; if these "
            f"are as they should be, lower {hint}."
          )
        seconds = time.monotonic() - began
        metrics.write(
          stage,
          epoch + 1,
          loss=loss,
          seconds=seconds,
          peak_bytes=profiling.peak_bytes(),
        )
        progress.advance(1, loss=loss.mean())
        on_epoch_end(epoch + 1, devices.to_local(states))
        checkpoints.maybe_save(
          epoch + 1,
          {"epoch": epoch + 1, "states": states},
          last=epoch + 1 == epochs,
        )
  return devices.to_local(states)
