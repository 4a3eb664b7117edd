"""Tests of teachers that are not trained here, and of their data sets."""

from pathlib import Path

import jax
import numpy as np
import pytest

import jaxkd
from jaxkd import data
from jaxkd.pipeline import plan
from jaxkd.teachers import external

CONFIGS = Path(__file__).parents[2] / "configs"
SPEC = jaxkd.DataSpec("mine", (2,), 2, (0.0, 0.0), (1.0, 1.0))
MODULE = """
import jax
import numpy as np
import jaxkd

def stripes(variables, images):
  return images @ variables["w"]

def bare():
  weights = {"w": np.eye(2, dtype=np.float32)}
  return jaxkd.from_function(stripes, weights)

def described():
  return bare(), jaxkd.DataSpec("mine", (2,), 2, (0.0, 0.0), (1.0, 1.0))

def wrong():
  return "a network"

def two(variables, images):
  scores = stripes(variables, images)
  return {"features": images, "scores": jax.nn.softmax(scores)}

def several():
  weights = {"w": np.eye(2, dtype=np.float32)}
  return jaxkd.from_function(two, weights), described()[1]
"""


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
  """A module of the user's in the current folder."""
  (tmp_path / "my_networks.py").write_text(MODULE)
  monkeypatch.chdir(tmp_path)
  monkeypatch.delitem(__import__("sys").modules, "my_networks", raising=False)


def small(**fields):
  config = jaxkd.load_config(f"{CONFIGS}/cake.py:dataset=two_moons,smoke")
  config.synthesis.sets_per_round = 2
  config.update_from_flattened_dict(fields)
  return config


@pytest.mark.slow
def test_a_function_of_the_users_is_distilled_without_any_data(tmp_path):
  mine = {"teacher.factory": "my_networks:described", "dataset": "none"}
  student, report = jaxkd.distill(None, small(**mine), tmp_path / "run")
  assert report["teacher"]["model"] == "stripes"
  assert report["dataset"] == "mine"
  assert report["student"]["accuracy"] is None
  assert student(np.zeros((1, 2), np.float32)).logits.shape == (1, 2)
  again, _ = jaxkd.distill(None, small(**mine), tmp_path / "run")
  np.testing.assert_array_equal(
    again(np.ones((1, 2), np.float32)).logits,
    student(np.ones((1, 2), np.float32)).logits,
  )


def test_a_plan_knows_it():
  text = plan.describe(
    small(**{"teacher.factory": "my_networks:described", "dataset": "none"})
  )
  assert "teacher: stripes, 4 parameters" in text
  assert "teacher: as it is" in text


def test_without_a_description_the_data_describe():
  teacher = external.call_factory("my_networks:bare")
  assert teacher.spec is None
  with pytest.raises(
    jaxkd.JaxkdError, match="dataset=none: the shape of the inputs"
  ):
    data.find("none")
  assert data.find("two_moons", teacher=SPEC).spec.name == "two_moons"


@pytest.mark.parametrize(
  ("name", "message"),
  [
    ("my_networks", "module:function"),
    ("no_such_module:f", "no module no_such_module"),
    ("my_networks:absent", "has no function absent"),
    ("my_networks:wrong", "returned a str"),
  ],
)
def test_what_is_no_network_is_refused(name, message):
  with pytest.raises(jaxkd.JaxkdError, match=message):
    external.call_factory(name)


def test_one_teacher_is_enough():
  block = small(**{"teacher.factory": "my_networks:bare"}).teacher
  block.checkpoint = "teacher.safetensors"
  with pytest.raises(jaxkd.JaxkdError, match=r"factory, teacher.checkpoint"):
    external.load_external(block)


def test_data_of_another_shape_are_refused():
  with pytest.raises(jaxkd.JaxkdError, match="has 2 classes"):
    data.find("mnist_5k", teacher=SPEC)
  grey = jaxkd.DataSpec("grey", (32, 32, 1), 10, (0.5,), (0.5,))
  assert data.describe("mnist_5k", teacher=grey)[0].shape == grey.shape


def test_output_and_kind_of_a_function_of_the_users():
  fields = {"teacher.factory": "my_networks:several", "dataset": "none"}
  points = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
  for output in ("scores", "1"):
    said = {"teacher.output": output, "teacher.output_kind": "probabilities"}
    config = small(**fields, **said)
    teacher = external.load_external(config.teacher)
    logits = teacher.classifier(points).logits
    np.testing.assert_allclose(jax.nn.softmax(logits), jax.nn.softmax(points))
  with pytest.raises(jaxkd.JaxkdError, match=r"features \[.*scores \[.*output"):
    plan.describe(small(**fields))


def test_a_teacher_that_is_trained_here_has_no_output_to_name():
  config = small(**{"teacher.output_kind": "sigmoid"})
  with pytest.raises(jaxkd.JaxkdError, match="trained here gives logits"):
    external.load_external(config.teacher)
  config = small(**{"teacher.output_kind": "softmax"})
  with pytest.raises(jaxkd.JaxkdError, match="output_kind"):
    plan.describe(config)
