"""White-box methods are adapted to labels by a surrogate, by a frozen generator
or by finite differences, and pay for every image.
"""

from pathlib import Path

from batch_norm_network import normed
from dense_generator import dense_generator
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_task import KEY, SPEC, CountingTeacher, black_box, run_rounds, start

import jaxkd
from jaxkd import methods
from jaxkd.config import fields as declarations
from jaxkd.config.run_fields import ADAPTATION
from jaxkd.methods import dafl
from jaxkd.pipeline.costs import round_costs
from jaxkd.pipeline.host_exchange import make_host_round
from jaxkd.pipeline.method import build_method
from jaxkd.synthesis import label_only
from jaxkd.types import JaxkdError

CONFIGS = Path(__file__).parents[2] / "configs"


def config_of(method, name, **fields):
  config = jaxkd.load_config(f"{CONFIGS}/{method}.py:smoke")
  config.adaptation.name = name
  config.teacher.access, config.queries.budget = "label", 10_000
  config.synthesis.batch_size = 6
  config.update_from_flattened_dict(fields)
  return config


def build(method, name, **fields):
  config = config_of(method, name, **fields)
  return build_method(config, SPEC, reserved=0, num_images=0)


@pytest.fixture
def dense(monkeypatch):
  """Generators that compile at once."""
  for module in (label_only, dafl):
    monkeypatch.setattr(
      module, "create_generator", lambda *args, **fields: dense_generator()
    )


def small_dafl(name, **fields):
  small = {
    "synthesis.steps_per_round": 3,
    "synthesis.weights.activation": 0.0,  # the toy's networks have no features
    "synthesis.student_steps": 2,
  }
  return build("dafl", name, **small | fields)


def first_round(method, seed=1):
  """The states before and after a round against labels, and its cost; the
  teacher is the network of that seed.
  """
  teacher = black_box("label", seed)
  round_spec, run, inputs = start(method, teacher)
  cost = round_costs(round_spec, run, inputs)[0]
  return run, run_rounds(method, 1, teacher)[0], cost


def test_the_surrogate_is_the_student(dense):
  """Before it has learnt, images do not depend on the teacher; labels do."""
  method = small_dafl("surrogate", **{"synthesis.steps_per_round": 1})
  runs = [first_round(method, seed)[1] for seed in (1, 5)]
  images, targets = (
    [np.asarray(getattr(run.store.samples, leaf)) for run in runs]
    for leaf in ("images", "targets")
  )
  np.testing.assert_array_equal(*images)
  assert (targets[0][:6] != targets[1][:6]).any()
  assert jnp.issubdtype(targets[0].dtype, jnp.integer)


def test_every_image_is_asked_once_and_the_generator_learns(dense):
  before, after, cost = first_round(small_dafl("surrogate"))
  assert cost.queries == cost.stored == 18
  assert int(after.student.step) == cost.updates == 6
  weights = [run.state.generator.variables["params"] for run in (before, after)]
  assert not np.array_equal(*weights)


def test_frozen_is_a_generator_that_never_learns(dense):
  before, after, cost = first_round(small_dafl("frozen"))
  assert cost.queries == 18
  weights = [run.state.generator.variables["params"] for run in (before, after)]
  np.testing.assert_array_equal(*weights)
  images = after.store.samples.images
  assert not np.array_equal(images[:6], images[6:12])


@pytest.mark.parametrize(
  "name",
  [
    "dafl",
    pytest.param("dd", marks=pytest.mark.slow),
    pytest.param("zskt", marks=pytest.mark.slow),
  ],
)
def test_finite_differences_are_paid_for(dense, name):
  fields = {"adaptation.num_directions": 2, "adaptation.student_steps": 3}
  method = build(name, "zeroth", **fields)
  assert method.rounds == 10_000 // (6 * (2 + 1 + 3))
  before, after, cost = first_round(method)
  assert cost.queries == 6 * (2 + 1 + 3)
  assert cost.stored == 18
  assert int(after.student.step) == 3
  assert int(before.student.step) == 0
  assert np.isfinite(after.state.variables["params"]).all()


@pytest.mark.parametrize("name", ["surrogate", "zeroth"])
def test_the_teacher_is_shown_as_many_images_as_a_round_costs(dense, name):
  method = small_dafl(name)
  round_spec, run, inputs = start(method, black_box("label"))
  cost = round_costs(round_spec, run, inputs)[0]
  teacher = CountingTeacher(inputs.teacher)
  run_round = make_host_round(round_spec, teacher)
  run_round(run, inputs.replace(teacher=None), KEY)
  assert teacher.count == cost.queries


def answers(labels, floor=0.1):
  onehot = np.eye(3)[labels]
  return jnp.log(jnp.float32((1 - floor) * onehot + floor / 3))


