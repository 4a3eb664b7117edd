"""The rounds of a run: their start, one round, and the loop over all of them
with checkpoints, metrics and the query budget.
"""

from collections.abc import Callable
from pathlib import Path
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxkd.data import Dataset, other_images
from jaxkd.errors import BudgetExhausted, JaxkdError
from jaxkd.evaluation import image_checks, sanity_checks
from jaxkd.pipeline import exchange, programs, scores
from jaxkd.pipeline.exchange import RoundInputs, RunState
from jaxkd.pipeline.host_exchange import make_host_round
from jaxkd.pipeline.setup import Setup, as_arrays, init_run
from jaxkd.runtime import devices, profiling
from jaxkd.runtime.checkpoints import Checkpoints
from jaxkd.runtime.keys import Purpose, Stream
from jaxkd.runtime.metrics import MetricsWriter
from jaxkd.runtime.progress import Progress
from jaxkd.teachers.access import TeacherHandle
from jaxkd.training import sample_store
from jaxkd.types import Array, Classifier, LossTerms, Samples

CHECKED_ROUND = 2  # the round after which the images must differ


class SynthesisResult(NamedTuple):
  """What the rounds led to.

  Attributes:
    run: the state after the last round.
    images: images that were made and stored.
    queries: queries that the rounds took, at most.
    ended: why they ended early; None if all rounds ran.
  """

  run: RunState
  images: int
  queries: int
  ended: str | None


def run_round(
  setup: Setup, run: RunState, key: Array
) -> tuple[RunState, LossTerms]:
  """One round of the method: pure, and one dispatch if jitted.

  It needs a teacher in process, and `setup.inputs` as `start` gives them.
  """
  return exchange.run_round(setup.round, run, setup.inputs, key)


def run_rounds(
  setup: Setup,
  teacher: TeacherHandle,
  student: Classifier,
  dataset: Dataset,
  workdir: Path,
  metrics: MetricsWriter,
) -> SynthesisResult:
  """Runs all rounds of the method, from the newest checkpoint on.

  Raises:
    BudgetExhausted: if the budget does not pay for the first round.
    JaxkdError: if a term of the loss is not finite, or the first images are
      useless.
    Preempted: if the run was told to stop; the state is saved.
  """
  setup, run = start(setup, teacher, student, dataset)
  count, ended = len(setup.costs), None
  stored = [cost.stored for cost in setup.costs]
  with Checkpoints(workdir / "checkpoints" / "synthesis") as checkpoints:
    run = checkpoints.restore(run) or run
    first = int(run.round)
    metrics.truncate_after("synthesis", first)
    compile_s = 0.0
    if first < count:
      next_round, compile_s = compile_round(setup, teacher, run)
    done = sum(stored[:first])
    with (
      Progress(sum(stored), "synthesis", "images", done=done) as progress,
      metrics.traced("synthesis", range(first, count)) as indices,
    ):
      for index in indices:
        began = time.monotonic()
        try:
          teacher.charge(f"round {index}", setup.costs[index].queries)
          run, terms = next_round(
            run, setup.key(Stream.SYNTHESIS, Purpose.ROUNDS, index)
          )
        except BudgetExhausted as error:
          if not index:
            raise
          ended = f"The budget ended it after {index} rounds. {error}"
          stored = stored[:index]
          break
        terms = jax.device_get(terms)
        check_finite(setup, terms, index)
        check_images(setup, run, terms, index)
        metrics.write(
          "synthesis",
          index + 1,
          seconds=time.monotonic() - began,
          compile_seconds=compile_s if index == first else 0.0,
          peak_bytes=profiling.peak_bytes(),
          **teacher.spent(),
          **{name: term.mean() for name, term in terms.items()},
        )
        evaluate_at_budget(setup, teacher, student, dataset, run, metrics)
        progress.advance(stored[index])
        checkpoints.maybe_save(index + 1, run, last=index + 1 == count)
  queries = sum(cost.queries for cost in setup.costs[: len(stored)])
  return SynthesisResult(devices.to_local(run), sum(stored), queries, ended)


def start(
  setup: Setup, teacher: TeacherHandle, student: Classifier, dataset: Dataset
) -> tuple[Setup, RunState]:
  """The setup with the arrays that all rounds share, and the state before
  round 0.
  """
  oracle = teacher.oracle
  inputs = RoundInputs(
    oracle if oracle.in_process else None,
    student,
    as_arrays(setup.method.hyper),
    real_images(setup, dataset),
  )
  inputs = devices.replicate(inputs)
  key = devices.replicate(setup.key(Stream.SYNTHESIS, Purpose.INITIAL))
  run = devices.replicate(init_run(setup.round, inputs, key))
  return setup._replace(inputs=inputs), run


