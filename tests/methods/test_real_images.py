"""Methods of real images take a random fraction of them, with the labels and
answers that the config names; whole runs copy defended teachers.
"""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
from network_weights import same
import numpy as np
import pytest

import jaxkd
from jaxkd import data, methods
from jaxkd.pipeline import exchange
from jaxkd.pipeline.method import build_method
from jaxkd.runtime.metrics import read_metrics
from jaxkd.teachers.oracles import WhiteBox
from jaxkd.training import fit as training, sample_store
from jaxkd.training.step import TrainConfig, TrainState
from jaxkd.types import Classifier, JaxkdError, Outputs, Samples

CONFIGS = Path(__file__).parents[2] / "configs"
SPEC = jaxkd.DataSpec("stripes", (8, 8, 1), 3, (0.5,), (0.5,))
TRAIN, HELD_OUT = 72, 8


def stripes(count, seed):
  """Noise with a brighter stripe, whose place is the class."""
  random = np.random.RandomState(seed)
  labels = random.randint(0, 3, count).astype(np.int32)
  images = random.uniform(0, 0.6, (count, 8, 8, 1))
  for image, label in zip(images, labels, strict=True):
    image[:, 2 * label : 2 * label + 3] += 0.3
  return (images * 255).astype(np.uint8), labels


DATASET = jaxkd.Dataset(SPEC, *stripes(TRAIN + HELD_OUT, 0), *stripes(40, 1))


def small(name="kd", grid=None, **fields):
  config = jaxkd.load_config(f"{CONFIGS}/{name}.py:smoke")
  config.image_size = 0
  for role in ("teacher", "student"):
    config[role].model, config[role].batch_size = "mlp", 24
  config.teacher.defense.name = ""
  config.grid = type(config)(grid or {})
  config.update_from_flattened_dict(fields)
  return config


def run(folder, *args, dataset=DATASET, **fields):
  return jaxkd.distill(None, small(*args, **fields), folder, dataset=dataset)


# The samples of the only round.


def linear(variables, images, *, train=False, rng=None):
  return Outputs(images.reshape(len(images), -1) @ variables["params"]), {}


def network(seed):
  return Classifier(
    {"params": jax.random.normal(jax.random.key(seed), (64, 3))}, linear
  )


def answered(name="kd", seed=0, **synthesis):
  """The stored samples of the method's only round."""
  config = small(name)
  fields = config.synthesis.to_dict() | synthesis
  if name != "vanilla":
    fields["answers"] = "once"
  method = methods.build(
    name, SPEC, config.hyper.to_dict(), fields, num_images=80
  )
  round_spec = exchange.RoundSpec(
    method, TrainConfig(linear, None, method.objective), SPEC, "white_box"
  )
  real = Samples(*map(jnp.asarray, DATASET[1:3]))
  inputs = exchange.RoundInputs(
    WhiteBox(network(1)), network(2), method.hyper, real
  )
  key = jax.random.key(seed)
  student = TrainState(inputs.student.variables, (), jnp.int32(0))
  run = exchange.init_state(round_spec, inputs, student, key)
  run_round = jax.jit(functools.partial(exchange.run_round, round_spec))
  run, _ = run_round(run, inputs, key)
  return jax.device_get(sample_store.filled(run.store))


def rows(samples):
  """Which of the real images these are."""
  images = DATASET.train_images.reshape(80, -1)
  flat = samples.images.reshape(len(samples.labels), -1)
  return [int(np.flatnonzero((images == one).all(1))[0]) for one in flat]


def test_a_fraction_is_a_random_choice_that_the_seed_makes():
  some = answered(fraction=0.29)
  chosen = rows(some)
  assert len(chosen) == len(set(chosen)) == 23  # floor(.29 * 80)
  np.testing.assert_array_equal(some.labels, DATASET.train_labels[chosen])
  assert rows(answered("htc", fraction=0.29)) == chosen
  assert rows(answered("vanilla", fraction=0.29)) == chosen
  assert rows(answered(fraction=0.29, seed=1)) != chosen
  assert set(chosen) < set(rows(answered(fraction=0.5)))


def test_images_stay_what_they_are_and_answers_belong_to_them():
  everything = answered(fraction=1.0)
  assert sorted(rows(everything)) == list(range(80))
  assert everything.images.dtype == np.uint8
  logits = network(1)(everything.images / np.float32(255)).logits
  np.testing.assert_allclose(
    everything.targets, jax.nn.log_softmax(logits), atol=1e-4
  )


def test_the_teacher_may_give_the_labels():
  by_teacher = answered(labels="teacher")
  np.testing.assert_array_equal(
    by_teacher.labels, by_teacher.targets.argmax(-1)
  )
  truth = DATASET.train_labels[rows(by_teacher)]
  assert not np.array_equal(by_teacher.labels, truth)


