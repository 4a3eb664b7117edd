"""A plan says in words what a run will do, need and cost, before it starts."""

import numpy as np
import pytest
from tiles import BATCH, DATASET, SPEC, TEACHER, config_of

import jaxkd
from jaxkd.pipeline import plan
from jaxkd.pipeline.setup import setup

pytestmark = pytest.mark.usefixtures("dense")


def test_all_parts_of_a_run_are_described():
  config = jaxkd.load_config("configs/cake.py:dataset=cifar10,recipe=published")
  text = plan.describe(config)
  sections = [block.partition("\n")[0] for block in text.split("\n\n")]
  assert sections == [
    "config",
    "networks",
    "synthesis",
    "training",
    "memory",
    "time",
    "queries",
  ]
  assert "teacher: resnet34, 21,282,122 parameters" in text
  assert "64,000,000 image-steps" in text
  assert "none: the teacher is a white box" in text
  assert "1,000 images at once, about 4.55 GiB" in text
  # 64 million image-steps of 2.3 GFLOP are most of it.
  assert "287 PFLOP in convolutions and products: teacher 3%, ima" in text
  assert "or more on v5e-8, a roofline estimate that was not measured" in text


def test_paid_queries_have_a_price():
  fields = {
    "synthesis.mode": "relabel",
    "synthesis.num_rounds": 3,
    "queries.budget": 1000,
    "queries.price_per_1000": 1.5,
  }
  text = plan.queries(setup(config_of(**fields), TEACHER, DATASET))
  assert f"{BATCH * 6:,} images in 3 rounds, budget 1,000" in text
  assert "each shown for its label" in text
  assert "0.18 at 1.5 per 1,000" in text
  assert "end the run early" not in text


def test_a_budget_that_ends_early_is_foreseen():
  made = setup(config_of(**{"synthesis.num_rounds": 5}), TEACHER, DATASET)
  assert "40 images are not paid for" in plan.queries(made)


def test_evaluation_is_paid_out_of_the_same_budget():
  images = np.zeros((BATCH, *SPEC.shape), np.uint8)
  dataset = DATASET._replace(
    test_images=images, test_labels=np.zeros(BATCH, np.int32)
  )
  fields = {
    "teacher.url": "http://127.0.0.1:9",
    "teacher.authorization": "the test",
    "teacher.model_name": "the test",
    "queries.evaluate": True,
    "queries.price_per_1000": 10.0,
  }
  made = setup(config_of(**fields), None, dataset)
  text = plan.queries(made)
  assert "40 images in 2 rounds" in text
  assert "20 test images are shown before" in text
  assert "0.60 at 10 per 1,000" in text
  assert "behind an interface" in plan.networks(made)


def test_a_replay_is_free():
  fields = {"teacher.replay": "a.jsonl", "synthesis.num_rounds": 3}
  made = setup(config_of(**fields), None, DATASET)
  assert plan.queries(made) == "  none: the ledger a.jsonl answers"


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (None, "/l.jsonl can't be read .No such file.*; name the ledger"),
    (b"", "/l.jsonl holds no answer"),
    (b"\x89PNG", "/l.jsonl is not a query ledger"),
  ],
)
def test_a_replay_that_cannot_be_is_refused(tmp_path, content, message):
  path = tmp_path / "l.jsonl"
  if content is not None:
    path.write_bytes(content)
  config = jaxkd.load_config("configs/procedural.py:smoke")
  config.teacher.replay = str(path)
  with pytest.raises(jaxkd.JaxkdError, match=message):
    plan.describe(config)


def test_trainings_are_counted():
  config = jaxkd.load_config("configs/htc.py:smoke")
  config.grid = {"temperature": (1.0, 2.0, 4.0)}
  config.student.seeds, config.student.epochs = 2, 5
  config.teacher.defense.name = "nasty"
  text = plan.training(setup(config))
  assert (
    f"teacher: {config.teacher.epochs} epochs, then the defence nas" in text
  )
  assert "5 epochs, 3 points of the grid, 2 seeds: 6 networks" in text
  made = setup(config_of(), TEACHER, DATASET)
  assert plan.training(made) == (
    "  teacher: as it is\n  student: in the rounds"
  )


@pytest.mark.parametrize(
  ("name", "fields", "bytes_each"),
  [
    ("ideal", {}, 64 + 4 + 4),  # 8-bit pixels, the label and its class
    ("dafl", {"synthesis.weights.activation": 0.0}, 4 * 64 + 4 * 4 + 4),
  ],
)
def test_the_store_holds_bytes_or_floats(name, fields, bytes_each):
  """A store of 2^20 samples is as many MiB as a sample has bytes."""
  made = setup(config_of(name, **fields), TEACHER, DATASET)
  made = made._replace(method=made.method._replace(capacity=2**20))
  assert plan.memory(made) == (
    f"  store {bytes_each} MiB; up to {2 * bytes_each} MiB on disk"
  )


def test_a_checkpoint_that_cannot_be_loaded_is_refused(tmp_path):
  config = jaxkd.load_config("configs/cake.py:dataset=two_moons,smoke")
  config.teacher.checkpoint = str(tmp_path / "cut.safetensors")
  (tmp_path / "cut.safetensors").write_bytes(b"\x10")
  with pytest.raises(
    jaxkd.JaxkdError, match=r"^teacher.checkpoint: .* damaged"
  ):
    plan.describe(config)
