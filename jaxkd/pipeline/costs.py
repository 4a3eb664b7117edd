"""What the rounds of a run cost, known from shapes before they start."""

from typing import NamedTuple

import jax
import numpy as np

from jaxkd.models.cpu import conv
from jaxkd.pipeline import exchange
from jaxkd.pipeline.exchange import RoundInputs, RoundSpec, RunState
from jaxkd.types import Array, Phase


class RoundCost(NamedTuple):
  """What a round asks and does, at most.

  Attributes:
    queries: images that the teacher is shown.
    updates: updates of the student.
    stored: samples that go into the store.
    repeats: how often each phase is repeated.
  """

  queries: int
  updates: int
  stored: int
  repeats: tuple[int, ...]


def round_costs(
  spec: RoundSpec, run: RunState, inputs: RoundInputs
) -> list[RoundCost]:
  """What each round will ask and do, at most; from shapes alone."""
  phases, in_store, costs = spec.method.phases, 0, []
  batches = [_num_queries(spec, phase, run, inputs) for phase in phases]
  for _ in range(spec.method.rounds):
    queries = updates = stored = 0
    repeated = []
    for phase, batch in zip(phases, batches, strict=True):
      repeats = int(exchange.num_repeats(phase, np.int32(in_store)))
      repeated.append(repeats)
      queries += repeats * batch * phase.queries
      updates += repeats * phase.student_steps
      stored += repeats * batch * phase.store
      in_store += repeats * batch * phase.store
    costs.append(RoundCost(queries, updates, stored, tuple(repeated)))
  return costs


def _num_queries(
  spec: RoundSpec, phase: Phase, run: RunState, inputs: RoundInputs
) -> int:
  """Images in one repeat of a phase."""

  def labels(run: RunState, inputs: RoundInputs) -> Array:
    return exchange.ask(spec, phase, run, inputs, jax.random.key(0))[1].labels

  with conv.reference_form():
    return jax.eval_shape(labels, run, inputs).shape[0]
