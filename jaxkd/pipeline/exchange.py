"""A round of a method: its phases ask the teacher, learn from the answers,
store samples, and train the student.

With a teacher in process a round is one dispatch. With a teacher behind an
interface the host carries images and answers between two compiled functions.
A method can't tell which of the two it is.
"""

from collections.abc import Callable
from typing import NamedTuple

import chex
import flax
import jax
import jax.numpy as jnp

from jaxkd import models
from jaxkd.data.pixels import to_eight_bit
from jaxkd.models.cpu import conv
from jaxkd.pipeline.method import check_access
from jaxkd.runtime import devices
from jaxkd.teachers.oracles import Oracle
from jaxkd.training import sample_store as stores
from jaxkd.training.step import EpochInputs, TrainConfig, TrainState, train_step
from jaxkd.types import (
  Array,
  Classifier,
  DataSpec,
  LossContext,
  LossTerms,
  Method,
  Networks,
  Phase,
  Samples,
  SampleStore,
  Variables,
)


class RoundSpec(NamedTuple):
  """What is static in a round, and the same in all rounds of a run.

  Attributes:
    method: the method.
    train_config: how the student is trained in the rounds.
    data_spec: description of the inputs.
    access: what the teacher gives, one of `config.ACCESS_LEVELS`.
    eight_bit: whether the teacher is shown 8-bit images; the same pixels are
      stored and trained on.
    compute_dtype: dtype of the teacher where a method differentiates through
      it; its answers are float32 all the same.
    init_student: from a key to a student's random variables.
  """

  method: Method
  train_config: TrainConfig
  data_spec: DataSpec
  access: str
  eight_bit: bool = False
  compute_dtype: str = "float32"
  init_student: Callable[[Array], Variables] | None = None


@flax.struct.dataclass
class RunState:
  """All that changes from round to round.

  Attributes:
    state: the method's own state.
    student: the student in training, without a seed axis.
    store: the answered samples.
    round: rounds that were finished, int32.
  """

  state: chex.ArrayTree
  student: TrainState
  store: SampleStore | None
  round: Array | int = 0


@flax.struct.dataclass
class RoundInputs:
  """Arrays that stay constant over all rounds.

  Attributes:
    teacher: what answers images; None where it is not in process.
    student: the student's network; its variables are those in `RunState`.
    hyper: numbers of the student's objective.
    data: real images, for the methods that take some.
  """

  teacher: Oracle | None
  student: Classifier
  hyper: dict[str, Array]
  data: Samples | None = None


def init_state(
  spec: RoundSpec, inputs: RoundInputs, student: TrainState, key: Array
) -> RunState:
  """The state before round 0, with an empty store of the right shapes."""
  check_access(spec.method, spec.access, spec.eight_bit)
  networks = _networks(spec, inputs, student, None)
  # Copies, because rounds reuse the memory of what they are given.
  state, student = jax.tree.map(
    jnp.copy, (spec.method.init(key, networks), student)
  )
  phase = next(phase for phase in spec.method.phases if phase.store)

  def stored_samples(state: chex.ArrayTree) -> Samples:
    run = RunState(state, student, None)
    state, samples, _ = ask(spec, phase, run, inputs, key)
    return phase.tell(state, networks, samples, key)[1]

  with conv.reference_form():  # shapes are the same, and sooner traced
    like = jax.eval_shape(stored_samples, state)
  store = stores.init(spec.method.capacity, like)
  return RunState(state, student, store, jnp.int32(0))


def run_round(
  spec: RoundSpec, run: RunState, inputs: RoundInputs, key: Array
) -> tuple[RunState, LossTerms]:
  """Runs all phases in order; one dispatch if jitted.

  Returns:
    The state after the round, and each phase's terms of its last repeat.
  """
  terms: LossTerms = {}
  for index in range(len(spec.method.phases)):
    phase_key = jax.random.fold_in(key, index)
    run, phase_terms = run_phase(spec, index, run, inputs, phase_key)
    terms |= phase_terms
  return run.replace(round=run.round + 1), terms


