"""Other people's images are each asked about once, in random order or as the
student selects; crops of a photo never end.
"""

import functools

import jax
from method_builder import build_method
import numpy as np
import pytest
import toy_task
from toy_task import SPEC

from jaxkd.pipeline import exchange
from jaxkd.training import sample_store
from jaxkd.types import JaxkdError

SELECTION = {
  "criterion": "none",
  "critic": "students",
  "candidates": 1.0,
  "mutations": 0.0,
  "members": 1,
  "visits": 30,
  "min_epochs": 1,
  "max_epochs": 2,
  "batch_size": 4,
}
IMAGES = jax.random.randint(jax.random.key(7), (30, 4, 4, 1), 0, 256).astype(
  "uint8"
)


def build(criterion="none", mutations=0.0, **fields):
  selection = {**SELECTION, "criterion": criterion, "mutations": mutations}
  fields = {
    "hyper": {},
    "budget": 30,
    "num_images": 30,
    "num_rounds": 0,
    "batch_size": 10,
    "source": "images",
    "answers": "once",
    "selection": selection,
    **fields,
  }
  return build_method("knockoff", SPEC, **fields)


def images_asked(method, images=IMAGES):
  round_spec, run, inputs = toy_task.start(
    method,
    toy_task.black_box("label"),
    data=sample_store.unlabelled(images),
  )
  run_round = jax.jit(functools.partial(exchange.run_round, round_spec))
  for index in range(method.rounds):
    run, _ = run_round(run, inputs, jax.random.key(index))
  return np.asarray(run.store.samples.images).reshape(method.capacity, -1)


@pytest.mark.parametrize(
  "criterion", ["none", pytest.param("margin", marks=pytest.mark.slow)]
)
def test_every_image_is_asked_about_once(criterion):
  asked = images_asked(build(criterion))
  rows = np.asarray(IMAGES).reshape(30, -1)
  np.testing.assert_array_equal(
    np.unique(asked, axis=0), np.unique(rows, axis=0)
  )


@pytest.mark.slow
def test_with_mutations_there_are_more_than_were_given():
  asked = images_asked(build("margin", mutations=3.0, budget=50))
  assert len(np.unique(asked, axis=0)) == 50


def test_too_few_images_are_told():
  with pytest.raises(JaxkdError, match="other_dataset has 30 images, and 4"):
    build(budget=40)


def test_a_round_asks_about_no_more_images_than_there_are():
  with pytest.raises(JaxkdError, match="batch_size=10: other_dataset has 5"):
    build("margin", mutations=2.0, num_images=5)


def test_a_photo_is_enough_for_any_budget():
  method = build(source="photo", budget=40, num_images=1)
  photo = jax.random.randint(jax.random.key(1), (1, 20, 20, 1), 0, 256)
  asked = images_asked(method, photo.astype("uint8"))
  assert len(np.unique(asked, axis=0)) == 40
