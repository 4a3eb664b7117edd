"""The teacher of a run is given or trained, and then defended; both networks
stay in the folder of the run.
"""

from blobs import SPEC, blobs, initial_network, teacher_block
import jax
from network_weights import same, weights
import numpy as np
import pytest
from setups import bare_setup

import jaxkd
from jaxkd import config as c
from jaxkd.config import user_code
from jaxkd.evaluation import accuracy
from jaxkd.pipeline import teacher
from jaxkd.runtime.metrics import MetricsWriter
from jaxkd.types import Networks

DATASET = jaxkd.Dataset(SPEC, *blobs(), *blobs(8, seed=1))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv("JAXKD_CACHE", str(tmp_path / "cache"))


def make_teacher(tmp_path, defense, given=None, folder="run", dataset=DATASET):
  block = teacher_block(defense={"name": defense})
  setup = bare_setup(c.block(teacher=block, seed=0), SPEC, None)._replace(
    networks=Networks(initial_network(), None), teacher=given
  )
  with MetricsWriter(tmp_path / folder) as metrics:
    return teacher.make_teacher(setup, dataset, tmp_path / folder, metrics)


def test_a_defence_leaves_the_undefended_teacher_as_it_is(tmp_path):
  plain = make_teacher(tmp_path, "", folder="plain")
  assert plain.undefended is None
  pair = make_teacher(tmp_path, "nasty")
  same(pair.undefended, plain.published)
  assert not np.array_equal(
    weights(pair.published)[0], weights(pair.undefended)[0]
  )
  for name, network in (
    ("normal", pair.undefended),
    ("teacher", pair.published),
  ):
    loaded, _ = jaxkd.load_classifier(tmp_path / f"run/{name}.safetensors")
    same(loaded, network)
  again = make_teacher(tmp_path, "nasty")
  same(again.published, pair.published)
  same(again.undefended, pair.undefended)


def test_a_defence_of_ones_own_is_named_by_its_path(tmp_path):
  pair = make_teacher(tmp_path, "own_code.defense")
  images, labels = blobs(200, seed=3)
  published, undefended = (
    accuracy.evaluate(network, images, labels)["accuracy"]
    for network in (pair.published, pair.undefended)
  )
  assert published < 0.3 < undefended


def test_another_state_of_ones_own_defence_is_another_network(
  tmp_path, monkeypatch, capsys
):
  make_teacher(tmp_path, "own_code.defense")
  capsys.readouterr()
  make_teacher(tmp_path, "own_code.defense", folder="again")
  assert capsys.readouterr().out.count("reused from") == 2
  monkeypatch.setattr(user_code, "source_files", lambda name: [tmp_path])
  make_teacher(tmp_path, "own_code.defense", folder="edited")
  assert capsys.readouterr().out.count("reused from") == 1


def test_a_given_teacher_is_defended(tmp_path):
  given = initial_network()
  pair = make_teacher(tmp_path, "nasty", given)
  assert pair.undefended is given
  loaded, _ = jaxkd.load_classifier(tmp_path / "run/teacher.safetensors")
  same(pair.published, loaded)


def test_the_owner_holds_out_a_random_share():
  key = jax.random.key(4)
  kept, held_out = teacher.split(DATASET, 0.25, key)
  assert (len(kept.labels), len(held_out.labels)) == (24, 8)
  np.testing.assert_array_equal(
    np.sort(np.concatenate([kept.images, held_out.images]), axis=0),
    np.sort(DATASET.train_images, axis=0),
  )
  kept, held_out = teacher.split(DATASET, 0.0, key)
  np.testing.assert_array_equal(kept.images, DATASET.train_images)
  assert len(held_out.labels) == 0


def test_without_an_image_to_train_on_it_says_what_was_looked_for(tmp_path):
  images, labels = blobs(8, seed=1)
  dataset = jaxkd.Dataset(SPEC, images[:0], labels[:0], images, labels)
  with pytest.raises(jaxkd.JaxkdError, match="no image to train .*train/CLASS"):
    make_teacher(tmp_path, "", dataset=dataset)


def test_a_damaged_copy_of_the_teacher_says_what_to_do(tmp_path):
  plain = make_teacher(tmp_path, "")
  path = tmp_path / "run" / "teacher.safetensors"
  path.write_bytes(path.read_bytes()[:100])
  with pytest.raises(jaxkd.JaxkdError, match="damaged.*Delete that file"):
    make_teacher(tmp_path, "")
  path.unlink()
  same(make_teacher(tmp_path, "").published, plain.published)
