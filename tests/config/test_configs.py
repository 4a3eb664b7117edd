"""Shipped configs load at full and at smoke size, hold what the papers publish,
and share no block between two fields.
"""

from pathlib import Path

from config_commands import commands
from ml_collections import ConfigDict
import pytest

from jaxkd import config as c
from jaxkd.types import JaxkdError

CONFIGS = sorted(Path(__file__).parents[2].joinpath("configs").glob("*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_builds_shrinks_and_imports_little(path):
  """Tables ask methods and defences what they say of themselves; experiments,
  an audit that is no table excepted, ask nobody.
  """
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
  (line,) = imports
  asked = set(line.removeprefix("from jaxkd import config as c").split(", "))
  tables = "cells" in config or path.stem == "audit"
  assert asked <= ({"", "defenses", "methods"} if tables else {""})
  assert f"--config=configs/{path.name}" in path.read_text()


@pytest.mark.parametrize(
  "path",
  [
    # It has by far the most cells.
    pytest.param(path, marks=pytest.mark.slow)
    if path.stem == "control_table"
    else path
    for path in CONFIGS
  ],
  ids=lambda path: path.stem,
)
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


def test_repeats_are_whole_runs_of_one_config_with_other_seeds():
  path = CONFIGS[0].parent
  table = c.load_config(
    f"{path}/repeats.py:of=dafl,repeats=2,dataset=mnist,objective=htc"
  )
  single = c.load_config(f"{path}/dafl.py:dataset=mnist,objective=htc")
  assert table.mean
  assert table.rows == ("seed 0", "seed 1")
  for seed in (0, 1):
    config = table.cells[f"seed_{seed}_student"].config
    assert config == table.cells[f"seed_{seed}_teacher"].config
    single.seed = seed
    assert config == single


def test_repeats_need_a_run():
  with pytest.raises(JaxkdError, match="repeats=0: choose 1 or more"):
    c.load_config(f"{CONFIGS[0].parent}/repeats.py:repeats=0")


def test_the_posters_methods_copy_one_teacher():
  cells = field_cells("dataset=cifar10")
  assert cells.adi_student.published == 91.4
  assert cells.zsdb3kd_teacher.published is None  # the poster's is an AlexNet
  teachers = {
    (cell.config.teacher.model, cell.config.teacher.epochs)
    for cell in cells.values()
  }
  assert len(teachers) == 1
  on_lenets = field_cells("dataset=mnist")
  assert "adi_student" not in on_lenets
  weights = on_lenets.deepdream_student.config.synthesis.weights
  assert weights.batch_norm == 0 < weights.classification


def test_methods_compared_with_ideal_have_labels_and_a_budget_alone():
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
  config = c.load_config(
    f"{CONFIGS[0].parent}/cake.py:dataset=mnist,recipe=published"
  )
  sizes = config.synthesis
  assert (sizes.num_sets, sizes.set_size, sizes.group_size) == (512, 500, 0)
  assert (sizes.num_steps, sizes.step_size_decades) == (256, 4.0)
  assert sizes.weights.to_dict() == {
    "classification": 1e3,
    "contrast": 1e-3,
    "total_variation": 1e7,
  }
  assert sizes.contrast == "groups"


@pytest.mark.parametrize("name", ["cake", "deepinversion"])
def test_images_of_any_size_have_a_recipe(name):
  configs = {
    size: c.load_config(
      f"{CONFIGS[0].parent}/{name}.py:dataset=a/folder,image_size={size}"
    )
    for size in (32, 64, 224)
  }
  for size, config in configs.items():
    assert (config.dataset, config.image_size) == ("a/folder", size)
    named = config.teacher.model.startswith("torchvision_")
    assert named == (size >= 48)
  assert configs[224].teacher.model == "torchvision_resnet50"
  assert configs[224].synthesis.coarse_steps > 0
  small = c.load_config(
    f"{CONFIGS[0].parent}/{name}.py:dataset=a/folder,image_size=64,smoke"
  )
  assert (small.dataset, small.student.model) == ("mnist_5k", "resnet8_8")


@pytest.mark.parametrize(
  "argument, start",
  [
    ("", "teacher"),
    (",student=mlp", "random"),
    (",recipe=published", "random"),
    (",image_size=64", "random"),  # whose networks are others
  ],
)
def test_half_a_lenet_starts_with_weights_of_its_teacher(argument, start):
  path = CONFIGS[0].parent / "cake.py"
  config = c.load_config(f"{path}:dataset=fashion_mnist{argument}")
  assert config.student.start == start


def test_unknown_dataset_names_the_ones_with_a_recipe():
  with pytest.raises(JaxkdError, match="'minst'. Did you mean mnist"):
    c.load_config(f"{CONFIGS[0].parent}/cake.py:dataset=minst")


def test_tiny_imagenet_has_the_recipe_and_the_numbers_of_the_paper():
  table = c.load_config(
    f"{CONFIGS[0].parent}/nasty_table.py:dataset=tiny_imagenet,teacher=resnet50"
  )
  assert table.rows == ("mobilenet_v2", "shufflenet_v2")
  assert table.cells.mobilenet_v2_nasty_kd.published == 1.10
  assert table.cells.shufflenet_v2_skep_htc.published == 63.14
  htc = table.cells.mobilenet_v2_htc.config
  assert htc.grid.temperature == (4.0, 20.0, 50.0, 100.0, 200.0)
  assert htc.teacher.augment == htc.student.augment == ("rotation", "flip")
  assert (htc.teacher.defense.omega, htc.student.epochs) == (0.01, 200)
  skeptical = table.cells.mobilenet_v2_skep.config
  assert skeptical.student.model == "skeptical_mobilenet_v2"


@pytest.mark.parametrize(
  ("dataset", "budget", "number"),
  [("tiny_imagenet", 2_000_000, 21.72), ("imagenet12", 250_000, 57.95)],
)
def test_ideals_large_data_sets_have_its_budgets(dataset, budget, number):
  cells = field_cells(f"paper=ideal,dataset={dataset}")
  assert cells.vgg16_ideal.published == number
  for cell in cells.values():
    assert cell.config.queries.budget == budget
    assert cell.config.student.model == "resnet18"
    assert cell.config.image_size == 0


def test_tables_of_ideal_change_one_part_each():
  def cells(argument):
    path = CONFIGS[0].parent / "ideal_tables.py"
    return c.load_config(f"{path}:{argument}").cells

  whole = c.load_config(f"{CONFIGS[0].parent}/ideal.py")
  ablation = cells("of=ablation")
  assert ablation.ideal.config == whole
  assert not ablation.one_generator.config.synthesis.restart
  assert ablation.without_balance.config.synthesis.weights.balance == 0
  domain = cells("of=domain,dataset=svhn_cropped")
  assert domain.b.config.other_dataset == "cifar10"
  assert (domain.a.published, domain.b.published) == (22.64, 39.68)
  imbalance = cells("of=imbalance,recipe=published")
  assert imbalance.ldam.config.hyper.to_dict() == {
    "max_margin": 0.5, "scale": 30.0,
  }  # fmt: skip
  access = cells("of=access,dataset=mnist")
  teachers = {cell.config.teacher.model for cell in access.values()}
  assert len(access) == 6 and len(teachers) == 1
  assert access.ideal.config.queries.budget == 25_000
  assert access.dfme.config.teacher.access == "probs"


def test_a_table_of_teachers_has_the_rows_that_are_asked_for():
  table = "configs/teachers_table.py:methods=CAKE,kinds=LeNet-5+ViT-4"
  first = c.load_config(f"{table}").cells
  other = c.load_config(f"{table},seed=3").cells
  assert {name.split("_")[0] for name in first} == {"lenet", "vit"}
  assert set(other) == set(first)
  for name in first:
    assert other[name].config.seed == first[name].config.seed + 3
  with pytest.raises(JaxkdError, match="kinds"):
    c.load_config("configs/teachers_table.py:kinds=AlexNet")


@pytest.mark.parametrize(
  "argument",
  [
    "images=mnist",
    "dataset=mnist,images=mnist_5k",
    "dataset=fashion_mnist,images=mnist_5k,smoke",
  ],
)
def test_images_of_the_teacher_s_own_data_set_are_refused(argument):
  """All of mnist_5k, its test images too, is in the training part of mnist."""
  with pytest.raises(JaxkdError, match="images=mnist.* teacher"):
    c.load_config(f"configs/knockoff.py:{argument}")


@pytest.mark.parametrize("sources", ["smooth+", "+", "smooth++leaves"])
def test_a_source_without_a_name_is_refused(sources):
  with pytest.raises(JaxkdError, match="no name beside"):
    c.load_config(f"configs/procedural.py:sources={sources}")
