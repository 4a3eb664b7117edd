"""The control with procedural images has the method's student, updates,
teacher, access and number of answers.
"""

from pathlib import Path

import pytest

from jaxkd import config as c
from jaxkd.config import controls
from jaxkd.pipeline.setup import setup

CONFIGS = Path(__file__).parents[2] / "configs"
TABLE = f"{CONFIGS}/control_table.py"


def control_of(name):
  config = c.load_config(f"{CONFIGS}/{name}.py")
  procedural = c.load_config(f"{CONFIGS}/procedural.py")
  return config, c.procedural_control(config, procedural)


@pytest.mark.parametrize(
  ("name", "images", "updates"),
  [
    ("cake", 128 * 500, 20 * 64_000 // 64),
    ("dafl", 20 * 50 * 128, 20 * 50 * 3),
    ("deepinversion", 12 * 250, 20 * 3_000 // 64),
    ("cmi", 12 * 150, 12 * 150),
    ("ideal", 10_000, 6 * 50_000 // 32),
  ],
)
def test_as_many_images_and_updates(name, images, updates):
  config, control = control_of(name)
  assert control.method == "procedural"
  assert control.synthesis.batch_size * control.synthesis.num_rounds == images
  student = control.student
  made = student.epochs * images / student.batch_size
  assert made == pytest.approx(updates, rel=0.15)
  assert student.model == config.student.model
  assert student.start == config.student.get("start", "random")
  assert control.teacher == config.teacher
  assert control.queries.budget == config.queries.budget
  assert control.synthesis.selection.criterion == "none"


@pytest.mark.parametrize("name", ["dast", "dfme", "maze"])
def test_updates_in_the_rounds_are_those_of_the_run(name):
  config = c.load_config(f"{CONFIGS}/{name}.py")
  config.student.epochs = 0
  updates = sum(cost.updates for cost in setup(config).costs)
  assert controls.count_updates(config, config.queries.budget) == updates


def test_a_sample_of_many_answers_has_a_control_of_one_epoch():
  config, control = control_of("zsdb3kd")
  assert control.student.epochs == 1
  assert control.queries.budget == config.queries.budget


def test_fitted_weights_have_the_rates_that_they_need():
  config = c.load_config(f"{CONFIGS}/cake.py:dataset=fashion_mnist")
  label = c.load_config(f"{CONFIGS}/procedural.py:dataset=fashion_mnist")
  control = c.procedural_control(config, label)
  assert control.student.start == "teacher"
  assert control.student.optimizer == config.student.optimizer
  assert control.student.optimizer != label.student.optimizer


def test_a_large_control_is_drawn_in_parts():
  config, control = control_of("dafl")
  assert control.synthesis.batch_size <= controls.MAX_BATCH
  assert control.synthesis.num_rounds == 4  # three would leave out two images


@pytest.mark.parametrize("part", [0, -1, 1_000_000])
def test_a_part_that_there_is_not_is_refused(part):
  with pytest.raises(c.JaxkdError, match=f"part={part}"):
    c.load_config(f"{TABLE}:methods=CAKE,part={part}")


def test_the_method_s_own_config_is_left_as_it_is():
  config, control = control_of("cake")
  control.teacher.epochs = 1
  assert config.teacher.epochs == 30


def test_a_column_alone_has_the_cells_that_the_whole_table_has():
  whole = c.load_config(f"{TABLE}:methods=DisGUIDE,smoke")
  part = c.load_config(f"{TABLE}:methods=DisGUIDE,columns=procedural,smoke")
  assert set(part.cells) == {
    name for name in whole.cells if name.endswith("_procedural")
  }
  assert len(part.cells) == len(part.columns) == 3
  for name, cell in part.cells.items():
    assert cell == whole.cells[name]
  named = {cell.control for cell in whole.cells.values() if cell.control}
  assert named == set(part.cells)
  with pytest.raises(c.JaxkdError, match="columns"):
    c.load_config(f"{TABLE}:columns=controls")
