"""A config is checked and its automatic values are filled in, in a copy."""

from types import SimpleNamespace

import jax
import pytest

import jaxkd
from jaxkd import models
from jaxkd.data import spec as data_spec
from jaxkd.pipeline import resolution
from jaxkd.pipeline.setup import setup as make_setup
from jaxkd.types import JaxkdError

TEACHER_SPEC = data_spec("mnist", image_size=32)
METHOD = SimpleNamespace(round_student=None)


def load(name="cake", **fields):
  config = jaxkd.load_config(f"configs/{name}.py")
  config.update_from_flattened_dict(fields)
  return config


def fit(config, devices=2, backend="cpu", classes=10):
  """The synthesis block of a config, with its automatic values."""
  resolved = resolution.resolve(config)
  spec = TEACHER_SPEC._replace(num_classes=classes)
  teacher = models.abstract("lenet5", spec)
  resolution.fit(resolved, spec, teacher, devices, backend)
  return resolved.synthesis


def test_automatic_values_are_filled_in_a_copy():
  config = load()
  assert fit(config).sets_per_round == 2
  assert config.synthesis.sets_per_round == 0
  resolved = resolution.resolve(config)
  resolved.student.epochs = 7
  resolved.synthesis.weights.contrast = 7.0
  assert config.student.epochs != 7
  assert config.synthesis.weights.contrast != 7.0


def test_a_value_that_is_given_is_kept():
  config = load(**{"synthesis.sets_per_round": 16, "synthesis.group_size": 4})
  assert fit(config).sets_per_round == 16
  assert fit(config, classes=100).group_size == 4


@pytest.mark.parametrize(
  ("stats", "sets"),
  [(None, 64), ({"bytes_limit": 10**12}, 64), ({"bytes_limit": 10**8}, 4)],
)
def test_an_accelerator_works_on_as_many_sets_as_fit(monkeypatch, stats, sets):
  """Sets of 500 images, 32,000 at most, split evenly over 4 devices."""
  device = SimpleNamespace(memory_stats=lambda: stats, platform="gpu")
  monkeypatch.setattr(jax, "local_devices", lambda: [device])
  config = load(**{"synthesis.num_sets": 512})
  made = fit(config, devices=4, backend="gpu").sets_per_round
  assert made == sets


@pytest.mark.parametrize(
  ("name", "fields", "message"),
  [
    ("cake", {"student.epochs": -1}, "student.epochs=-1"),
    ("cake", {"compute_dtype": "bfloat61"}, "Did you mean bfloat16"),
    (
      "dafl",
      {"teacher.optimizer.name": "adm"},
      "teacher.optimizer.name.*mean adam",
    ),
    (
      "dafl",
      {"student.round_optimizer.schedule": "cosin"},
      "mean cosine",
    ),
    (
      "dafl",
      {"student.augment": ("crop", "flop")},
      "student.augment.*mean flip",
    ),
  ],
)
def test_a_value_that_is_not_allowed_is_refused(name, fields, message):
  with pytest.raises(JaxkdError, match=message):
    resolution.resolve(load(name, **fields))


def test_a_config_without_a_method_is_refused():
  config = load()
  del config["method"]
  with pytest.raises(JaxkdError, match="method is missing"):
    resolution.resolve(config)


def test_sets_that_do_not_split_over_the_devices_are_refused():
  with pytest.raises(JaxkdError, match="num_sets=7 .* multiple of 2"):
    resolution.sets_per_round(7, 4, 2)


@pytest.mark.parametrize(
  ("classes", "groups"),
  [(2, 2), (3, 2), (4, 4), (7, 5), (10, 10), (100, 10), (1000, 10)],
)
def test_a_group_has_no_more_images_than_there_are_classes(classes, groups):
  assert fit(load(), classes=classes).group_size == groups


def test_devices_divide_batches_and_sets():
  batches, sets = resolution.divided(load())
  assert sorted(batches) == sorted(
    [load().teacher.batch_size, load().student.batch_size]
  )
  assert sets == [load().synthesis.num_sets]
  large = jaxkd.load_config("configs/cake.py:dataset=none,image_size=224")
  assert resolution.divided(large) == ([], [])


@pytest.mark.parametrize(
  ("fields", "start"),
  [
    ({}, "random"),
    ({"student.start": "teacher"}, "teacher"),
    ({"student.start": "auto"}, "teacher"),
    ({"student.start": "auto", "student.model": "mlp_half"}, "random"),
    ({"student.start": "auto", "student.model": "lenet5"}, "random"),
    ({"student.start": "auto", "teacher.access": "probs"}, "random"),
  ],
)
def test_a_narrower_student_starts_with_weights_of_its_teacher(fields, start):
  config = load(**fields)
  resolved = resolution.resolve(config)
  found = resolution.student_start(
    resolved,
    TEACHER_SPEC,
    models.abstract("lenet5", TEACHER_SPEC),
    models.abstract(resolved.student.model, TEACHER_SPEC),
    METHOD,
  )
  assert found == start


@pytest.mark.parametrize(
  ("fields", "reason"),
  [
    ({"student.model": "mlp_half"}, "other names"),
    ({"teacher.access": "probs"}, "no white box"),
  ],
)
def test_a_start_that_was_asked_for_and_cannot_be_is_refused(fields, reason):
  resolved = resolution.resolve(load(**fields, **{"student.start": "teacher"}))
  with pytest.raises(jaxkd.JaxkdError, match=f"student.start.*{reason}"):
    resolution.student_start(
      resolved,
      TEACHER_SPEC,
      models.abstract("lenet5", TEACHER_SPEC),
      models.abstract(resolved.student.model, TEACHER_SPEC),
      METHOD,
    )


def test_students_of_the_method_itself_do_not_start_with_the_teachers_weights():
  """They are initialised in the rounds, and one of them is the student."""
  config = jaxkd.load_config("configs/procedural.py:access=white_box")
  config.synthesis.selection.critic = "students"
  assert make_setup(config).config.student.start == "teacher"
  config.student.epochs = 0
  with pytest.raises(jaxkd.JaxkdError, match="student.start.*of its own"):
    make_setup(config)
  config.student.start = "auto"
  assert make_setup(config).config.student.start == "random"
