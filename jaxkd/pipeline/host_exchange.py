"""A round with a teacher behind an interface: the host carries images and
answers between compiled functions.
"""

from collections.abc import Callable
import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxkd.errors import JaxkdError
from jaxkd.pipeline import exchange
from jaxkd.pipeline.exchange import RoundInputs, RoundSpec, RunState
from jaxkd.teachers.answers import are_valid
from jaxkd.teachers.oracles import HostOracle
from jaxkd.training import sample_store as stores
from jaxkd.types import (
  Array,
  LossTerms,
  Samples,
)


def make_host_round(
  spec: RoundSpec, teacher: HostOracle
) -> Callable[[RunState, RoundInputs, Array], tuple[RunState, LossTerms]]:
  """`run_round` for a teacher that the host has to ask: `(run, inputs, key)`.

  Its memory is not reused: if the budget ends within a round, the state before
  the round is what counts. A round raises a `JaxkdError` if none of the answers
  to a batch is valid, and what `HostOracle.answer` raises.

  Args:
    spec: what is static in a round.
    teacher: is asked about images `[N, H, W, C]`, uint8.
  """
  phases = spec.method.phases
  asks = [
    jax.jit(functools.partial(exchange.ask, spec, phase)) for phase in phases
  ]
  tells = [
    jax.jit(functools.partial(exchange.tell, spec, phase)) for phase in phases
  ]
  whole_phases = [
    jax.jit(functools.partial(exchange.run_phase, spec, index))
    for index in range(len(phases))
  ]

  def ask_and_tell(
    index: int, run: RunState, inputs: RoundInputs, key: Array
  ) -> tuple[RunState, LossTerms]:
    counts = stores.label_counts(run.store, spec.data_spec.num_classes)
    terms: LossTerms = {}
    for i in range(
      int(exchange.num_repeats(phases[index], run.store.inserted))
    ):
      ask_key, tell_key = jax.random.split(jax.random.fold_in(key, i))
      state, samples, ask_terms = asks[index](run, inputs, ask_key)
      targets = teacher.answer(np.asarray(samples.images))
      if not are_valid(targets).any():
        raise JaxkdError(
          f"None of the teacher's answers to {len(targets)} images is valid. "
          f"{teacher.reason} queries.ask_again=True asks again, and pays again."
        )
      samples = leave_out_wrong(samples, targets)
      run, tell_terms = tells[index](
        run.replace(state=state), inputs, samples, counts, tell_key
      )
      terms |= ask_terms | tell_terms
    return run, terms

  def run_round(
    run: RunState, inputs: RoundInputs, key: Array
  ) -> tuple[RunState, LossTerms]:
    terms: LossTerms = {}
    for index, phase in enumerate(phases):
      phase_key = jax.random.fold_in(key, index)
      if phase.queries:
        run, phase_terms = ask_and_tell(index, run, inputs, phase_key)
      else:
        run, phase_terms = whole_phases[index](run, inputs, phase_key)
      terms |= phase_terms
    return run.replace(round=run.round + 1), terms

  return run_round


def leave_out_wrong(samples: Samples, targets: np.ndarray) -> Samples:
  """The samples with their targets; one without a valid answer becomes a copy
  of another one, because the number of samples may not change.

  Args:
    samples: the images that the teacher was asked about.
    targets: its answers, of which at least one is valid.
  """
  valid = are_valid(targets)
  if valid.all():
    return samples._replace(targets=jnp.asarray(targets))
  sources = np.arange(len(targets))
  sources[~valid] = np.resize(np.flatnonzero(valid), (~valid).sum())
  samples = samples._replace(targets=targets)
  return jax.tree.map(lambda leaf: jnp.asarray(leaf)[sources], samples)
