"""One round of a method: ask, answer, tell, keep, train. One dispatch.

This is the one place where targets come from.
"""

from typing import Any

import flax
import jax
import jax.numpy as jnp

from jaxkd import store as stores
from jaxkd import training
from jaxkd.store import Store
from jaxkd.training import TrainState
from jaxkd.types import (
  ACCESS,
  Array,
  Classifier,
  Context,
  DataSpec,
  JaxkdError,
  Method,
  Nets,
  Samples,
  Terms,
)


@flax.struct.dataclass
class Play:
  """All that changes from round to round.

  Attributes:
    state: the method's.
    student: in training, without a seed axis.
    store: of answered samples.
  """

  state: Any
  student: TrainState
  store: Store


def new_play(
  method: Method,
  teacher: Any,
  student: Classifier,
  student_state: TrainState,
  key: Array,
) -> Play:
  """The state before round 0, with an empty store of the right shapes.

  Raises:
    JaxkdError: if the teacher gives less than the method needs.
  """
  if ACCESS.index(teacher.access) < ACCESS.index(method.needs):
    raise JaxkdError(
      f"The method needs {method.needs} access to the teacher, which gives "
      f"{teacher.access}; choose a method that does with it."
    )
  nets = _nets(teacher, student)
  # Copies, because rounds reuse the memory of what they are given.
  state, student_state = jax.tree.map(
    jnp.copy, (method.init(key, nets), student_state)
  )
  kept = [phase for phase in method.phases if phase.keep]

  def one_exchange(state: Any) -> Samples:
    return _exchange(kept[0], state, nets, teacher, key)[1]

  like = jax.eval_shape(one_exchange, state)
  return Play(state, student_state, stores.init(method.capacity, like))


def play_round(
  method: Method,
  recipe: training.Recipe,
  spec: DataSpec,
  play: Play,
  teacher: Any,
  student: Classifier,
  hyper: dict[str, Array],
  key: Array,
) -> tuple[Play, Terms]:
  """One round: all phases in order, each `repeats` times.

  Returns:
    What changed, and each phase's terms of its last repeat.
  """
  terms: Terms = {}
  for index, phase in enumerate(method.phases):

    def once(play: Play, key: Array, phase=phase):
      exchange_key, train_key = jax.random.split(key)
      now = student.replace(variables=play.student.variables)
      state, samples, terms = _exchange(
        phase, play.state, _nets(teacher, now), teacher, exchange_key
      )
      store = stores.insert(play.store, samples) if phase.keep else play.store
      counts = stores.label_counts(store, spec.num_classes)
      lesson = training.Lesson(
        hyper, Context(play.student.step, counts), train_key
      )

      def update(state: TrainState, key: Array):
        return training.train_step(recipe, state, samples, lesson, key)

      trained = play.student
      if phase.student_steps:
        keys = jax.random.split(train_key, phase.student_steps)
        trained, losses = jax.lax.scan(update, trained, keys)
        terms = {**terms, "student": losses.mean()}
      return Play(state, trained, store), terms

    keys = jax.random.split(jax.random.fold_in(key, index), phase.repeats)
    play, history = jax.lax.scan(once, play, keys)
    terms |= jax.tree.map(lambda term: term[-1], history)
  return play, terms


def _exchange(phase, state, nets: Nets, teacher: Any, key: Array):
  ask_key, tell_key = jax.random.split(key)
  state, asked, ask_terms = phase.ask(state, nets, ask_key)
  answered = asked._replace(targets=teacher.answer(asked.images))
  state, samples, tell_terms = phase.tell(state, nets, answered, tell_key)
  return state, samples, ask_terms | tell_terms


def _nets(teacher: Any, student: Classifier) -> Nets:
  """A method sees the inside of a white box, and of a black box nothing."""
  return Nets(getattr(teacher, "classifier", None), student)
