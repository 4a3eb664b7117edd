"""Every recipe learns: teacher and student, on every data set that a config
names. tests/README.md describes how these runs are shortened and continued.
"""

from pathlib import Path

import pytest
from short_runs import Case, record, refusal

from jaxkd import data
from jaxkd.config import blocks, files
from jaxkd.pipeline import resolution
from jaxkd.pipeline.method import build_method
from jaxkd.types import JaxkdError

CONFIGS = Path(__file__).parents[2] / "configs"
pytestmark = pytest.mark.slow

GREY = ("mnist_5k", "mnist", "fashion_mnist")
COLOUR = ("svhn_cropped", "cifar10", "cifar100")
LARGE = ("tiny_imagenet", "imagenet12")
SMALL_IMAGES = GREY + COLOUR
IMAGES = SMALL_IMAGES + LARGE
REAL = (*SMALL_IMAGES, "tiny_imagenet")
# The data sets of every config of a single run.
DATASETS = {
  "cabage": SMALL_IMAGES,
  "cake": blocks.POINTS + SMALL_IMAGES,
  "cmi": IMAGES,
  "dafl": IMAGES,
  "dast": IMAGES,
  "dd": SMALL_IMAGES,
  "deepinversion": IMAGES,
  "dfme": IMAGES,
  "disguide": SMALL_IMAGES,
  "fast_dfkd": SMALL_IMAGES,
  "generative": blocks.POINTS + SMALL_IMAGES,
  "htc": REAL,
  "ideal": IMAGES,
  "kd": REAL,
  "knockoff": IMAGES,
  "lake": blocks.POINTS + SMALL_IMAGES,
  "maze": ("mnist_5k", "fashion_mnist", "svhn_cropped", "cifar10"),
  "naive": blocks.POINTS + SMALL_IMAGES,
  "procedural": IMAGES,
  "scm": REAL,
  "skeptical": REAL,
  "vanilla": REAL,
  "zsdb3kd": IMAGES,
  "zskt": IMAGES,
}
LENETS = "teacher=lenet5,student=lenet5_half"
# A LeNet-5 takes images of 32 pixels.
SIZED = {"image_size": 32}
MIXED = "matrix:of=models,dataset="
# Recipes that other arguments choose, with rates or losses of their own.
VARIANTS = (
  *(Case(f"kd:dataset={name},{LENETS}", SIZED) for name in GREY[1:]),
  *(Case(f"vanilla:dataset={name},{LENETS}", SIZED) for name in GREY[1:]),
  Case(f"cake:dataset=svhn_cropped,{LENETS}"),
  Case("cake:dataset=svhn_cropped,teacher=vit4,student=vit4_half"),
  Case("cake:dataset=cifar10,teacher=vit4,student=vit4_half"),
  *(Case(f"cake:dataset={name},recipe=published") for name in SMALL_IMAGES),
  Case("ideal:dataset=mnist,recipe=published"),
  Case("dafl:dataset=cifar10,datafree"),
  Case("dafl:dataset=mnist_5k,objective=htc"),
  Case("zskt:dataset=cifar10,datafree"),
  Case("deepinversion:dataset=mnist_5k,adi"),
  Case("deepinversion:dataset=cifar10,adi"),
  Case("deepinversion:dataset=cifar10,adi,datafree"),
  Case("deepinversion:dataset=mnist_5k,deepdream"),
  Case("cmi:dataset=mnist_5k,hard"),
  Case("disguide:dataset=mnist_5k,access=probs"),
  Case("cabage:dataset=mnist_5k,access=probs"),
  Case("procedural:dataset=mnist,access=white_box"),
  Case("procedural:dataset=mnist,access=probs"),
  *(
    Case(MIXED + name, cell=cell)
    for name in SMALL_IMAGES[1:]
    for cell in ("mlp_mlp", "mlp_vit4", "cake_cnn_mlp", "vit4_cake_cnn")
  ),
  Case(f"{MIXED}mnist_5k", cell="cnn_quarter_mlp"),
)
CASES = (
  *(
    Case(f"{config}:dataset={name}")
    for config, names in DATASETS.items()
    for name in names
  ),
  *VARIANTS,
)
# Students that do not learn from so few labels or steps, with their accuracy.
NOT_LEARNING = {
  "dfme-dataset=mnist": 0.146,
  "maze-dataset=fashion_mnist": 0.183,
  "zsdb3kd-dataset=mnist": 0.091,
  "zsdb3kd-dataset=fashion_mnist": 0.093,
  # A generator that only classifies leaves most of the plane out.
  "generative-dataset=circles": 0.559,
  "generative-dataset=checkerboard": 0.491,
}
MARGIN = 0.1  # of that accuracy

RESNETS_RATE = {
  "teacher.optimizer.learning_rate": 0.5,
  "student.optimizer.learning_rate": 0.5,
}
CIFAR_RATE = {
  "seed": 1,
  "student.round_optimizer.learning_rate": 0.1,
  "student.round_optimizer.weight_decay": 5e-4,
}
# Rates that were in configs once, with a seed that shows what they do.
WRONG = {
  "KD of LeNet-5-Halves with the ResNets' rate": Case(
    f"kd:dataset=mnist,{LENETS}",
    {**SIZED, "student.optimizer.learning_rate": 0.1, "student.seeds": 3},
  ),
  "DD on MNIST with the rate of CIFAR": Case("dd:dataset=mnist", CIFAR_RATE),
  "CAKE of a LeNet-5 with the ResNets' rate": Case(
    f"cake:dataset=svhn_cropped,{LENETS}", RESNETS_RATE
  ),
  "ZSDB3KD's LeNet-5 with the ResNets' rate": Case(
    "zsdb3kd:dataset=mnist",
    {
      "teacher.optimizer.name": "sgd",
      "teacher.optimizer.learning_rate": 0.1,
      "teacher.optimizer.schedule": "cosine",
    },
  ),
  "an MLP of the matrix with the ResNets' rate": Case(
    f"{MIXED}cifar10", RESNETS_RATE, "mlp_mlp"
  ),
}


@pytest.fixture
def folder(request):
  """Of the records, which later runs of the tests find again."""
  return Path(request.config.cache.mkdir("learning"))


def test_no_config_and_no_data_set_is_left_out():
  named = {}
  for path in sorted(CONFIGS.glob("*.py")):
    for dataset in data.names():
      try:
        config = files.load_config(f"{path}:dataset={dataset}")
      except JaxkdError:
        continue
      if "cells" not in config and path.stem != "audit":
        named.setdefault(path.stem, set()).add(dataset)
  assert {name: set(sets) for name, sets in DATASETS.items()} == named


@pytest.mark.parametrize("config", DATASETS)
def test_the_method_of_every_recipe_can_be_built(config):
  for dataset in DATASETS[config]:
    full = files.load_config(f"{CONFIGS}/{config}.py:dataset={dataset}")
    resolved = resolution.resolve(full)
    spec = data.spec(dataset, resolved.image_size)
    resolution.fit(resolved, spec, None, 1, "cpu")
    build_method(resolved, spec, reserved=0, num_images=50_000)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_teacher_and_student_learn(case, folder):
  made = record(case, folder)
  if str(case) not in NOT_LEARNING:
    assert not refusal(made)
    return
  assert not refusal({**made, "student": 1.0})
  assert refusal(made), "It learns: take it off the list."
  assert abs(made["student"] - NOT_LEARNING[str(case)]) <= MARGIN


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_rate_is_refused(case, folder):
  assert refusal(record(case, folder))
