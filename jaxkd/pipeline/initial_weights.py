"""The weights of a run's students before they are trained.

They are random, or the teacher's for fewer channels (`jaxkd.narrowing`), fitted
on the images that the student is then trained on.
"""

import jax

from jaxkd import models, narrowing
from jaxkd.data import to_float
from jaxkd.pipeline.setup import Setup
from jaxkd.runtime import processes
from jaxkd.runtime.keys import Purpose, Stream
from jaxkd.synthesis import starts
from jaxkd.types import Array, Classifier

MAX_COMPARED = 25_000  # images on which the layers of two networks are compared
MAX_DRAWN = 4_000  # of these if they are drawn for it


def init_students(setup: Setup, teacher: Classifier | None) -> list[Classifier]:
  """A student for each seed, as it is before the rounds.

  Args:
    setup: of the run.
    teacher: with `student.start=teacher` and no epochs, where the student of
      the rounds is the one, it has weights of this network from the first; with
      epochs see `start_students`.
  """
  block = setup.config.student
  students = [
    models.init(
      block.model, setup.key(Stream.STUDENT, Purpose.INITIAL, seed), setup.spec
    )
    for seed in range(block.seeds)
  ]
  if block.start == "random" or block.epochs:
    return students
  key = setup.key(Stream.STUDENT, Purpose.INITIAL, 0)
  count = min(narrowing.max_images(teacher, setup.spec.shape), MAX_DRAWN)
  images = starts.compared_images(teacher, key, count, setup.spec)
  return [_narrowed(teacher, student, images) for student in students]


def start_students(
  setup: Setup,
  teacher: Classifier | None,
  students: list[Classifier],
  images: Array,
) -> list[Classifier]:
  """The students of all seeds, as they are before their epochs.

  Args:
    setup: of the run.
    teacher: the network whose weights they have with `student.start=teacher`.
    students: with random weights, as they stay with `student.start=random`.
    images: `[N, ...]` that they are trained on. The layers of both networks are
      compared on some of them, in each seed on others.
  """
  block = setup.config.student
  if block.start == "random" or not block.epochs:
    return students
  count = min(narrowing.max_images(teacher, setup.spec.shape), MAX_COMPARED)
  started = []
  for seed, student in enumerate(students):
    key = setup.key(Stream.STUDENT, Purpose.INITIAL, seed)
    rows = jax.random.permutation(key, len(images))[:count]
    started.append(_narrowed(teacher, student, to_float(images[rows])))
  return started


def _narrowed(
  teacher: Classifier, student: Classifier, images: Array
) -> Classifier:
  student = narrowing.narrow(teacher, student, images)
  # Hosts may round in different ways.
  variables = processes.broadcast_arrays(student.variables)
  return student.replace(variables=variables)
