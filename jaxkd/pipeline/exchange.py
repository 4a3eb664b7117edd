"""One round of a method: ask, answer, tell, keep, train.

This is the one place where targets come from. With a teacher in process a
round is one dispatch; behind an interface the host carries images and answers.
The method cannot tell the difference.
"""

from collections.abc import Callable
import functools
from typing import Any, NamedTuple

import flax
import jax
import jax.numpy as jnp
import numpy as np

from jaxkd import models
from jaxkd.data.pixels import to_eight_bit
from jaxkd.training import sample_store as stores
from jaxkd.training.step import EpochInputs, TrainConfig, TrainState, train_step
from jaxkd.types import (
  ACCESS_LEVELS,
  Array,
  Classifier,
  DataSpec,
  JaxkdError,
  LossContext,
  LossTerms,
  Method,
  Networks,
  Phase,
  Samples,
  SampleStore,
)


class RoundSpec(NamedTuple):
  """What stays the same in a run.

  Attributes:
    method: whose rounds are played.
    recipe: how the student is trained in them.
    spec: of the inputs.
    access: what the teacher gives, one of `ACCESS`.
    eight_bit: whether the teacher is shown 8-bit images; the same pixels are
      stored and trained on.
    compute_dtype: of the teacher where a method looks into it; its answers are
      float32 all the same.
  """

  method: Method
  recipe: TrainConfig
  spec: DataSpec
  access: str
  eight_bit: bool = False
  compute_dtype: str = "float32"


@flax.struct.dataclass
class RunState:
  """All that changes from round to round.

  Attributes:
    state: the method's.
    student: in training, without a seed axis.
    store: of answered samples.
  """

  state: Any
  student: TrainState
  store: SampleStore


@flax.struct.dataclass
class RoundInputs:
  """Who sits at the table; arrays that no round changes.

  Attributes:
    teacher: with an `answer`, of any kind; None where it is not in process.
    student: its `variables` are replaced by those in training.
    hyper: of the objective.
    data: real images, for the methods that take some.
  """

  teacher: Any
  student: Classifier
  hyper: dict[str, Array]
  data: Samples | None = None


class RoundCost(NamedTuple):
  """What a round asks and does, at most.

  Attributes:
    queries: images that the teacher is shown.
    updates: of the student.
    kept: samples that go into the store.
  """

  queries: int
  updates: int
  kept: int


def check_access(method: Method, access: str, eight_bit: bool) -> None:
  """Refuses a teacher that gives less than the method needs.

  Raises:
    JaxkdError: naming what is needed and what is given.
  """
  required = method.required_access
  if ACCESS_LEVELS.index(access) < ACCESS_LEVELS.index(required):
    raise JaxkdError(
      f"The method needs {required} access to the teacher, which gives "
      f"{access}; choose a method that does with it."
    )
  if method.float_pixels and eight_bit:
    raise JaxkdError(
      "The method follows differences between almost equal images, which are "
      "lost on the way to a teacher that takes 8-bit images; choose a method "
      "that does with them, such as ideal."
    )


def init_state(
  rules: RoundSpec, table: RoundInputs, student_state: TrainState, key: Array
) -> RunState:
  """The state before round 0, with an empty store of the right shapes."""
  check_access(rules.method, rules.access, rules.eight_bit)
  nets = _networks(rules, table, student_state, None)
  # Copies, because rounds reuse the memory of what they are given.
  state, student_state = jax.tree.map(
    jnp.copy, (rules.method.init(key, nets), student_state)
  )
  phase = next(phase for phase in rules.method.phases if phase.store)

  def kept(state: Any) -> Samples:
    nothing = RunState(state, student_state, None)
    state, samples, _ = _ask(rules, phase, nothing, table, key)
    return phase.tell(state, nets, samples, key)[1]

  like = jax.eval_shape(kept, state)
  store = stores.init(rules.method.capacity, like)
  return RunState(state, student_state, store)


def run_round(
  rules: RoundSpec, play: RunState, table: RoundInputs, key: Array
) -> tuple[RunState, LossTerms]:
  """One round: all phases in order; one dispatch if jitted.

  Returns:
    What changed, and each phase's terms of its last repeat.
  """
  terms: LossTerms = {}
  for index in range(len(rules.method.phases)):
    phase_key = jax.random.fold_in(key, index)
    play, found = run_phase(rules, index, play, table, phase_key)
    terms |= found
  return play, terms


def run_phase(
  rules: RoundSpec, index: int, play: RunState, table: RoundInputs, key: Array
) -> tuple[RunState, LossTerms]:
  """All repeats of a phase on the device."""
  phase = rules.method.phases[index]
  counts = stores.label_counts(play.store, rules.spec.num_classes)

  def once(
    i: Array, carry: tuple[RunState, LossTerms]
  ) -> tuple[RunState, LossTerms]:
    play, _ = carry
    ask_key, tell_key = jax.random.split(jax.random.fold_in(key, i))
    state, samples, asked = _ask(rules, phase, play, table, ask_key)
    if phase.queries:
      samples = samples._replace(targets=table.teacher.answer(samples.images))
    play = play.replace(state=state)
    play, told = _tell(rules, phase, play, table, samples, counts, tell_key)
    return play, asked | told

  nothing = jax.tree.map(
    lambda term: jnp.zeros(term.shape, term.dtype),
    jax.eval_shape(once, 0, (play, None))[1],
  )
  repeats = _repeats(phase, play.store.inserted)
  return jax.lax.fori_loop(0, repeats, once, (play, nothing))


