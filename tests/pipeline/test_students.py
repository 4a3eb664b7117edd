"""Students of all seeds and grid points are trained on the stored samples,
together or in turn; without epochs the student of the rounds is the one.
"""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
from network_weights import same, weights
import numpy as np
import pytest
from setups import bare_setup

import jaxkd
from jaxkd import config as c, models
from jaxkd.methods import htc
from jaxkd.pipeline import initial_weights, students
from jaxkd.runtime.metrics import MetricsWriter, read_metrics
from jaxkd.types import PreStudentStage, Samples

SPEC = jaxkd.DataSpec("blobs", (2,), 2, (0.0, 0.0), (1.0, 1.0))
HYPER = {"temperature": 4.0, "alpha": 0.9, "multiplier": 1.0}
METHOD = htc.build(
  SPEC, hyper=HYPER, num_images=24, fraction=1.0, source="train",
  labels="truth", answers="once",
)  # fmt: skip


def samples(count=24):
  images = jax.random.normal(jax.random.key(1), (count, 2))
  labels = (images[:, 0] > 0).astype(jnp.int32)
  return Samples(images, labels, jax.nn.log_softmax(images * 3))


def network(seed):
  return models.init("mlp", jax.random.key(seed), SPEC)


def make_setup(method=METHOD, **student):
  fields = {
    "model": "mlp",
    "seeds": 2,
    "start": "random",
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
    teacher={},
    grid={"temperature": (1.0, 8.0)},
    compute_dtype="float32",
    seed=2,
  )
  return bare_setup(config, SPEC, method)


@pytest.fixture
def train(tmp_path):
  """`train(folder, run, **student)`, with two seeds at two grid points."""

  def train(folder, run=None, **student):
    setup = make_setup(**student)
    fresh = initial_weights.init_students(setup, None)
    with MetricsWriter(tmp_path) as metrics:
      return students.train_students(
        setup, None, fresh, run, samples(), tmp_path / folder, metrics
      )

  return train


def pairs(some, others):
  """The students of both, one by one."""
  for a, b in zip(some, others, strict=True):
    assert a.hyper == b.hyper
    yield from zip(a.students, b.students, strict=True)


def test_all_seeds_at_all_points_are_trained(train, tmp_path):
  points = train("run")
  assert [len(point.students) for point in points] == [2, 2]
  assert [point.hyper["temperature"] for point in points] == [1.0, 8.0]
  first, second = (weights(point.students[0])[0] for point in points)
  assert not np.allclose(first, second)
  records = read_metrics(tmp_path)
  assert [(r["stage"], r["step"]) for r in records] == [
    ("student", 1),
    ("student", 2),
  ]
  assert len(records[0]["loss"]) == 4


@pytest.mark.slow
def test_students_in_turns_are_those_who_train_together(
  train, stopped_at, tmp_path
):
  in_parts, whole = train("together"), train("whole", at_once=1)
  for one, other in pairs(whole, in_parts):
    for ours, expected in zip(weights(one), weights(other), strict=True):
      np.testing.assert_allclose(ours, expected, atol=1e-6)
  stages = [record["stage"] for record in read_metrics(tmp_path)]
  assert stages == [
    stage
    for stage in ("student", "student_1", "student_2", "student_3")
    for _ in range(2)
  ]
  with stopped_at(4):  # in the second student's last epoch
    train("parts", at_once=1)
  for one, other in pairs(train("parts", at_once=1), whole):
    same(one, other)


def test_without_epochs_the_student_of_the_rounds_is_the_one(train):
  of_rounds = network(1)
  run = SimpleNamespace(student=of_rounds)
  (point,) = train("rounds", run, epochs=0, seeds=1)
  assert point.hyper == HYPER
  same(point.students[0], of_rounds)


def run_stage(relabel_views, access):
  """What a stage before the student is given in a run with these fields."""
  calls = []

  def run(trainer, teacher, given):
    calls.append((trainer, teacher, given))
    return "effective teacher", "samples of the student"

  method = METHOD._replace(
    pre_student_stage=PreStudentStage(run, "teacher", "three"),
    relabel_views=relabel_views,
  )
  oracle = SimpleNamespace(access=access)
  teacher = SimpleNamespace(oracle=oracle, classifier=network(0))
  result = students.run_pre_student_stage(
    make_setup(method), teacher, samples(), None, None
  )
  assert result == ("effective teacher", "samples of the student")
  return calls[0]


def test_a_stage_trains_on_the_students_samples_alone():
  trainer, teacher, given = run_stage(True, "white_box")
  same(teacher, network(0))
  np.testing.assert_array_equal(given.images, samples().images)
  np.testing.assert_array_equal(trainer.samples.images, given.images)
  np.testing.assert_array_equal(trainer.samples.labels, given.labels)
  assert trainer.samples.targets is None
  assert len(trainer.held_out.labels) == 0


@pytest.mark.parametrize("access", ["white_box", "probs"])
def test_a_teacher_that_answers_once_is_not_passed_to_a_stage(access):
  assert run_stage(False, access)[1] is None


@pytest.mark.parametrize("access", ["white_box", "probs"])
def test_without_a_stage_samples_are_as_given_and_a_white_box_answers(access):
  oracle = SimpleNamespace(access=access)
  teacher = SimpleNamespace(oracle=oracle, classifier="the network")
  given = samples()
  answers, train = students.run_pre_student_stage(
    make_setup(), teacher, given, None, None
  )
  assert train is given
  assert answers == ("the network" if access == "white_box" else None)


def test_students_of_fewer_images_are_discarded(tmp_path):
  """A larger budget leads to more images, and to students of all of them."""
  folder = tmp_path / "checkpoints"
  kept = [folder / "synthesis", tmp_path / "teacher.safetensors"]
  stale = [
    folder / "student",
    folder / "student_2",
    folder / "committee1",
    tmp_path / "committee1.safetensors",
  ]

  def write_all():
    for path in (*kept, *stale):
      if path.suffix:
        path.write_text("")
      else:
        path.mkdir(parents=True, exist_ok=True)
        (path / "1").write_text("")

  write_all()
  with MetricsWriter(tmp_path) as metrics:
    metrics.write("synthesis", 1, loss=1.0)
    metrics.write("student", 1, loss=1.0)
    students.discard_stale_student(tmp_path, metrics, 60)  # no note yet
    students.discard_stale_student(tmp_path, metrics, 60)
    assert all(path.exists() for path in (*kept, *stale))
    assert metrics.stages() == ["synthesis", "student"]
    students.discard_stale_student(tmp_path, metrics, 100)
    assert not any(path.exists() for path in stale)
    assert all(path.exists() for path in kept)
    assert metrics.stages() == ["synthesis"]
    write_all()
    students.discard_stale_student(tmp_path, metrics, 100)
    assert all(path.exists() for path in stale)
