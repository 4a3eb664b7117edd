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
from jaxkd import config as c, models
from jaxkd.config import user_code
from jaxkd.evaluation import accuracy, teacher_scale
from jaxkd.pipeline import teacher
from jaxkd.runtime.metrics import MetricsWriter
from jaxkd.synthesis import starts
from jaxkd.types import JaxkdError, Networks

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


@pytest.mark.parametrize("scale", [0.1, 10.0])
def test_a_white_box_shows_logits_of_the_standard_deviation(scale):
  network = initial_network()
  shown, measured = visible(network, 2.5)
  other, of_other = visible(models.with_logit_scale(network, scale), 2.5)
  points = np.asarray(blobs(20)[0])
  np.testing.assert_allclose(
    shown(points).logits, other(points).logits, rtol=1e-4, atol=1e-5
  )
  assert of_other.logit_std == pytest.approx(scale * measured.logit_std)
  again = teacher_scale.measure(shown, starts.probe_images(SPEC))
  assert float(again.logit_std) == pytest.approx(2.5, rel=1e-4)


def test_without_a_standard_deviation_the_teacher_stays_as_it_is():
  network = initial_network()
  assert visible(network, 0.0) == (network, None)
  assert visible(network, 2.5, "label") == (network, None)


def test_a_teacher_that_answers_all_images_alike_has_no_scale():
  flat = models.with_logit_scale(initial_network(), 1.0).replace(
    variables=jax.tree.map(np.zeros_like, initial_network().variables)
  )
  with pytest.raises(JaxkdError, match="standard deviation is 0; check that"):
    visible(flat, 2.5)


def visible(network, logit_std, access="white_box"):
  block = {"logit_std": logit_std, "access": access}
  config = c.block(teacher=block, seed=0)
  pair = teacher.TeacherPair(network)
  return teacher.visible_teacher(bare_setup(config, SPEC, None), pair)
