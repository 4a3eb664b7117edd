"""Grids: which points there are, how they train, and what may choose one."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
from network_weights import same, weights
import numpy as np
import pytest
from setups import bare_setup

import jaxkd
from jaxkd import config as c, models
from jaxkd.methods import htc, kd
from jaxkd.pipeline import grid, students
from jaxkd.pipeline.grid import GridPoint
from jaxkd.runtime.metrics import MetricsWriter, read_metrics
from jaxkd.training.step import EpochInputs, TrainConfig, init_state
from jaxkd.types import Classifier, JaxkdError, LossContext, Outputs, Samples

SPEC = jaxkd.DataSpec("blobs", (2,), 2, (0.0, 0.0), (1.0, 1.0))
HYPER = {"temperature": 4.0, "alpha": 0.9, "multiplier": 1.0}


def method(of=htc, **hyper):
  return of.build(
    SPEC, hyper=hyper or HYPER, num_images=24, fraction=1.0, source="train",
    labels="truth", answers="once",
  )  # fmt: skip


def test_points_are_the_product_in_order():
  block = c.block(temperature=(4.0, 20.0), alpha=(0.1, 0.5, 0.9))
  found = grid.expand_grid(block, method())
  assert [(p["alpha"], p["temperature"]) for p in found] == [
    (0.1, 4.0), (0.1, 20.0), (0.5, 4.0), (0.5, 20.0), (0.9, 4.0), (0.9, 20.0),
  ]  # fmt: skip
  assert all(p["multiplier"] == 1.0 for p in found)


def test_without_a_grid_there_are_the_methods_own_numbers():
  assert grid.expand_grid(c.block(), method()) == [HYPER]


def config(block, **student):
  fields = {"epochs": 1, "validation_fraction": 0.1, "at_once": 0, **student}
  return c.block(grid=block, student=fields)


@pytest.mark.parametrize(
  ("block", "student", "message"),
  [
    ({"multiplier": (1.0,)}, {}, "grid.multiplier: .* alpha, temperature"),
    ({"alpha": ()}, {}, "grid.alpha is empty"),
    ({"alpha": (0.1, 0.9)}, {"epochs": 0}, "student.epochs"),
    (
      {"alpha": (0.1, 0.9)},
      {"validation_fraction": 0.0},
      "student.validation_fraction=0",
    ),
  ],
)
def test_what_can_not_be_is_refused_by_its_field(block, student, message):
  plain = method(kd, temperature=4.0, alpha=0.9)
  with pytest.raises(JaxkdError, match=message):
    grid.check(config(block, **student), plain)


def test_one_point_needs_no_choice():
  grid.check(config({"alpha": (0.5,)}, validation_fraction=0.0), method())
  grid.check(config({}, validation_fraction=0.0, epochs=0), method())


def constant(label):
  """A student who always says the same."""

  def apply(variables, images, *, train=False, rng=None):
    logits = jax.nn.one_hot(variables, 2)
    return Outputs(jnp.broadcast_to(logits, (len(images), 2))), {}

  return Classifier(jnp.int32(label), apply)


def points(*labels):
  return [
    GridPoint({"alpha": 0.1 * i}, [constant(label)])
    for i, label in enumerate(labels)
  ]


def answered(labels, answers):
  """Samples with these labels, and a teacher who says `answers`."""
  return Samples(
    jnp.zeros((len(labels), 2)),
    jnp.array(labels, jnp.int32),
    jax.nn.log_softmax(5 * jax.nn.one_hot(jnp.array(answers), 2)),
  )


def test_labels_choose_the_point():
  held_out = answered([1, 1, 1, 0], [0, 0, 0, 0])
  assert grid.choose(points(0, 1), held_out) == (1, [0.25, 0.75])


def test_the_teachers_answers_choose_where_there_is_no_label():
  held_out = answered([-1, -1, -1, 0], [1, 1, 1, 1])
  assert grid.choose(points(0, 1), held_out) == (1, [0.25, 0.75])
  hard = held_out._replace(targets=jnp.array([1, 1, 1, 1]))
  assert grid.choose(points(0, 1), hard) == (1, [0.25, 0.75])


def test_of_equal_points_the_first_is_chosen():
  held_out = answered([0, 1], [0, 1])
  assert grid.choose(points(1, 0, 1), held_out) == (0, [0.5, 0.5, 0.5])


def test_all_seeds_count():
  mixed = GridPoint({"alpha": 0.0}, [constant(0), constant(0), constant(1)])
  held_out = answered([0, 0, 0, 0], [0, 0, 0, 0])
  assert grid.choose([mixed, *points(1)], held_out) == (
    0, [pytest.approx(2 / 3), 0.0],
  )  # fmt: skip


def dataset(test_labels):
  test_labels = np.array(test_labels, np.int32)
  images = np.zeros((len(test_labels), 2), np.float32)
  return jaxkd.Dataset(SPEC, images[:0], test_labels[:0], images, test_labels)


def test_test_data_is_the_oracles_alone():
  held_out = answered([1, 1, 1, 0], [0, 0, 0, 0])
  chosen, scores = grid.choose(points(0, 1), held_out)
  found = grid.summary(points(0, 1), chosen, scores, dataset([0, 0, 0, 1]))
  assert (found["chosen"], found["oracle"]) == (1, 0)
  assert found["names"] == ["alpha"]
  assert found["points"][0] == {
    "alpha": 0.0, "validation": 0.25, "accuracy": 0.75, "accuracies": [0.75],
  }  # fmt: skip
  other = grid.summary(points(0, 1), chosen, scores, dataset([1, 1, 1, 0]))
  assert (other["chosen"], other["oracle"]) == (1, 1)


def test_without_test_data_there_is_no_oracle():
  found = grid.summary(points(0, 1), 1, [0.0, 1.0], dataset([]))
  assert found["oracle"] is None
  assert found["points"][0]["accuracy"] is None


def test_without_a_grid_there_is_no_summary():
  assert grid.choose(points(1), answered([0], [0])) == (0, [])
  assert grid.summary(points(1), 0, [], dataset([0])) is None


def samples(count=24):
  images = jax.random.normal(jax.random.key(1), (count, 2))
  labels = (images[:, 0] > 0).astype(jnp.int32)
  return Samples(images, labels, jax.nn.log_softmax(images * 3))


@pytest.fixture
def run(tmp_path):
  """`run(folder, **student)`: a setup, a workdir and metrics."""
  with MetricsWriter(tmp_path) as metrics:

    def make(folder, **student):
      fields = {
        "at_once": 0,
        "epochs": 2,
        "batch_size": 8,
        "augment": (),
        "optimizer": c.optimizer("adam", 0.01),
        "batch_norm": "per_device",
        **student,
      }
      config = c.block(
        student=fields,
        grid={"temperature": (1.0, 8.0)},
        compute_dtype="float32",
        seed=2,
      )
      setup = bare_setup(config, SPEC, method())
      return setup, tmp_path / folder, metrics

    yield make


def teach(run):
  fresh = [models.init("mlp", jax.random.key(seed), SPEC) for seed in (0, 1)]
  setup, workdir, metrics = run
  return students.train_students(
    setup, None, fresh, None, samples(), workdir, metrics
  )


def pairs(some, others):
  """The students of both, one by one."""
  for a, b in zip(some, others, strict=True):
    assert a.hyper == b.hyper
    yield from zip(a.students, b.students, strict=True)


@pytest.mark.slow
def test_students_in_turns_are_those_who_train_together(
  run, stopped_at, tmp_path
):
  together = teach(run("together"))
  assert [len(point.students) for point in together] == [2, 2]
  assert [point.hyper["temperature"] for point in together] == [1.0, 8.0]
  first, second = (weights(point.students[0])[0] for point in together)
  assert not np.allclose(first, second)
  whole = teach(run("whole", at_once=1))
  for one, other in pairs(whole, together):
    for found, expected in zip(weights(one), weights(other), strict=True):
      np.testing.assert_allclose(found, expected, atol=1e-6)
  stages = [record["stage"] for record in read_metrics(tmp_path)]
  assert stages == [
    stage
    for stage in ("student", "student_1", "student_2", "student_3")
    for _ in range(2)
  ]
  with stopped_at(4):  # in the second student's last epoch
    teach(run("parts", at_once=1))
  for one, other in pairs(teach(run("parts", at_once=1)), whole):
    same(one, other)


def test_without_epochs_the_student_of_the_rounds_is_the_one(run):
  fresh = [models.init("mlp", jax.random.key(0), SPEC)]
  learned = models.init("mlp", jax.random.key(1), SPEC)
  play = SimpleNamespace(student=learned)
  setup, workdir, metrics = run("rounds", epochs=0)
  (point,) = students.train_students(
    setup, None, fresh, play, samples(), workdir, metrics
  )
  assert point.hyper == HYPER
  same(point.students[0], learned)


def test_memory_says_how_many_train_at_once(monkeypatch):
  student = models.init("mlp", jax.random.key(0), SPEC)
  recipe = TrainConfig(student.apply, jaxkd.training.optimisers.optimiser(
    c.block(**c.optimizer("adam", 0.01)), 1, 1), htc.objective)  # fmt: skip
  inputs = EpochInputs(
    {name: jnp.float32(value) for name, value in HYPER.items()},
    LossContext(jnp.int32(0), jnp.zeros(2)),
    jax.random.key(0),
  )

  def at_once(limit):
    stats = None if limit is None else {"bytes_limit": limit}
    device = SimpleNamespace(memory_stats=lambda: stats)
    monkeypatch.setattr(grid.jax, "local_devices", lambda: [device])
    state = init_state(student, recipe.tx)
    return grid.at_once(recipe, state, samples(4), inputs)

  assert at_once(None) is None
  assert at_once(1) == 1
  few, many = at_once(1_000_000), at_once(10_000_000)
  assert 1 < few < many
  assert many == pytest.approx(10 * few, abs=10)
