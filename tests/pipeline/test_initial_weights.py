"""Students start with random weights, or with the teacher's for fewer channels,
fitted on the images that they are trained on.
"""

import jax
import jax.numpy as jnp
from network_weights import same, weights
import numpy as np
from setups import bare_setup

import jaxkd
from jaxkd import config as c, models
from jaxkd.pipeline import initial_weights
from jaxkd.runtime.keys import Purpose, Stream

SPEC = jaxkd.DataSpec("blobs", (2,), 2, (0.0, 0.0), (1.0, 1.0))


def make_setup(**student):
  fields = {"model": "mlp", "seeds": 2, "start": "random", "epochs": 2}
  config = c.block(student={**fields, **student}, seed=2)
  return bare_setup(config, SPEC, None)


def test_every_seed_has_initial_weights_of_its_own():
  setup = make_setup(seeds=3)
  first, second, third = initial_weights.init_students(setup, None)
  key = setup.key(Stream.STUDENT, Purpose.INITIAL, 1)
  same(second, models.init("mlp", key, SPEC))
  assert not np.array_equal(weights(first)[0], weights(third)[0])
  # The same seeds of a run with fewer are the same students.
  same(initial_weights.init_students(make_setup(seeds=1), None)[0], first)


def error_of(student, teacher):
  inputs = jax.random.normal(jax.random.key(1), (200, *SPEC.shape))
  return jnp.square(student(inputs).logits - teacher(inputs).logits).mean()


def test_students_start_with_weights_of_the_teacher():
  setup = make_setup(seeds=2, model="mlp_half", start="teacher")
  teacher = models.init("mlp", jax.random.key(0), SPEC)
  fresh = initial_weights.init_students(setup, teacher)
  images = jax.random.normal(jax.random.key(2), (900, *SPEC.shape))
  first, second = initial_weights.start_students(setup, teacher, fresh, images)
  before = [error_of(net, teacher) for net in fresh]
  assert error_of(first, teacher) < min(before) / 10
  assert error_of(second, teacher) < min(before) / 10


def test_networks_are_compared_on_the_images_of_the_run(monkeypatch):
  monkeypatch.setattr(initial_weights, "MAX_COMPARED", 20)
  setup = make_setup(seeds=2, model="mlp_half", start="teacher")
  teacher = models.init("mlp", jax.random.key(0), SPEC)
  fresh = initial_weights.init_students(setup, teacher)
  some, others = jax.random.normal(jax.random.key(2), (2, 40, *SPEC.shape))
  first, second = initial_weights.start_students(setup, teacher, fresh, some)
  third, _ = initial_weights.start_students(setup, teacher, fresh, others)
  assert not np.array_equal(weights(first)[0], weights(third)[0])
  # Each seed takes others of more images than there is room for.
  assert not np.array_equal(weights(first)[0], weights(second)[0])


def test_the_student_of_the_rounds_starts_before_them():
  setup = make_setup(seeds=1, model="mlp_half", start="teacher", epochs=0)
  teacher = models.init("mlp", jax.random.key(0), SPEC)
  (student,) = initial_weights.init_students(setup, teacher)
  fresh = initial_weights.init_students(
    make_setup(seeds=1, model="mlp_half"), None
  )
  assert error_of(student, teacher) < error_of(fresh[0], teacher) / 10
  (again,) = initial_weights.start_students(setup, teacher, [student], None)
  same(again, student)


def test_random_students_stay_as_they_are():
  setup = make_setup(seeds=2)
  fresh = initial_weights.init_students(setup, None)
  for net, other in zip(
    initial_weights.start_students(setup, None, fresh, None), fresh, strict=True
  ):
    same(net, other)
