"""A ResNet-18 with ImageNet's stem is trained on a folder of images of 64
pixels, and copied without them.
"""

import json
import os
from pathlib import Path
import subprocess
import sys

import pytest
from shape_photos import CLASSES, write

ROOT = Path(__file__).parents[2]
CHANCE = 1 / len(CLASSES)
# Less than the recipes have, for two CPU cores and few images; the teacher is
# the same in both runs.
TEACHER = (
  "--config.teacher.epochs=15", "--config.teacher.batch_size=50",
  "--config.teacher.augment=('flip',)",
  "--config.teacher.optimizer.learning_rate=0.1",
)  # fmt: skip
RUNS = {
  "cake": ("--config.synthesis.num_sets=20",),
  "deepinversion": (
    "--config.synthesis.num_rounds=8", "--config.student.epochs=30",
  ),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """The folder of images, beside which the teacher is cached."""
  path = tmp_path_factory.mktemp("large_images")
  write(path / "photos", {"train": 150, "test": 40})
  return path


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_resnet_of_imagenet_is_copied_from_a_folder(name, folder):
  """In a process of its own: the tests' flags of XLA make programs slow."""
  config = f"configs/{name}.py:dataset={folder / 'photos'},image_size=64"
  environment = os.environ | {"JAXKD_CACHE": str(folder / "cache")}
  environment.pop("XLA_FLAGS", None)
  subprocess.run(
    [
      sys.executable, "-m", "jaxkd.main", f"--config={config}", *TEACHER,
      *RUNS[name], f"--workdir={folder / name}",
    ],
    cwd=ROOT, env=environment, check=True,
  )  # fmt: skip
  report = json.loads((folder / name / "report.json").read_text())
  print(name, report["teacher"]["accuracy"], report["student"]["accuracy"])
  assert report["teacher"]["accuracy"] > 5 * CHANCE
  assert report["student"]["accuracy"] > 3 * CHANCE