def test_the_plain_student_has_labels_alone():
  some = answered("vanilla")
  np.testing.assert_array_equal(some.targets, some.labels)


def built(name="kd", **fields):
  config = small(name, **fields)
  return build_method(config, SPEC, reserved=0, num_images=80)


@pytest.mark.parametrize(
  ("name", "fields", "message"),
  [
    ("kd", {"synthesis.fraction": 0.0}, "synthesis.fraction=0.0"),
    ("kd", {"synthesis.fraction": 1.1}, "synthesis.fraction=1.1"),
    ("kd", {"synthesis.labels": "true"}, "synthesis.labels 'true'"),
    ("kd", {"synthesis.answers": "twice"}, "synthesis.answers 'twice'"),
    ("kd", {"synthesis.source": "others"}, "source 'others'.*mean other"),
    (
      "kd",
      {"synthesis.source": "other", "other_dataset": "mnist_5k"},
      "synthesis.labels .source=other.* teacher",
    ),
    (
      "kd",
      {"synthesis.source": "other", "synthesis.labels": "teacher"},
      "other_dataset is empty",
    ),
    (
      "kd",
      {"teacher.access": "probs", "queries.budget": 80},
      "teacher.access=probs .*synthesis.answers",
    ),
    (
      "htc",
      {"teacher.access": "label", "queries.budget": 80},
      "needs probs access .* gives label",
    ),
    ("kd", {"student.epochs": 0}, "student.epochs=0"),
  ],
)
def test_what_can_not_be_is_refused_by_its_field(name, fields, message):
  with pytest.raises(JaxkdError, match=message):
    built(name, **fields)


def test_numbers_of_the_objective_are_checked():
  config = small("kd")
  config.hyper = type(config)({"temperature": 4.0})
  with pytest.raises(JaxkdError, match="hyper.alpha is missing"):
    build_method(config, SPEC, reserved=0, num_images=80)


def test_images_of_another_set_come_without_labels():
  fields = {"synthesis.source": "other", "synthesis.labels": "teacher"}
  method = built(
    **fields, **{"other_dataset": "mnist_5k", "synthesis.fraction": 0.01}
  )
  assert method.real_images == "other"
  assert method.capacity == data.train_size("mnist_5k") // 100


# Objectives of other methods.


def test_an_objective_may_be_another_methods():
  config = jaxkd.load_config(f"{CONFIGS}/generative.py:smoke")
  config.objective = "htc"
  spec = data.spec("two_moons")

  def build():
    return build_method(config, spec, reserved=0, num_images=0)

  with pytest.raises(JaxkdError, match="hyper.multiplier is missing"):
    build()
  config.hyper = small("htc").hyper
  method = build()
  assert method.objective is methods.find("htc").objective
  assert method.hyper == small("htc").hyper.to_dict()
  assert method.required_access == "white_box"


def test_a_method_that_exports_no_objective_names_those_that_do():
  for name in ("cake", "dfme", "skeptical"):
    config = small("kd", objective=name)
    with pytest.raises(JaxkdError, match=f"objective={name}.*htc, kd, .*scm"):
      build_method(config, SPEC, reserved=0, num_images=80)
  with pytest.raises(JaxkdError, match="Unknown objective 'hct'.*mean htc"):
    built(objective="hct")


@pytest.mark.slow
def test_the_objective_of_another_method_trains(tmp_path):
  """The method's own would not know what to do with a multiplier."""
  config = jaxkd.load_config(f"{CONFIGS}/generative.py:smoke")
  config.synthesis.num_sets, config.student.epochs = 1, 1
  config.objective = "htc"
  config.hyper = type(config)(
    {"temperature": 50.0, "alpha": 0.9, "multiplier": 10.0}
  )
  _, report = jaxkd.distill(None, config, tmp_path)
  assert report["config"]["objective"] == "htc"
  (record,) = (r for r in read_metrics(tmp_path) if r["stage"] == "student")
  assert np.isfinite(record["loss"]).all()


# Whole runs.


def saved(folder):
  return json.loads((folder / "report.json").read_text())


@pytest.mark.slow
def test_kd_from_a_nasty_teacher(tmp_path):
  fields = {"teacher.defense.name": "nasty"}
  student, report = run(tmp_path, "kd", **fields)
  defense = saved(tmp_path)["defense"]
  assert defense["name"] == "nasty"
  assert 0 <= defense["normal_accuracy"] <= 1
  assert defense["kl_to_normal"] > 0
  assert report["guide"] is None
  assert report["grid"] is None
  assert report["queries"]["spent"] == 0
  assert report["synthesis"]["images"] == 80
  assert report["seconds"]["teacher"] > 0
  page = (tmp_path / "report.html").read_text()
  assert "nasty: the undefended teacher has" in page
  file = (tmp_path / "student.safetensors").read_bytes()
  lines = len(read_metrics(tmp_path))
  again, _ = run(tmp_path, "kd", **fields)
  same(again, student)
  assert (tmp_path / "student.safetensors").read_bytes() == file
  assert len(read_metrics(tmp_path)) == lines


