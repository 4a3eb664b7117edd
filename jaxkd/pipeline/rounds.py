"""What the rounds of a run need: the rules, who plays, and what each costs."""

from collections.abc import Callable
import functools
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxkd import data, models
from jaxkd.pipeline import exchange, results
from jaxkd.pipeline.exchange import RoundCost, RoundInputs, RoundSpec, RunState
from jaxkd.runtime import devices
from jaxkd.runtime.run_folder import flatten
from jaxkd.teachers.access import TeacherHandle
from jaxkd.teachers.oracles import WhiteBox
from jaxkd.training import optimisers, sample_store as stores
from jaxkd.training.step import TrainConfig, init_state
from jaxkd.types import (
  Array,
  Classifier,
  DataSpec,
  JaxkdError,
  LossTerms,
  Method,
  Samples,
)


class RoundSetup(NamedTuple):
  """Everything that is settled before round 0.

  Attributes:
    rules: static.
    table: the arrays that no round changes.
  """

  rules: RoundSpec
  table: RoundInputs


def trains_student(method: Method) -> bool:
  """Whether the student learns while images are made."""
  return any(phase.student_steps for phase in method.phases)


def check_student(config, method: Method) -> None:
  """Refuses a student block that does not suit the method.

  Raises:
    JaxkdError: naming the field and what it may be.
  """
  block, name = config.student, config.method
  learns = trains_student(method)
  if learns and block.seeds > 1 and not block.epochs:
    raise JaxkdError(
      f"{name} trains the student while it makes images, so each of "
      f"student.seeds={block.seeds} would make, and pay for, its own; set "
      "student.seeds=1 and run again with another seed, or student.epochs "
      "above 0, in which all learn from the images of one."
    )
  if config.queries.marks and not learns:
    raise JaxkdError(
      f"queries.marks: {name} leaves the student alone until its images are "
      "made, so there is nothing to judge in between; set queries.marks=()."
    )
  if learns and "round_optimizer" not in block:
    raise JaxkdError(
      f"{name} trains the student while it makes images; say how in "
      "student.round_optimizer."
    )
  if not learns and not block.epochs:
    raise JaxkdError(
      f"student.epochs=0: {name} leaves all training to the epochs; choose 1 "
      "or more."
    )
  if method.pre_student_stage is not None and not block.epochs:
    raise JaxkdError(
      f"student.epochs=0: {name} trains "
      f"{method.pre_student_stage.description} for the epochs; choose 1 or "
      "more, or synthesis.committee=0 where there is one."
    )
  if (
    block.epochs
    and method.relabel_views
    and config.teacher.access != "white_box"
  ):
    raise JaxkdError(
      f"student.epochs={block.epochs}: {name} would have the teacher answer "
      f"every view in these epochs, and teacher.access={config.teacher.access} "
      "is no white box; have each image answered once (synthesis.answers or "
      "synthesis.mode), or set student.epochs=0."
    )
  if method.real_images == "other" and not config.images:
    raise JaxkdError(
      "images: say which data set the real images are from, for instance "
      "--config.images=fashion_mnist."
    )


def setup_rounds(
  run: Any, access: TeacherHandle, student: Classifier
) -> tuple[RoundSetup, RunState]:
  """The game of a `jaxkd.pipeline.distill.Run`, and the state before its round
  0.
  """
  method, asked = run.method, access.oracle
  table = RoundInputs(
    asked if asked.in_process else None,
    student,
    {name: jnp.float32(value) for name, value in method.hyper.items()},
    _real_images(run),
  )
  dtype = run.config.compute_dtype
  apply = models.with_compute_dtype(student, dtype).apply
  untrained = TrainConfig(apply, optax.identity(), method.objective)
  rules = RoundSpec(
    method, untrained, run.dataset.spec, asked.access, asked.eight_bit, dtype
  )
  table = devices.replicate(table)
  if trains_student(method):
    updates = sum(bill.updates for bill in run.bills)
    tx = optimisers.optimiser(
      run.config.student.round_optimizer, updates, epochs=1
    )
    rules = rules._replace(recipe=untrained._replace(tx=tx))
  key = devices.replicate(run.method_key)
  return RoundSetup(rules, table), devices.replicate(
    _init_state(rules, table, key)
  )


