"""All of a run that is known before it starts is worked out once, without
images, and never changes.
"""

import itertools

from data_archives import write_idx
import jax
import numpy as np
from PIL import Image
import pytest
from tiles import BATCH, BUDGET, DATASET, SPEC, TEACHER, config_of

import jaxkd
from jaxkd import data
from jaxkd.data import image_arrays
from jaxkd.data.image_arrays import ImageArray
from jaxkd.pipeline.setup import setup
from jaxkd.runtime.keys import Purpose, Stream
from jaxkd.serialization import weights
from jaxkd.types import JaxkdError

pytestmark = pytest.mark.usefixtures("dense")


def toy(**fields):
  config = jaxkd.load_config("configs/cake.py:dataset=two_moons,smoke")
  config.update_from_flattened_dict(fields)
  return config


def test_the_config_is_kept_as_asked_and_as_resolved():
  config = toy()
  before = config.to_dict()
  made = setup(config)
  assert config.to_dict() == made.user_config.to_dict() == before
  assert made.user_config.synthesis.sets_per_round == 0
  assert made.config.synthesis.sets_per_round > 0


def test_neither_is_written_to_again():
  config = toy()
  made = setup(config)
  for frozen in (made.user_config, made.config):
    with pytest.raises(AttributeError, match="immutable"):
      frozen.student.epochs = 7
  epochs = made.user_config.student.epochs
  config.student.epochs = epochs + 7
  assert made.user_config.student.epochs == made.config.student.epochs == epochs


def test_no_image_is_loaded_and_no_network_initialised(monkeypatch):
  """CIFAR-10 isn't even on this machine."""
  monkeypatch.setattr(data, "load", None)
  monkeypatch.setattr(data, "find", None)
  networks = "teacher=lenet5,student=lenet5_half"
  made = setup(jaxkd.load_config(f"configs/cake.py:dataset=cifar10,{networks}"))
  assert (made.data.num_train, made.data.num_test) == (50_000, 10_000)
  assert made.spec.shape == (32, 32, 3)
  networks = made.networks.teacher, made.networks.student
  leaves = jax.tree.leaves([network.variables for network in networks])
  assert leaves
  assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves)
  assert all(
    isinstance(leaf, jax.ShapeDtypeStruct)
    for leaf in jax.tree.leaves(made.inputs)
  )


@pytest.mark.parametrize("kind", ["npz", "floats", "idx", "folder"])
def test_of_a_users_data_headers_and_labels_are_read(
  tmp_path, monkeypatch, kind
):
  """The summary is that of the loaded data, and no pixels are decoded."""
  pixels = np.random.default_rng(0).integers(0, 256, (10, 8, 8), np.uint8)
  labels = np.arange(10)
  path = tmp_path / "digits"
  path.mkdir()
  if kind == "idx":
    write_idx(path / "t10k-images-idx3-ubyte.gz", pixels)
    write_idx(path / "t10k-labels-idx1-ubyte", labels)
  elif kind == "folder":
    for i, label in enumerate(labels):
      (path / str(label)).mkdir(exist_ok=True)
      Image.fromarray(pixels[i]).save(path / str(label) / f"{i}.png")
  else:
    path /= "digits.npz"
    images = pixels if kind == "npz" else pixels / 255
    np.savez(path, test_images=images, test_labels=labels)
  loaded = data.find(str(path))

  def fail(*args, **kwargs):
    raise AssertionError("pixels are read")

  monkeypatch.setattr(ImageArray, "read", fail)
  monkeypatch.setattr(image_arrays, "_load_npz_array", fail)
  monkeypatch.setattr(Image.Image, "load", fail)
  config = jaxkd.load_config("configs/cake.py:smoke")
  config.dataset, config.image_size = str(path), 0
  config.teacher.model = config.student.model = "mlp"
  made = setup(config)
  assert made.data == data.summary_of(loaded)
  assert made.spec.shape == (8, 8, 1)
  assert made.config.dataset == "user:digits"


def test_costs_are_those_of_every_round():
  made = setup(config_of(), TEACHER, DATASET)
  assert len(made.costs) == made.method.rounds == BUDGET // BATCH
  assert [cost.queries for cost in made.costs] == [BATCH] * 3
  assert [cost.stored for cost in made.costs] == [BATCH] * 3


def test_test_images_are_reserved_out_of_the_budget():
  images = np.zeros((BATCH, *SPEC.shape), np.uint8)
  labels = np.zeros(BATCH, np.int32)
  dataset = DATASET._replace(test_images=images, test_labels=labels)
  fields = {
    "teacher.url": "http://127.0.0.1:9",
    "teacher.authorization": "the test",
    "teacher.model_name": "the test",
  }
  made = setup(config_of(**fields), dataset=dataset)
  assert (made.num_evaluation_queries, len(made.costs)) == (0, 3)
  assert made.networks.teacher is None
  made = setup(config_of(**fields, **{"queries.evaluate": True}), None, dataset)
  assert (made.num_evaluation_queries, len(made.costs)) == (BATCH, 2)


def test_a_workdir_is_compared_with_config_plan_and_teacher():
  made = setup(config_of(), TEACHER, DATASET)
  record = made.record()
  assert record["config"] == made.user_config.to_dict()
  digest = weights.digest(TEACHER)
  assert record["plan"] == {"rounds": 3, "capacity": BUDGET, "teacher": digest}
  assert made.config.teacher.checkpoint.endswith(digest)
  other = TEACHER.replace(variables={"scale": np.float32(21)})
  assert setup(config_of(), other, DATASET).teacher_digest != digest


def test_every_path_of_the_key_tree_is_another_key():
  made, other = setup(toy()), setup(toy(seed=1))
  paths = [
    (stream, *path)
    for stream, path in itertools.product(
      Stream, [(), (Purpose.INITIAL,), (Purpose.ROUNDS, 0), (Purpose.ROUNDS, 1)]
    )
  ]
  keys = {
    tuple(jax.random.key_data(each.key(*path)).tolist())
    for each in (made, other)
    for path in paths
  }
  assert len(keys) == 2 * len(paths)


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"queries.budget": 0}, "queries.budget=0"),
    ({"queries.budget": 10}, "does not pay for one round"),
    (
      {"queries.budget": 10, "synthesis.num_rounds": 2},
      "does not pay for one round, which asks about 20",
    ),
    ({"teacher.access": "labels"}, "teacher.access"),
    ({"teacher.access": "top_k", "teacher.top_k": 4}, "teacher.top_k=4"),
    ({"student.seeds": 2}, "student.seeds=2"),
    ({"synthesis.ensemble": 2}, "synthesis.ensemble"),
    ({"synthesis.extra_images": 1}, "synthesis.extra_images=1"),
    (
      {"synthesis.mode": "relabel", "synthesis.ensemble": 1},
      "synthesis.ensemble=1",
    ),
    ({"synthesis.mode": "relabel", "student.epochs": 1}, "student.epochs=1"),
    ({"queries.eval_at": (20,)}, "queries.eval_at"),
    ({"queries.price_per_1000": -1.0}, "queries.price_per_1000"),
    ({"synthesis.num_rounds": -3}, "num_rounds=-3"),
    ({"hyper.beta": 0.5}, "hyper has beta"),
    (
      {"synthesis.source": "real", "synthesis.labels": "meant"},
      "labels=meant",
    ),
  ],
)
def test_what_a_run_would_refuse_is_refused_before_it_starts(fields, message):
  with pytest.raises(JaxkdError, match=message):
    setup(config_of(**fields), TEACHER, DATASET)