@pytest.mark.slow
def test_kd_from_a_teacher_that_tells_labels_alone(tmp_path):
  fields = {
    "teacher.defense.name": "label_only",
    "teacher.access": "probs",
    "synthesis.answers": "once",
    "queries.budget": 80,
  }
  _, report = run(tmp_path, "kd", **fields)
  teacher, defense = report["teacher"], report["defense"]
  assert report["queries"]["spent"] == 80
  assert defense["changes_answers"]
  assert defense["normal_accuracy"] == teacher["accuracy"]
  assert 0 < defense["normal_calibration_error"] < 1
  errors = pytest.approx(1 - teacher["accuracy"], abs=1e-6)
  assert teacher["calibration_error"] == errors
  assert "label_only: the undefended" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_htc_on_a_grid_with_seeds(tmp_path):
  fields = {
    "grid": {"temperature": (4.0, 50.0), "alpha": (0.1, 0.9)},
    "student.seeds": 2,
  }
  student, report = run(tmp_path / "one", "htc", **fields)
  grid = saved(tmp_path / "one")["grid"]
  assert grid["names"] == ["alpha", "multiplier", "temperature"]
  places = [(point["alpha"], point["temperature"]) for point in grid["points"]]
  assert places == [(0.1, 4.0), (0.1, 50.0), (0.9, 4.0), (0.9, 50.0)]
  for point in grid["points"]:
    assert len(point["accuracies"]) == 2
    assert point["accuracy"] == pytest.approx(np.mean(point["accuracies"]))
  validations = [point["validation"] for point in grid["points"]]
  assert grid["chosen"] == int(np.argmax(validations))
  chosen = grid["points"][grid["chosen"]]
  assert report["student"]["accuracies"] == chosen["accuracies"]
  best = max(point["accuracy"] for point in grid["points"])
  assert grid["points"][grid["oracle"]]["accuracy"] == best
  assert "<th>chosen</th>" in (tmp_path / "one/report.html").read_text()
  # Other test labels: another oracle, if any, and the same student.
  swapped = DATASET._replace(test_labels=(DATASET.test_labels + 1) % 3)
  other, report = run(tmp_path / "other", "htc", dataset=swapped, **fields)
  same(other, student)
  assert report["grid"]["chosen"] == grid["chosen"]
  points = report["grid"]["points"]
  assert [point["validation"] for point in points] == validations
  assert report["student"]["accuracies"] != chosen["accuracies"]


@pytest.mark.slow
def test_scm_trains_members_on_the_students_samples(tmp_path, monkeypatch):
  seen = {}
  fit = training.fit

  def recorded(stage, train_config, states, samples, **fields):
    seen[stage] = np.asarray(samples.images)
    return fit(stage, train_config, states, samples, **fields)

  monkeypatch.setattr(training, "fit", recorded)
  fields = {
    "teacher.defense.name": "nasty",
    "synthesis.length": 2,
    "synthesis.omega": 0.02,
  }
  student, report = run(tmp_path, "scm", **fields)
  assert len(seen["student"]) == TRAIN
  np.testing.assert_array_equal(seen["member_2"], seen["student"])
  guide = saved(tmp_path)["guide"]
  assert 0 <= guide["accuracy"] <= 1
  assert guide["kl_to_normal"] > 0
  member, _ = jaxkd.load_classifier(tmp_path / "member2.safetensors")
  assert member.name == "mlp"
  assert "ensemble of 2" in (tmp_path / "report.html").read_text()
  file = (tmp_path / "student.safetensors").read_bytes()
  again, _ = run(tmp_path, "scm", **fields)
  same(again, student)
  assert (tmp_path / "student.safetensors").read_bytes() == file


@pytest.mark.slow
def test_a_black_box_answers_every_image_once(tmp_path):
  """Within its budget, also for a method that trains members on answers."""
  fields = {
    "teacher.access": "probs",
    "queries.budget": 80,
    "synthesis.answers": "once",
    "synthesis.length": 2,
  }
  _, report = run(tmp_path, "scm", **fields)
  assert report["queries"]["spent"] == 80
  assert report["queries"]["by_class"]["train"] == 80
  assert (tmp_path / "member2.safetensors").exists()
  assert report["guide"] is None  # there is no network that could be evaluated


@pytest.mark.slow  # a whole run; `test_contract.py` counts a round's queries
def test_a_plain_student_asks_nothing(tmp_path):
  fields = {"teacher.access": "label", "queries.budget": 1}
  _, report = run(tmp_path, "vanilla", **fields)
  assert report["queries"]["spent"] == 0
  assert report["student"]["accuracy"] is not None
