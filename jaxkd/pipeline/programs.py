"""The programs that a run dispatches, known from shapes alone.

A run compiles a round from here before it starts. `python -m jaxkd.bench
compile` compiles the same programs for devices that are not there
(`jaxkd.runtime.compile_target`).
"""

import jax
import jax.numpy as jnp

from jaxkd.data.labels import class_counts, labels_of
from jaxkd.pipeline import exchange, grid, students
from jaxkd.pipeline.exchange import RoundInputs, RunState
from jaxkd.pipeline.setup import Setup, run_shapes
from jaxkd.runtime import devices
from jaxkd.runtime.devices import Program
from jaxkd.training import fit
from jaxkd.training.epoch import epoch_function, epoch_indices
from jaxkd.training.step import EpochInputs, TrainState, init_state
from jaxkd.types import Array, Classifier, LossTerms, Samples


def round_program(setup: Setup, run: RunState) -> Program:
  """Returns `(run, inputs, key) -> (run, terms)`, a round in one dispatch.

  The memory of the given state is used again. The teacher has to be in this
  process.

  Args:
    setup: of the run, its inputs as arrays or shapes.
    run: a state, as arrays or shapes.
  """

  def run_round(
    run: RunState, inputs: RoundInputs, key: Array
  ) -> tuple[RunState, LossTerms]:
    return exchange.run_round(setup.round, run, inputs, key)

  return Program(
    jax.jit(run_round, donate_argnums=0, out_shardings=devices.replicated()),
    devices.shapes((run, setup.inputs, jax.random.key(0))),
  )


def first_state(setup: Setup) -> RunState:
  """Returns the state before round 0 as shapes."""
  return run_shapes(setup.round, setup.inputs)


def epoch_program(setup: Setup, stored: Samples) -> Program:
  """Returns an epoch of all students that are trained together.

  Args:
    setup: of a run whose students have epochs.
    stored: the samples of the store as shapes; those that are held out are
      among them.
  """
  block, method = setup.config.student, setup.method
  count = len(stored.labels)
  kept = count - round(block.validation_fraction * count)
  samples = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct((kept, *leaf.shape[1:]), leaf.dtype),
    stored,
  )
  student = setup.networks.student
  config, batch_size = students.train_config_of(setup, student, samples)
  networks = block.at_once or block.seeds * len(
    grid.expand_grid(setup.config.grid, method)
  )

  def arguments(
    student: Classifier,
    samples: Samples,
    teacher: Classifier | None,
    key: Array,
  ) -> tuple[TrainState, tuple[EpochInputs, Samples]]:
    states = jax.tree.map(
      lambda leaf: jnp.stack([leaf] * networks), init_state(student, config.tx)
    )
    hyper = fit.numbers_of(method.hyper, networks)
    counts = class_counts(labels_of(samples), setup.spec.num_classes)
    inputs = fit.epoch_inputs(hyper, 0, counts, key, teacher, 0)
    return states, (inputs, samples)

  teacher = setup.networks.teacher if config.per_view else None
  key = jax.random.key(0)
  states, shared = jax.eval_shape(arguments, student, samples, teacher, key)
  indices = jax.eval_shape(
    lambda key: epoch_indices(key, kept, batch_size), key
  )
  return epoch_function(config).program(states, shared, indices)
