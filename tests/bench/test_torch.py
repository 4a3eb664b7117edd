"""Tests that PyTorch gives our results, and is timed beside us."""

import jax
import numpy as np
import pytest

from jaxkd import models
from jaxkd.bench import cases, comparison
from jaxkd.bench.cases import Size
from jaxkd.bench.comparison import BenchConfig
from jaxkd.bench.results import OURS, TORCH_MODES, ratio
from jaxkd.types import JaxkdError

pytestmark = pytest.mark.slow
TINY = Size(sets=2, set_size=20, steps=2, samples=80, batch_size=20, epochs=1)


@pytest.fixture(autouse=True)
def torch():
  return pytest.importorskip("torch")


@pytest.mark.parametrize(
  "name", ["lenet5", "lenet5_half", "resnet18", "resnet34", "vit4", "vit8"]
)
def test_networks_give_the_same_logits(name, torch):
  from jaxkd.bench import agreement

  spec = cases.CASES["lenet5" if "lenet" in name else "vit8"].spec
  network = models.init(name, jax.random.key(0), spec)
  images = np.random.default_rng(0).random((3, *spec.shape), np.float32)
  normalised = (images - np.float32(spec.mean)) / np.float32(spec.std)
  with torch.no_grad():
    theirs = agreement.to_torch_network(network, spec).eval()(
      agreement.to_torch(normalised)
    )
  np.testing.assert_allclose(network(images).logits, theirs, atol=2e-4)


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "vit8"])
def test_images_are_ours_step_by_step(name):
  from jaxkd.bench import agreement

  assert agreement.check_images(cases.find(name), TINY) < 1e-3


def test_students_get_the_same_weights():
  from jaxkd.bench import agreement

  assert agreement.check_students(cases.find("lenet5"), TINY) < 1e-3


def test_another_image_is_an_error(monkeypatch):
  from jaxkd.bench import agreement, synthesis

  monkeypatch.setitem(synthesis.TORCH_ARGUMENTS, "step_size", 0.02)
  with pytest.raises(JaxkdError, match="images of lenet5 after 1 steps"):
    agreement.check_images(cases.find("lenet5"), TINY)


def test_both_programs_are_timed():
  config = BenchConfig(("float32",), ("eager",), 1)
  case = cases.find("lenet5")
  rows = comparison.measure(case, TINY, "all", config)
  timed = [(row.part, row.program, row.at_once) for row in rows]
  eager = TORCH_MODES["eager"]
  assert timed == [
    ("synthesis", OURS, 40),
    ("synthesis", eager, 20),
    ("synthesis", eager, 40),
    ("student", OURS, 20),
    ("student", eager, 20),
    ("student", eager, 20),
    ("end_to_end", OURS, 40),
    ("end_to_end", eager, 20),
  ]
  assert all(ratio(row, rows) > 0 for row in rows)