def make_host_round(rules: RoundSpec, teacher: Any) -> Callable[..., Any]:
  """`play_round` for a teacher that the host has to ask: `(play, table, key)`.

  Nothing reuses the memory of `play`: if the budget ends within a round, the
  state before it is what counts.
  """
  phases = rules.method.phases
  asks, tells, wholes = [], [], []
  for index, phase in enumerate(phases):
    asks.append(jax.jit(functools.partial(_ask, rules, phase)))
    tells.append(jax.jit(functools.partial(_tell, rules, phase)))
    wholes.append(jax.jit(functools.partial(run_phase, rules, index)))

  def exchanges(index: int, play: RunState, table: RoundInputs, key: Array):
    counts = stores.label_counts(play.store, rules.spec.num_classes)
    terms: LossTerms = {}
    for i in range(int(_repeats(phases[index], play.store.inserted))):
      ask_key, tell_key = jax.random.split(jax.random.fold_in(key, i))
      state, samples, asked = asks[index](play, table, ask_key)
      targets = teacher.answer(np.asarray(samples.images))
      samples = samples._replace(targets=jnp.asarray(targets))
      play, told = tells[index](
        play.replace(state=state), table, samples, counts, tell_key
      )
      terms |= asked | told
    return play, terms

  def play_round(
    play: RunState, table: RoundInputs, key: Array
  ) -> tuple[RunState, LossTerms]:
    terms: LossTerms = {}
    for index, phase in enumerate(phases):
      phase_key = jax.random.fold_in(key, index)
      if phase.queries:
        play, found = exchanges(index, play, table, phase_key)
      else:
        play, found = wholes[index](play, table, phase_key)
      terms |= found
    return play, terms

  return play_round


def round_costs(
  rules: RoundSpec, play: RunState, table: RoundInputs
) -> list[RoundCost]:
  """What each round will ask and do, at most; computes nothing."""
  held, found = 0, []
  asked = [
    _num_queries(rules, phase, play, table) for phase in rules.method.phases
  ]
  for _ in range(rules.method.rounds):
    queries = updates = kept = 0
    for phase, count in zip(rules.method.phases, asked, strict=True):
      repeats = int(_repeats(phase, np.int32(held)))
      queries += repeats * count * phase.queries
      updates += repeats * phase.student_steps
      kept += repeats * count * phase.store
      held += repeats * count * phase.store
    found.append(RoundCost(queries, updates, kept))
  return found


def _num_queries(
  rules: RoundSpec, phase: Phase, play: RunState, table: RoundInputs
) -> int:
  def images(play: RunState, table: RoundInputs) -> Array:
    return _ask(rules, phase, play, table, jax.random.key(0))[1].labels

  return jax.eval_shape(images, play, table).shape[0]


def _repeats(phase: Phase, held: Array) -> int | Array:
  return phase.repeats(held) if callable(phase.repeats) else phase.repeats


def _ask(
  rules: RoundSpec, phase: Phase, play: RunState, table: RoundInputs, key: Array
):
  nets = _networks(rules, table, play.student, play.store)
  state, samples, terms = phase.ask(play.state, nets, key)
  if rules.eight_bit:
    samples = samples._replace(images=to_eight_bit(samples.images))
  if samples.targets is None:
    samples = samples._replace(targets=_placeholder_targets(rules, samples))
  return state, samples, terms


def _tell(
  rules: RoundSpec,
  phase: Phase,
  play: RunState,
  table: RoundInputs,
  answered: Samples,
  counts: Array,
  key: Array,
) -> tuple[RunState, LossTerms]:
  tell_key, train_key = jax.random.split(key)
  nets = _networks(rules, table, play.student, play.store)
  state, samples, terms = phase.tell(play.state, nets, answered, tell_key)
  store = stores.insert(play.store, samples) if phase.store else play.store
  lesson = EpochInputs(
    table.hyper, LossContext(play.student.step, counts), train_key
  )

  def update(state: TrainState, key: Array):
    return train_step(rules.recipe, state, samples, lesson, key)

  trained = play.student
  if phase.student_steps:
    keys = jax.random.split(train_key, phase.student_steps)
    trained, losses = jax.lax.scan(update, trained, keys)
    terms = {**terms, "student": losses.mean()}
  return RunState(state, trained, store), terms


def _placeholder_targets(rules: RoundSpec, samples: Samples) -> Array:
  count = samples.labels.shape[0]
  if rules.access == "label":
    return jnp.full(count, -1, jnp.int32)
  return jnp.zeros((count, rules.spec.num_classes))


def _networks(
  rules: RoundSpec,
  table: RoundInputs,
  student: TrainState,
  store: SampleStore | None,
) -> Networks:
  """A method sees the inside of a white box, and of a black box nothing."""
  teacher = getattr(table.teacher, "classifier", None)
  if teacher is not None:
    teacher = models.with_compute_dtype(teacher, rules.compute_dtype)
  return Networks(
    teacher,
    table.student.replace(variables=student.variables),
    store,
    table.data,
  )
