from pathlib import Path

from config_commands import commands
from ml_collections import ConfigDict
import pytest

from jaxkd import config as c
from jaxkd.pipeline import resolution
from jaxkd.types import JaxkdError

CONFIGS = sorted(Path(__file__).parents[2].joinpath("configs").glob("*.py"))


def test_arguments():
  found = c.arguments("dataset=mnist, student=vit4,smoke", dataset="cifar10")
  assert found == {"dataset": "mnist", "student": "vit4", "smoke": True}


@pytest.mark.parametrize(
  "argument, message",
  [
    ("datset=mnist", "'datset'. Did you mean dataset"),
    ("dataset", "needs a value"),
  ],
)
def test_wrong_arguments(argument, message):
  with pytest.raises(JaxkdError, match=message):
    c.arguments(argument)


def test_arguments_that_are_no_numbers():
  with pytest.raises(JaxkdError, match="seeds=many: choose an integer"):
    c.load_config("configs/cake.py:seeds=many")
  with pytest.raises(JaxkdError, match="fraction=half: choose a number"):
    c.load_config("configs/kd.py:fraction=half")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_builds_shrinks_and_imports_little(path):
  """Tables ask methods what they say of themselves; experiments ask nobody."""
  config = c.load_config(str(path))
  small = c.load_config(f"{path}:smoke")
  if "cells" in config:
    assert set(small.cells) <= set(config.cells)
    small = next(iter(small.cells.values())).config
  else:
    assert config.method == small.method
  assert small.teacher.epochs <= 2
  imports = [
    line
    for line in path.read_text().splitlines()
    if line.startswith(("import ", "from "))
  ]
  allowed = ["", ", methods"] if "cells" in config else [""]
  assert imports in [[f"from jaxkd import config as c{e}"] for e in allowed]
  assert f"--config=configs/{path.name}" in path.read_text()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_an_override_changes_the_field_that_it_names_and_no_other(path):
  """Every field of every block gets a value of its own, and so does a new field
  that an override may add; two fields that share a block can't both keep it.
  """
  for command in commands(path):
    config = c.load_config(command)
    blocks = dict(blocks_of("config", config))
    fields = [(name, f) for name, b in blocks.items() for f in (*b, "new")]
    for order in (fields, fields[::-1]):  # either would hide a one-way link
      with config.ignore_type():
        for place, (name, field) in enumerate(order):
          if not isinstance(blocks[name].get(field), ConfigDict):
            blocks[name][field] = place
      for place, (name, field) in enumerate(order):
        value = blocks[name][field]
        assert isinstance(value, ConfigDict) or value == place, (name, field)


def blocks_of(name, block):
  """A block and all blocks inside it, by their paths."""
  yield name, block
  for field, value in block.items():
    if isinstance(value, ConfigDict):
      yield from blocks_of(f"{name}.{field}", value)


def field_cells(argument):
  path = CONFIGS[0].parent / "field_table.py"
  return c.load_config(f"{path}:{argument}").cells


def test_the_posters_methods_copy_one_teacher():
  cells = field_cells("dataset=cifar10")
  assert cells.adi_student.published == 91.4
  assert cells.zsdb3kd_teacher.published == 79.3
  teachers = {
    (cell.config.teacher.model, cell.config.teacher.epochs)
    for cell in cells.values()
  }
  assert len(teachers) == 1
  assert "adi_student" not in field_cells("dataset=mnist")


def test_ideals_rivals_have_labels_and_a_budget_alone():
  cells = field_cells("paper=ideal,dataset=mnist")
  assert cells.ideal_lenet_ideal.published == 96.32
  assert cells.ideal_alexnet_dafl.published == 20.43
  for cell in cells.values():
    assert cell.config.teacher.access == "label"
    assert cell.config.queries.budget == 25_000
    assert cell.config.teacher.model == cell.row
  adapted = {
    cell.column: cell.config.adaptation.name for cell in cells.values()
  }
  assert adapted["DeepIn"] == adapted["DAFL"] == "surrogate"
  assert adapted["ZSKT"] == "frozen"
  assert adapted["IDEAL"] == adapted["DFME"] == ""


def test_published_sizes_and_weights_are_the_cards():
  config = c.load_config(f"{CONFIGS[0].parent}/cake.py:dataset=mnist")
  sizes = config.synthesis
  assert (sizes.num_sets, sizes.set_size, sizes.group_size) == (512, 500, 10)
  assert (sizes.num_steps, sizes.step_size_decades) == (256, 4.0)
  assert sizes.weights.to_dict() == {
    "classification": 1e3,
    "contrast": 1e-3,
    "total_variation": 1e7,
  }
  assert sizes.contrast == "groups"


def test_unknown_dataset_names_the_ones_with_a_recipe():
  with pytest.raises(JaxkdError, match="'minst'. Did you mean mnist"):
    c.load_config(f"{CONFIGS[0].parent}/cake.py:dataset=minst")


def test_resolve_fills_in_and_checks():
  config = c.load_config(f"{CONFIGS[0].parent}/cake.py")
  resolved = resolution.resolve(config, 2, "cpu")
  assert resolved.synthesis.sets_per_round == 2
  assert config.synthesis.sets_per_round == 0
  config.student.epochs = -1
  with pytest.raises(JaxkdError, match="student.epochs=-1"):
    resolution.resolve(config, 2, "cpu")
  config.student.epochs, config.compute_dtype = 1, "bfloat61"
  with pytest.raises(JaxkdError, match="Did you mean bfloat16"):
    resolution.resolve(config, 2, "cpu")


@pytest.mark.parametrize(
  ("field", "value", "told"),
  [
    ("teacher.optimizer.name", "adm", "teacher.optimizer.name.*mean adam"),
    ("student.round_optimizer.schedule", "cosin", "mean cosine"),
    ("student.augment", ("crop", "flop"), "student.augment.*mean flip"),
  ],
)
def test_names_are_checked_before_a_teacher_is_trained(field, value, told):
  config = c.load_config(f"{CONFIGS[0].parent}/dafl.py")
  config.update_from_flattened_dict({field: value})
  with pytest.raises(JaxkdError, match=told):
    resolution.resolve(config, 1, "cpu")


def test_sets_that_do_not_split_are_refused():
  with pytest.raises(JaxkdError, match="num_sets=7 .* multiple of 2"):
    resolution.sets_per_round(7, 4, 2)


def test_shipped_configs_are_found_from_any_folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  found = c.load_config("configs/cake.py:dataset=mnist,smoke")
  assert found.method == "cake"
  mine = tmp_path / "configs"
  mine.mkdir()
  (mine / "cake.py").write_text(
    "def get_config(argument=''):\n  return argument"
  )
  assert c.load_config("configs/cake.py:mine") == "mine"
  with pytest.raises(JaxkdError, match="no config file configs/cak.py"):
    c.load_config("configs/cak.py")