def run_phase(
  spec: RoundSpec, index: int, run: RunState, inputs: RoundInputs, key: Array
) -> tuple[RunState, LossTerms]:
  """Runs all repeats of a phase on the device."""
  phase = spec.method.phases[index]
  counts = stores.label_counts(run.store, spec.data_spec.num_classes)

  def repeat(
    i: Array, carry: tuple[RunState, LossTerms]
  ) -> tuple[RunState, LossTerms]:
    run, _ = carry
    ask_key, tell_key = jax.random.split(jax.random.fold_in(key, i))
    state, samples, ask_terms = ask(spec, phase, run, inputs, ask_key)
    if phase.queries:
      samples = samples._replace(targets=inputs.teacher.answer(samples.images))
    run = run.replace(state=state)
    run, tell_terms = tell(
      spec, phase, run, inputs, samples, counts, tell_key, same_count=True
    )
    return run, ask_terms | tell_terms

  no_terms = jax.tree.map(
    lambda term: jnp.zeros(term.shape, term.dtype),
    jax.eval_shape(repeat, 0, (run, None))[1],
  )
  repeats = num_repeats(phase, run.store.inserted)
  return jax.lax.fori_loop(0, repeats, repeat, (run, no_terms))


def num_repeats(phase: Phase, held: Array) -> int | Array:
  """How often a phase is repeated when the store holds `held` samples."""
  return phase.repeats(held) if callable(phase.repeats) else phase.repeats


def ask(
  spec: RoundSpec, phase: Phase, run: RunState, inputs: RoundInputs, key: Array
) -> tuple[chex.ArrayTree, Samples, LossTerms]:
  """The images of a phase, as the teacher is shown them."""
  networks = _networks(spec, inputs, run.student, run.store)
  state, samples, terms = phase.ask(run.state, networks, key)
  if spec.eight_bit:
    samples = samples._replace(images=to_eight_bit(samples.images))
  if samples.targets is None:
    samples = samples._replace(targets=_placeholder_targets(spec, samples))
  return state, devices.over_batch(samples), terms


def tell(
  spec: RoundSpec,
  phase: Phase,
  run: RunState,
  inputs: RoundInputs,
  samples: Samples,
  counts: Array,
  key: Array,
  *,
  same_count: bool = False,
) -> tuple[RunState, LossTerms]:
  """Learns from the answers, stores the samples and trains the student.

  `same_count` says that the phase always has as many samples as this time.
  """
  tell_key, train_key = jax.random.split(key)
  networks = _networks(spec, inputs, run.student, run.store)
  state, samples, terms = phase.tell(run.state, networks, samples, tell_key)
  store = run.store
  if phase.store:
    alone = sum(phase.store for phase in spec.method.phases) == 1
    count = samples.labels.shape[0]
    aligned = same_count and alone and store.capacity % count == 0
    # Without `gather_all` XLA divides the work of inserting among the devices,
    # and copies the whole store.
    store = stores.insert(store, devices.gather_all(samples), aligned=aligned)
  step_inputs = EpochInputs(
    inputs.hyper, LossContext(run.student.step, counts), train_key
  )

  def update(student: TrainState, key: Array) -> tuple[TrainState, Array]:
    return train_step(spec.train_config, student, samples, step_inputs, key)

  student = run.student
  if phase.student_steps:
    step_keys = jax.random.split(train_key, phase.student_steps)
    student, losses = jax.lax.scan(update, student, step_keys)
    terms = {**terms, "student": losses.mean()}
  return run.replace(state=state, student=student, store=store), terms


def student_variables(method: Method, run: RunState) -> Variables:
  """The student so far: that of the method, if it trains its own."""
  if method.round_student is not None:
    return method.round_student(run.state)
  return run.student.variables


def _placeholder_targets(spec: RoundSpec, samples: Samples) -> Array:
  """Targets of the right shape and dtype, until the teacher has answered."""
  count = samples.labels.shape[0]
  if spec.access == "label":
    return jnp.full(count, -1, jnp.int32)
  return jnp.zeros((count, spec.data_spec.num_classes))


def _networks(
  spec: RoundSpec,
  inputs: RoundInputs,
  student: TrainState,
  store: SampleStore | None,
) -> Networks:
  """What a method may look at; of a black box it sees no network."""
  teacher = getattr(inputs.teacher, "classifier", None)
  if teacher is not None:
    teacher = models.with_compute_dtype(teacher, spec.compute_dtype)
  return Networks(
    teacher,
    inputs.student.replace(variables=student.variables),
    store,
    inputs.data,
    # A pytree without leaves, as methods map functions over their networks.
    spec.init_student and jax.tree_util.Partial(spec.init_student),
  )
