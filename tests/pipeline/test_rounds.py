"""The loop over rounds keeps within the budget, goes on where it stopped, and
refuses terms that are not finite.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from point_rounds import SPEC, classifier, linear, two_phases
import pytest
from setups import bare_setup

import jaxkd
from jaxkd import config as c
from jaxkd.data import other_images
from jaxkd.errors import BudgetExhausted
from jaxkd.pipeline import rounds
from jaxkd.pipeline.costs import RoundCost
from jaxkd.pipeline.exchange import RoundSpec
from jaxkd.runtime.metrics import MetricsWriter, read_metrics
from jaxkd.teachers.access import TeacherHandle
from jaxkd.teachers.ledger import Ledger
from jaxkd.teachers.oracles import BlackBox
from jaxkd.training.step import TrainConfig
from jaxkd.types import JaxkdError

COST = 32  # images that a round of `two_phases` asks about
POINTS = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
LABELS = np.asarray(classifier(0)(POINTS).logits.argmax(-1), np.int32)
DATASET = jaxkd.Dataset(SPEC, POINTS[:0], LABELS[:0], POINTS, LABELS)


def make_setup(method, budget=10 * COST, eval_at=()):
  config = c.block(
    seed=0,
    synthesis={"step_size": 1.0},
    student={"round_optimizer": {"learning_rate": 0.5}},
    queries={"budget": budget, "eval_at": eval_at},
  )
  train_config = TrainConfig(linear, optax.sgd(0.5), method.objective)
  setup = bare_setup(config, SPEC, method)
  return setup._replace(
    round=RoundSpec(method, train_config, SPEC, "probs"),
    costs=(RoundCost(COST, 6, 24, (1, 3)),) * method.rounds,
  )


@pytest.fixture
def run_rounds(tmp_path):
  """`run_rounds(setup, folder)` with a black box that is paid for."""

  def run_rounds(setup, folder="run"):
    folder = tmp_path / folder
    folder.mkdir(exist_ok=True)
    oracle = BlackBox(classifier(0), "probs", eight_bit=False)
    with (
      Ledger(
        folder / "ledger.jsonl", budget=setup.config.queries.budget
      ) as ledger,
      MetricsWriter(folder) as metrics,
    ):
      teacher = TeacherHandle(oracle, setup.config, classifier(0), ledger)
      return rounds.run_rounds(
        setup, teacher, classifier(1), DATASET, folder, metrics
      )

  return run_rounds


def test_a_round_is_pure():
  setup = make_setup(two_phases())
  teacher = TeacherHandle(
    BlackBox(classifier(0), "probs", eight_bit=False), setup.config
  )
  setup, run = rounds.start(setup, teacher, classifier(1), DATASET)
  before = jax.tree.map(np.array, run)
  run_round = jax.jit(lambda run, key: rounds.run_round(setup, run, key))
  one, terms = run_round(run, jax.random.key(3))
  again, _ = run_round(run, jax.random.key(3))
  other, _ = run_round(run, jax.random.key(4))
  jax.tree.map(np.testing.assert_array_equal, one, again)
  jax.tree.map(np.testing.assert_array_equal, run, before)
  assert not np.array_equal(
    one.store.samples.images, other.store.samples.images
  )
  assert int(one.round) == 1
  assert {"asked", "learned", "student"} <= terms.keys()


def test_all_rounds_run_and_are_recorded(run_rounds, tmp_path):
  result = run_rounds(make_setup(two_phases()))
  assert (result.images, result.queries) == (2 * 24, 2 * COST)
  assert result.ended is None
  assert int(result.run.round) == 2
  records = read_metrics(tmp_path / "run")
  assert [(r["stage"], r["step"]) for r in records] == [
    ("synthesis", 1),
    ("synthesis", 2),
  ]
  for record in records:
    assert record.keys() >= {
      "seconds", "compile_seconds", "peak_bytes", "asked", "learned", "student",
    }  # fmt: skip
  assert records[0]["compile_seconds"] > 0 == records[1]["compile_seconds"]


def test_the_budget_ends_the_rounds(run_rounds):
  result = run_rounds(make_setup(two_phases(), budget=2 * COST - 1))
  assert (result.images, result.queries) == (24, COST)
  assert int(result.run.round) == 1
  assert result.ended.startswith("The budget ended it after 1 rounds.")


def test_a_budget_that_does_not_pay_for_the_first_round_is_an_error(run_rounds):
  with pytest.raises(BudgetExhausted):
    run_rounds(make_setup(two_phases(), budget=COST - 1))


def test_stopped_rounds_go_on_to_the_same_bits(
  run_rounds, stopped_at, tmp_path
):
  setup = make_setup(two_phases())
  whole = run_rounds(setup, "whole")
  with stopped_at(1):
    run_rounds(setup, "parts")
  parts = run_rounds(setup, "parts")
  jax.tree.map(np.testing.assert_array_equal, whole.run, parts.run)
  assert parts[1:] == whole[1:]
  steps = [record["step"] for record in read_metrics(tmp_path / "parts")]
  assert steps == [1, 2]


@pytest.mark.parametrize(
  ("share", "queries"), [((0.5, 1.0), [COST, 2 * COST]), ((0.6,), [2 * COST])]
)
def test_the_student_is_evaluated_at_shares_of_the_budget(
  run_rounds, tmp_path, share, queries
):
  run_rounds(make_setup(two_phases(), budget=2 * COST, eval_at=share))
  records = [r for r in read_metrics(tmp_path / "run") if "queries" in r]
  assert [record["queries"] for record in records] == queries
  for record in records:
    assert record["stage"] == "queries"
    assert record["agreement"] == record["accuracy"] > 0


def test_shares_are_of_the_queries_that_are_not_for_test_images(
  run_rounds, tmp_path
):
  setup = make_setup(two_phases(), budget=4 * COST, eval_at=(0.5,))
  run_rounds(setup._replace(num_evaluation_queries=2 * COST))
  records = [r for r in read_metrics(tmp_path / "run") if "queries" in r]
  assert [record["queries"] for record in records] == [COST]


def test_a_term_that_is_not_finite_is_named_with_its_set_and_fields():
  setup = make_setup(two_phases())
  assert rounds.check_finite(setup, {"a": np.zeros(4)}, 2) is None
  terms = {"a": np.zeros(4), "learned": np.array([0.0, np.nan, np.inf, 0.0])}
  with pytest.raises(JaxkdError) as error:
    rounds.check_finite(setup, terms, 2)
  assert str(error.value) == (
    "The term learned is nan in set 9 (2 sets of round 2); lower "
    "synthesis.step_size or student.round_optimizer.learning_rate."
  )


def test_a_run_whose_terms_are_not_finite_is_refused(run_rounds):
  method = two_phases()
  ask, _ = method.phases

  def tell(state, nets, samples, key):
    return state, samples, {"learned": jnp.log(-1.0 - state)}

  method = method._replace(phases=(ask._replace(tell=tell), method.phases[1]))
  with pytest.raises(JaxkdError, match="The term learned is nan in set 0"):
    run_rounds(make_setup(method))


def test_real_images_are_those_that_the_method_asks_for(monkeypatch):
  images = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4, 1)
  labels = np.array([1, 0], np.int32)
  spec = SPEC._replace(shape=(4, 4, 1))
  dataset = jaxkd.Dataset(spec, images, labels, images, labels)

  def real_images(source, dataset):
    setup = make_setup(two_phases()._replace(real_images=source))
    config = setup.config.copy_and_resolve_references()
    config.other_dataset, config.background = "digits", "white"
    summary = setup.data._replace(spec=dataset.spec)
    return rounds.real_images(
      setup._replace(config=config, data=summary), dataset
    )

  assert real_images("", dataset) is None
  own = real_images("train", dataset)
  np.testing.assert_array_equal(own.images, images)
  np.testing.assert_array_equal(own.labels, labels)

  def load_images(name, shape, background):
    assert (name, shape, background) == ("digits", (4, 4, 1), "white")
    return images

  monkeypatch.setattr(other_images, "load_images", load_images)
  other = real_images("other", dataset)
  np.testing.assert_array_equal(other.images, images)
  np.testing.assert_array_equal(other.labels, [-1, -1])
  photo = np.zeros((9, 8, 1), np.uint8)
  monkeypatch.setattr(
    other_images, "load_photo", lambda path, channels, background: photo
  )
  assert real_images("photo", dataset).images.shape == (1, 9, 8, 1)
