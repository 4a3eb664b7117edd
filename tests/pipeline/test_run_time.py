"""The work of a run is that of its networks, times what they are shown."""

import pytest
from tiles import DATASET, TEACHER, config_of

import jaxkd
from jaxkd import models
from jaxkd.evaluation.matrix_work import flop
from jaxkd.pipeline import run_time
from jaxkd.pipeline.setup import setup

pytestmark = pytest.mark.usefixtures("dense")


def test_students_and_trained_teachers_are_counted_by_epochs_and_images():
  config = jaxkd.load_config("configs/cake.py:dataset=two_moons,smoke")
  config.student.seeds, config.student.epochs = 2, 3
  config.student.validation_fraction = 0.5
  made = setup(config)
  step = flop(run_time.training_step(made.networks.student, made.spec))
  parameters = models.count_parameters(made.networks.student.variables)
  assert 4 * parameters * 0.8 < step < 6 * parameters
  images = 2 * 3 * made.method.capacity // 2
  assert flop(run_time.student_work(made)) == pytest.approx(images * step)
  images = config.teacher.epochs * made.data.num_train
  assert flop(run_time.teacher_work(made)) == pytest.approx(images * step)


def test_image_steps_and_answers_are_counted():
  config = jaxkd.load_config("configs/cake.py:dataset=two_moons,smoke")
  few, many = (
    flop(run_time.rounds_work(setup(config)))
    for config.synthesis.num_steps in (1, 3)
  )
  made = setup(config)
  forward = flop(run_time._answers(made, made.method.capacity))
  # A step is one pass forward and at most one back; the labels are one more.
  assert 2 * forward < few <= 3 * forward
  assert many - few == pytest.approx(2 * (few - forward))


def test_a_teacher_that_is_there_costs_no_training():
  made = setup(config_of(), TEACHER, DATASET)
  assert run_time.teacher_work(made) == []
  assert "products: images 100%, student 0%" in run_time.describe(made)
