"""A config is checked and its automatic values are filled in, in a copy."""

from types import SimpleNamespace

import jax
import pytest

import jaxkd
from jaxkd.pipeline import resolution
from jaxkd.types import JaxkdError


def load(name="cake", **fields):
  config = jaxkd.load_config(f"configs/{name}.py")
  config.update_from_flattened_dict(fields)
  return config


def test_automatic_values_are_filled_in_a_copy():
  config = load()
  resolved = resolution.resolve(config, 2, "cpu")
  assert resolved.synthesis.sets_per_round == 2
  assert config.synthesis.sets_per_round == 0
  resolved.student.epochs = 7
  resolved.synthesis.weights.contrast = 7.0
  assert config.student.epochs != 7
  assert config.synthesis.weights.contrast != 7.0


def test_a_value_that_is_given_is_kept():
  config = load(**{"synthesis.sets_per_round": 16})
  assert resolution.resolve(config, 2, "cpu").synthesis.sets_per_round == 16


@pytest.mark.parametrize(
  ("stats", "sets"),
  [(None, 64), ({"bytes_limit": 10**12}, 64), ({"bytes_limit": 10**8}, 4)],
)
def test_an_accelerator_works_on_as_many_sets_as_fit(monkeypatch, stats, sets):
  """Sets of 500 images, 32,000 at most, split evenly over 4 devices."""
  device = SimpleNamespace(memory_stats=lambda: stats)
  monkeypatch.setattr(jax, "local_devices", lambda: [device])
  config = load(**{"synthesis.num_sets": 512})
  resolved = resolution.resolve(config, 4, "gpu")
  assert resolved.synthesis.sets_per_round == sets


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
    resolution.resolve(load(name, **fields), 2, "cpu")


def test_a_config_without_a_method_is_refused():
  config = load()
  del config["method"]
  with pytest.raises(JaxkdError, match="method is missing"):
    resolution.resolve(config, 2, "cpu")


def test_sets_that_do_not_split_over_the_devices_are_refused():
  with pytest.raises(JaxkdError, match="num_sets=7 .* multiple of 2"):
    resolution.sets_per_round(7, 4, 2)


@pytest.mark.parametrize(
  ("classes", "groups"),
  [(2, 2), (3, 2), (4, 4), (7, 5), (10, 10), (100, 10), (1000, 10)],
)
def test_a_group_has_no_more_images_than_there_are_classes(classes, groups):
  config = load()
  resolution.fit_classes(config, classes)
  assert config.synthesis.group_size == groups
  config.synthesis.group_size = 4
  resolution.fit_classes(config, classes)
  assert config.synthesis.group_size == 4  # it was chosen
