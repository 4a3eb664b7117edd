"""A grid has all combinations of its values; held-out samples choose a point,
and memory bounds how many networks train at once.
"""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxkd
from jaxkd import config as c, models
from jaxkd.methods import htc, kd
from jaxkd.pipeline import grid
from jaxkd.pipeline.grid import GridPoint
from jaxkd.training import optimisers
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
  result = grid.expand_grid(block, method())
  assert [(p["alpha"], p["temperature"]) for p in result] == [
    (0.1, 4.0), (0.1, 20.0), (0.5, 4.0), (0.5, 20.0), (0.9, 4.0), (0.9, 20.0),
  ]  # fmt: skip
  assert all(p["multiplier"] == 1.0 for p in result)


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
  """A student that always gives the same label."""

  def apply(variables, images, *, train=False, rng=None):
    logits = jax.nn.one_hot(variables, 2)
    return Outputs(jnp.broadcast_to(logits, (len(images), 2))), {}

  return Classifier(jnp.int32(label), apply)


def points(*labels):
  return [
    GridPoint({"alpha": 0.1 * i}, [constant(label)])
    for i, label in enumerate(labels)
  ]


choose = functools.partial(grid.choose, real=True)


def samples_with(labels, answers):
  """Samples with these labels, to which the teacher gives `answers`."""
  return Samples(
    jnp.zeros((len(labels), 2)),
    jnp.array(labels, jnp.int32),
    jax.nn.log_softmax(5 * jax.nn.one_hot(jnp.array(answers), 2)),
  )


def test_labels_of_real_images_choose_the_point():
  held_out = samples_with([1, 1, 1, 0], [0, 0, 0, 0])
  assert choose(points(0, 1), held_out) == (1, [0.25, 0.75])


def test_of_synthetic_images_the_teachers_answers_choose():
  """Their labels are the classes that they were made for."""
  held_out = samples_with([1, 1, 1, 0], [0, 0, 0, 1])
  assert grid.choose(points(0, 1), held_out, real=False) == (0, [0.75, 0.25])


def test_the_teachers_answers_choose_where_there_is_no_label():
  held_out = samples_with([-1, -1, -1, 0], [1, 1, 1, 1])
  assert choose(points(0, 1), held_out) == (1, [0.25, 0.75])
  hard = held_out._replace(targets=jnp.array([1, 1, 1, 1]))
  assert choose(points(0, 1), hard) == (1, [0.25, 0.75])


def test_of_equal_points_the_first_is_chosen():
  held_out = samples_with([0, 1], [0, 1])
  assert choose(points(1, 0, 1), held_out) == (0, [0.5, 0.5, 0.5])


def test_all_seeds_count():
  mixed = GridPoint({"alpha": 0.0}, [constant(0), constant(0), constant(1)])
  held_out = samples_with([0, 0, 0, 0], [0, 0, 0, 0])
  assert choose([mixed, *points(1)], held_out) == (
    0, [pytest.approx(2 / 3), 0.0],
  )  # fmt: skip


def dataset(test_labels):
  test_labels = np.array(test_labels, np.int32)
  images = np.zeros((len(test_labels), 2), np.float32)
  return jaxkd.Dataset(SPEC, images[:0], test_labels[:0], images, test_labels)


def test_test_data_is_the_oracles_alone():
  held_out = samples_with([1, 1, 1, 0], [0, 0, 0, 0])
  chosen, scores = choose(points(0, 1), held_out)
  result = grid.summary(points(0, 1), chosen, scores, dataset([0, 0, 0, 1]))
  assert (result["chosen"], result["oracle"]) == (1, 0)
  assert result["names"] == ["alpha"]
  assert result["points"][0] == {
    "alpha": 0.0, "validation": 0.25, "accuracy": 0.75, "accuracies": [0.75],
  }  # fmt: skip
  other = grid.summary(points(0, 1), chosen, scores, dataset([1, 1, 1, 0]))
  assert (other["chosen"], other["oracle"]) == (1, 1)


def test_without_test_data_there_is_no_oracle():
  result = grid.summary(points(0, 1), 1, [0.0, 1.0], dataset([]))
  assert result["oracle"] is None
  assert result["points"][0]["accuracy"] is None


def test_without_a_grid_there_is_no_summary():
  assert choose(points(1), samples_with([0], [0])) == (0, [])
  assert grid.summary(points(1), 0, [], dataset([0])) is None


def samples(count=24):
  images = jax.random.normal(jax.random.key(1), (count, 2))
  labels = (images[:, 0] > 0).astype(jnp.int32)
  return Samples(images, labels, jax.nn.log_softmax(images * 3))


def test_memory_says_how_many_train_at_once(monkeypatch):
  student = models.init("mlp", jax.random.key(0), SPEC)
  tx = optimisers.optimiser(c.block(**c.optimizer("adam", 0.01)), 1, 1)
  train_config = TrainConfig(student.apply, tx, htc.objective)
  inputs = EpochInputs(
    {name: jnp.float32(value) for name, value in HYPER.items()},
    LossContext(jnp.int32(0), jnp.zeros(2)),
    jax.random.key(0),
  )

  def at_once(limit):
    stats = None if limit is None else {"bytes_limit": limit}
    device = SimpleNamespace(platform="gpu", memory_stats=lambda: stats)
    monkeypatch.setattr(grid.jax, "local_devices", lambda: [device])
    state = init_state(student, tx)
    return grid.at_once(train_config, state, samples(4), inputs)

  assert at_once(None) is None
  assert at_once(1) == 1
  few, many = at_once(1_000_000), at_once(10_000_000)
  assert 1 < few < many
  assert many == pytest.approx(10 * few, abs=10)