def estimate_costs(
  method: Method,
  config,
  spec: DataSpec,
  teacher: Classifier | None,
  num_images: int,
) -> list[RoundCost]:
  """The bills of a run that has not begun; makes no network.

  Args:
    teacher: one that is there already.
    num_images: of the data set, to train on.

  Raises:
    JaxkdError: what the method has against these networks, or if the budget
      does not pay for one round; before a teacher is trained for it.
  """

  def network(role: str) -> Classifier:
    name = config[role].model
    key = jax.random.key(0)
    return jax.eval_shape(lambda key: models.init(name, key, spec), key)

  white_box = config.teacher.access == "white_box"
  asked = WhiteBox(teacher or network("teacher")) if white_box else None
  many = num_images if method.real_images else 0
  if method.real_images == "other":
    many = data.train_size(config.images)
  real = Samples(
    jax.ShapeDtypeStruct((many, *spec.shape), jnp.uint8),
    jax.ShapeDtypeStruct((many,), jnp.int32),
  )
  table = RoundInputs(asked, network("student"), {}, real)
  recipe = TrainConfig(None, optax.identity(), method.objective)
  rules = RoundSpec(method, recipe, spec, config.teacher.access)
  found = round_costs(rules, table, jax.random.key(0))
  first, budget = found[0].queries, config.queries.budget
  if not (white_box or config.teacher.replay) and first > budget:
    raise JaxkdError(
      f"queries.budget={budget} does not pay for one round, which asks about "
      f"{first} images; raise it, or make smaller or fewer batches in a round."
    )
  return found


def round_costs(
  rules: RoundSpec, table: RoundInputs, key: Array
) -> list[RoundCost]:
  """What each round asks and does, at most; computes nothing."""
  shapes = jax.eval_shape(lambda table: _init_state(rules, table, key), table)
  return exchange.round_costs(rules, shapes, table)


def _init_state(rules: RoundSpec, table: RoundInputs, key: Array) -> RunState:
  state = init_state(table.student, rules.recipe.tx)
  return exchange.init_state(rules, table, state, key)


def _real_images(run: Any) -> Samples | None:
  """What `Method.real_images` asks for; images of another set bring no labels
  along.
  """
  wanted, spec = run.method.real_images, run.dataset.spec
  if not wanted:
    return None
  if wanted == "train":
    images, labels = run.dataset.train_images, run.dataset.train_labels
    return devices.replicate(
      Samples(jnp.asarray(images), jnp.asarray(labels, jnp.int32))
    )
  found = data.load(run.config.images, image_size=spec.shape[0])
  images = found.train_images
  if images.shape[-1] != spec.shape[-1]:  # grey to colour, or colour to grey
    grey = images.mean(-1, keepdims=True).round().astype(images.dtype)
    images = np.repeat(grey, spec.shape[-1], axis=-1)
  return devices.replicate(stores.unlabelled(jnp.asarray(images)))


def compile_round(
  game: RoundSetup, asked: Any, play: RunState
) -> tuple[Callable[[RunState, Array], tuple[RunState, LossTerms]], float]:
  """`(play, key) -> (play, terms)`, and the seconds that compiling it took.

  With a teacher in process one dispatch, which reuses the memory of `play`.
  """
  if not asked.in_process:
    play_round, seconds = exchange.make_host_round(game.rules, asked), 0.0
  else:
    began = time.monotonic()
    play_round = (
      jax.jit(
        functools.partial(exchange.run_round, game.rules),
        donate_argnums=0,
        out_shardings=devices.replicated(),
      )
      .lower(play, game.table, devices.replicate(jax.random.key(0)))
      .compile()
    )
    seconds = time.monotonic() - began

  def play_next(play: RunState, key: Array) -> tuple[RunState, LossTerms]:
    return play_round(play, game.table, devices.replicate(key))

  return play_next, seconds


def check_finite(
  terms: dict[str, np.ndarray], index: int, config: dict[str, Any]
) -> None:
  """Refuses a round in which a term blew up.

  Args:
    terms: of the round, scalars or one value per set.
    index: of the round.
    config: of the run, as nested dicts.

  Raises:
    JaxkdError: naming the term, the set, and the fields to lower.
  """
  for name, values in terms.items():
    values = np.atleast_1d(values)
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
      known = flatten(config)
      steers = (
        "synthesis.step_size",
        "synthesis.optimizer.learning_rate",
        f"synthesis.weights.{name}",
        "student.round_optimizer.learning_rate",
      )
      raise JaxkdError(
        f"The term {name} is {values[wrong[0]]} in set "
        f"{index * values.size + wrong[0]} ({wrong.size} sets of round "
        f"{index}); lower {' or '.join(f for f in steers if f in known)}."
      )


def evaluate_at_budget(
  run: Any,
  access: TeacherHandle,
  student: Classifier,
  play: RunState,
  paid: list[RoundCost],
) -> None:
  """Notes how good the student is, if a mark of `queries.marks` was passed."""
  queries, budget = run.config.queries, run.config.queries.budget
  after = sum(bill.queries for bill in paid)
  before = after - paid[-1].queries
  if any(before < share * budget <= after for share in queries.marks):
    now = student.replace(variables=devices.to_local(play.student.variables))
    found = results.on_test_data(run.dataset, access, now)
    run.metrics.write("queries", len(paid), queries=after, **found)