def test_rare_classes_are_worth_more_and_their_mean_is_the_entropy():
  smoothed = answers([0, 0, 0, 1])
  rarity = dafl.class_rarity(None, smoothed)
  assert rarity[3] > rarity[0]
  q = np.exp(smoothed).mean(0)
  assert float(rarity.mean()) == pytest.approx(-(q * np.log(q)).sum(), rel=1e-5)


@pytest.mark.parametrize("name", ["dafl", "dd", "zskt"])
def test_logits_are_as_good_as_log_probabilities(name):
  objective = label_only.generator_objective(
    methods.info(name).label_objective, 4, 0.01
  )
  student, teacher = jax.random.normal(jax.random.key(0), (2, 4, 3))
  np.testing.assert_allclose(
    objective(student, teacher + 5.0),
    objective(student, jax.nn.log_softmax(teacher)),
    rtol=1e-5,
    atol=1e-6,
  )


@pytest.mark.parametrize("name", ["dd", "zskt"])
def test_disagreement_is_raised(name):
  """It is greater where the student disagrees with the label."""
  objective = label_only.generator_objective(
    methods.info(name).label_objective, 2, 0.01
  )
  logits = jnp.array([[4.0, 0.0, 0.0], [0.0, 4.0, 0.0]])
  distances = objective(logits, jnp.array([0, 0]))
  assert distances.shape == (2,)
  assert 0 <= distances[0] < distances[1]


@pytest.mark.parametrize(
  ("method", "fields", "message"),
  [
    ("cake", {"adaptation.name": "frozen"}, "cake can't be adapted"),
    ("zskt", {"adaptation.name": "surrogate"}, "choose frozen or zeroth"),
    ("dd", {"adaptation.name": "surrogate"}, "choose frozen or zeroth"),
    ("dafl", {"teacher.access": "white_box"}, "set teacher.access=label"),
    ("dafl", {"queries.budget": 30}, "queries.budget=30 does not pay"),
    ("dafl", {"objective": "htc"}, "set objective=''"),
    ("cmi", {}, "choose frozen or surrogate"),
    ("deepinversion", {}, "choose frozen or surrogate"),
    (
      "deepinversion",
      {"adaptation.name": "surrogate"},
      "set synthesis.student_steps above 0",
    ),
  ],
)
def test_what_can_not_be_is_refused_by_its_field(method, fields, message):
  with pytest.raises(JaxkdError, match=message):
    build(method, "zeroth", **fields)


@pytest.mark.parametrize("name", ["frozen", "surrogate"])
def test_answers_are_stored_and_not_asked_again(name):
  """CMI as published has its teacher relabel every view."""
  assert not build("cmi", name).relabel_views


def test_a_published_method_is_left_as_it_is():
  fields = {"teacher.access": "white_box", "queries.budget": 0}
  method = build("dafl", "", **fields)
  assert method.required_access == "white_box"
  assert method.objective is not label_only.objectives.teacher_cross_entropy


def stripes(count, seed):
  random = np.random.RandomState(seed)
  labels = random.randint(0, 3, count).astype(np.int32)
  images = random.randint(0, 150, (count, 8, 8, 1))
  for image, label in zip(images, labels, strict=True):
    image[:, 2 * label : 2 * label + 3] += 80
  return images.astype(np.uint8), labels


@pytest.mark.slow
@pytest.mark.parametrize(
  ("method", "name"),
  [
    ("deepinversion", "frozen"),
    ("cmi", "surrogate"),
    ("dafl", "zeroth"),
    ("zskt", "frozen"),
  ],
)
def test_a_whole_run_keeps_to_its_budget(tmp_path, monkeypatch, method, name):
  monkeypatch.setenv("JAXKD_CACHE", str(tmp_path / "cache"))
  spec = jaxkd.DataSpec("stripes", (8, 8, 1), 3, (0.5,), (0.5,))
  dataset = jaxkd.Dataset(spec, *stripes(80, 0), *stripes(40, 1))
  config = config_of(method, name)
  config.queries.budget, config.image_size = 42, 0  # the dearest round
  config.student.model = "cnn_quarter"
  config.student.batch_size = 6
  student, report = jaxkd.distill(
    normed(1, spec), config, tmp_path / "run", dataset=dataset
  )
  assert report["adaptation"] == name
  assert 0 < report["queries"]["spent"] <= 42
  assert f"{method} ({name})" in (tmp_path / "run/report.html").read_text()
  assert np.isfinite(student(jnp.float32(dataset.test_images)).logits).all()


def test_the_defaults_are_in_every_config():
  fields = config_of("kd", "").adaptation.to_dict()
  assert fields == declarations.defaults(ADAPTATION)