def real_images(setup: Setup, dataset: Dataset) -> Samples | None:
  """The real images that `Method.real_images` asks for; those of another data
  set have no labels.
  """
  source, shape = setup.method.real_images, setup.spec.shape
  if not source:
    return None
  if source == "train":
    labels = jnp.asarray(dataset.train_labels, jnp.int32)
    return Samples(jnp.asarray(dataset.train_images), labels)
  name, background = setup.config.other_dataset, setup.config.background
  if source == "photo":
    images = other_images.load_photo(name, shape[-1], background)[None]
  else:
    images = other_images.load_images(name, shape, background)
  return sample_store.unlabelled(jnp.asarray(images))


def compile_round(
  setup: Setup, teacher: TeacherHandle, run: RunState
) -> tuple[Callable[[RunState, Array], tuple[RunState, LossTerms]], float]:
  """`(run, key) -> (run, terms)`, and the seconds that compiling it took.

  With a teacher in process it is one dispatch, which donates its input state.
  """
  if not teacher.oracle.in_process:
    host_round = make_host_round(setup.round, teacher.oracle)

    def asking(run: RunState, key: Array) -> tuple[RunState, LossTerms]:
      return host_round(run, setup.inputs, devices.replicate(key))

    return asking, 0.0

  began = time.monotonic()
  compiled = programs.round_program(setup, run).lower().compile()
  seconds = time.monotonic() - began

  def dispatch(run: RunState, key: Array) -> tuple[RunState, LossTerms]:
    return compiled(run, setup.inputs, devices.replicate(key))

  return dispatch, seconds


def check_finite(
  setup: Setup, terms: dict[str, np.ndarray], index: int
) -> None:
  """Refuses a round in which a term of the loss is not finite.

  Args:
    setup: of the run.
    terms: of the round, scalars or one value per set.
    index: of the round.

  Raises:
    JaxkdError: naming the term, the set, and the fields to lower.
  """
  # A term itself comes before the sums that it is part of.
  for name in sorted(terms, key=lambda name: name in ("loss", "first_loss")):
    values = np.atleast_1d(terms[name])
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
      known = setup.values
      fields = [*image_checks.step_fields(known), f"synthesis.weights.{name}"]
      lower = " or ".join(field for field in fields if field in known)
      raise JaxkdError(
        f"The term {name} is {values[wrong[0]]} in set "
        f"{index * values.size + wrong[0]} ({wrong.size} sets of round "
        f"{index}); {f'lower {lower}' if lower else 'check the images'}."
      )


def check_images(
  setup: Setup, run: RunState, terms: dict[str, np.ndarray], index: int
) -> None:
  """Prints warnings for images of the first rounds that teach little.

  Raises:
    JaxkdError: if nothing can be learnt from them.
  """
  last = min(CHECKED_ROUND, len(setup.costs) - 1)
  if index not in (0, last):
    return
  samples = sample_store.filled(devices.to_local(run.store))
  if index == 0:
    lines = image_checks.check_steps(samples, terms, setup.values)
    sanity_checks.warn(lines)
  if index == last:
    classes = setup.spec.num_classes
    lines = image_checks.check_variety(samples, classes, setup.values)
    sanity_checks.warn(lines)


def evaluate_at_budget(
  setup: Setup,
  teacher: TeacherHandle,
  student: Classifier,
  dataset: Dataset,
  run: RunState,
  metrics: MetricsWriter,
) -> None:
  """Evaluates the student on test data if the last round passed one of the
  shares in `queries.eval_at`; the last of all rounds passes all that are left.
  """
  queries, number = setup.config.queries, int(run.round)
  budget = queries.budget - setup.num_evaluation_queries
  after = sum(cost.queries for cost in setup.costs[:number])
  before = after - setup.costs[number - 1].queries
  end = after if number < len(setup.costs) else budget
  if any(before < share * budget <= end for share in queries.eval_at):
    variables = devices.to_local(exchange.student_variables(setup.method, run))
    now = student.replace(variables=variables)
    predictions = scores.predict_test_data(dataset, teacher, now)
    on_test = scores.score_student(dataset, predictions)
    known = {name: x for name, x in on_test.items() if x is not None}
    metrics.write("queries", number, queries=after, **known)
