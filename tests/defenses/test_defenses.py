"""Defences: what they contrast with what, where they stop, what they refuse."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
from network_weights import same, weights
import numpy as np
import pytest
from setups import bare_setup

import jaxkd
from jaxkd import config as c, defenses, models
from jaxkd.config import fields as declarations, user_code
from jaxkd.config.teacher_fields import TEACHER
from jaxkd.defenses import nasty
from jaxkd.evaluation import accuracy
from jaxkd.pipeline import teacher as owner
from jaxkd.runtime.metrics import MetricsWriter
from jaxkd.training import target_accuracy, trained_network
from jaxkd.training.supervision import SUPERVISED
from jaxkd.training.target_accuracy import TargetAccuracyCheckpoint
from jaxkd.types import JaxkdError, Networks, Samples

SPEC = jaxkd.DataSpec("blobs", (2,), 3, (0.0, 0.0), (1.0, 1.0))
KEY = jax.random.key(4)
CENTRES = np.array([[2, 0], [-1, 2], [-1, -2]], np.float32)


@pytest.fixture(autouse=True)
def no_cache(tmp_path, monkeypatch):
  monkeypatch.setenv("JAXKD_CACHE", str(tmp_path / "cache"))


def blobs(count=32, seed=0):
  random = np.random.RandomState(seed)
  labels = random.randint(0, 3, count).astype(np.int32)
  points = CENTRES[labels] + random.normal(size=(count, 2))
  return points.astype(np.float32), labels


DATASET = jaxkd.Dataset(SPEC, *blobs(), *blobs(8, seed=1))


def teacher_block(optimizer=None, defense=None, **fields):
  return c.block(
    **declarations.defaults(TEACHER)
    | {
      "model": "mlp",
      "epochs": 3,
      "batch_size": 8,
      "optimizer": optimizer or c.optimizer("sgd", 0.1),
      "defense": c.defense(**(defense or {})),
    }
    | fields
  )


@pytest.fixture
def trainer(tmp_path):
  """`trainer(folder, **recipe)`, on the blobs."""
  with MetricsWriter(tmp_path) as metrics:

    def make(folder="run", **recipe):
      return trained_network.Trainer(
        teacher_block(**recipe),
        SPEC,
        Samples(*map(jnp.asarray, blobs())),
        Samples(*map(jnp.asarray, blobs(16, seed=2))),
        KEY,
        tmp_path / folder,
        metrics,
      )

    yield make


class Recorder:
  """A trainer that trains nothing; its networks are the names of their files.

  Attributes:
    lessons: by that name.
    stages: likewise.
  """

  held_out = Samples(*blobs(4))

  def __init__(self):
    self.lessons, self.stages = {}, {}

  def train(self, name, stage, lesson=SUPERVISED, model=""):
    assert name not in self.lessons
    assert stage not in self.stages.values()
    self.lessons[name], self.stages[name] = lesson, stage
    return name


def normal():
  return models.init("mlp", jax.random.key(9), SPEC)


def block(**fields):
  return c.block(**c.defense(**fields))


def test_without_omega_a_nasty_teacher_is_a_normal_one(trainer):
  plain = trainer("plain").train("nasty", "defense")
  undermined = nasty.defend(trainer("nasty"), normal(), block(omega=0.0))
  same(undermined, plain)


def test_omega_leads_away_from_the_normal_teacher(trainer):
  recipe = {"optimizer": c.optimizer("adam", 0.02), "epochs": 10}
  knows = jaxkd.from_function(lambda centres, x: x @ centres.T, CENTRES)
  images, labels = blobs()

  def distance(omega):
    """KL(nasty || normal)."""
    found = nasty.defend(
      trainer(f"{omega}", **recipe), knows, block(omega=omega)
    )
    return accuracy.evaluate(knows, images, labels, teacher=found)["kl"]

  assert distance(0.1) > 3 * distance(0.0)


def test_the_sequence_is_contrasted_member_by_member():
  recorder = Recorder()
  found = defenses.defend(recorder, "normal", block(name="scm", index=3))
  assert found == "contrast3"
  references = {n: lesson.reference for n, lesson in recorder.lessons.items()}
  assert references == {
    "nasty": "normal",
    "contrast2": "nasty",
    "contrast3": "contrast2",
  }
  for lesson in recorder.lessons.values():
    assert lesson.hyper == {"temperature": 4.0, "omega": 0.04}
    assert lesson.accuracy is None


def test_all_defences_have_the_first_member_in_common():
  """So a table trains the nasty teacher once."""
  found = []
  for name in ("nasty", "scm"):
    recorder = Recorder()
    defenses.defend(recorder, "normal", block(name=name))
    found.append((recorder.lessons["nasty"], recorder.stages["nasty"]))
  assert found[0] == found[1]


def test_early_stop_takes_the_accuracy_of_the_rival(monkeypatch):
  judged = []

  def evaluated(network, images, labels):
    judged.append((network, len(images)))
    return {"accuracy": 0.625}

  monkeypatch.setattr(accuracy, "evaluate", evaluated)
  recorder = Recorder()
  defense = block(name="nasty_early_stop", index=2, target_accuracy=0.0)
  assert defenses.defend(recorder, "normal", defense) == "nasty_early_stop"
  assert judged == [("contrast2", 4)]
  lesson = recorder.lessons["nasty_early_stop"]
  assert lesson.accuracy == 0.625
  assert lesson.reference == "normal"


def test_early_stop_with_a_target_trains_no_rival():
  recorder = Recorder()
  defense = block(name="nasty_early_stop", target_accuracy=0.8)
  defenses.defend(recorder, "normal", defense)
  assert list(recorder.lessons) == ["nasty_early_stop"]
  assert recorder.lessons["nasty_early_stop"].accuracy == 0.8


@pytest.mark.parametrize(
  ("defense", "teacher", "message"),
  [
    ({"name": "nastly"}, {}, "teacher.defense.name 'nastly'.*mean nasty"),
    ({"name": "nasty_early_stop"}, {}, "teacher.validation_fraction=0"),
    ({"name": "nasty"}, {"url": "http://x"}, "teacher.defense.name=nasty"),
    ({"name": "nasty"}, {"replay": "a.jsonl"}, "teacher.defense.name=nasty"),
  ],
)
def test_what_can_not_be_is_refused_by_its_field(defense, teacher, message):
  with pytest.raises(JaxkdError, match=message):
    defenses.check(teacher_block(defense=defense, **teacher))


def test_what_can_be_is_not_refused():
  defenses.check(teacher_block(url="http://x", defense={"index": 0}))
  for name in defenses.names():
    defenses.check(
      teacher_block(defense={"name": name}, validation_fraction=0.1)
    )
  target = {"name": "nasty_early_stop", "target_accuracy": 0.9, "index": 1}
  defenses.check(teacher_block(defense=target, validation_fraction=0.1))


@pytest.fixture
def shown(tmp_path, monkeypatch):
  """Shows epochs with given accuracies; returns which one was kept."""
  networks = [models.init("mlp", jax.random.key(i), SPEC) for i in range(4)]
  path = tmp_path / ".nasty.candidate.safetensors"

  def show(target, accuracies, epochs=None):
    nearest = TargetAccuracyCheckpoint(
      target, path, Samples(*blobs(4)), SPEC, "mlp"
    )
    for epoch in epochs or range(1, len(accuracies) + 1):
      found = {"accuracy": accuracies[epoch - 1]}
      monkeypatch.setattr(
        target_accuracy,
        "evaluate",
        SimpleNamespace(evaluate=lambda *_, found=found: found),
      )
      nearest.look(networks[epoch - 1], epoch)
    kept = weights(nearest.network())[0]
    equal = [np.array_equal(kept, weights(each)[0]) for each in networks]
    return equal.index(True) + 1

  return show


@pytest.mark.parametrize(
  ("target", "accuracies", "kept"),
  [
    (0.7, [0.5, 0.9, 0.71, 0.8], 3),  # from above
    (0.7, [0.69, 0.9], 2),  # one above beats a nearer one below
    (0.7, [0.1, 0.6, 0.3], 2),  # none above: the best
    (0.7, [0.5, 0.8, 0.8], 2),  # of equal ones the earliest
    (0.7, [0.6, 0.6], 1),
    (0.7, [0.8, 0.7, 0.7], 2),  # at the target counts as above
  ],
)
def test_early_stop_takes_the_nearest_from_above(
  shown, target, accuracies, kept
):
  assert shown(target, accuracies) == kept


@pytest.mark.parametrize("seen", [1, 2, 3])
def test_early_stop_outlives_an_interruption(shown, seen):
  accuracies = [0.9, 0.75, 0.75, 0.8]
  shown(0.7, accuracies, range(1, seen + 1))
  # The last checkpoint lay before: epochs are shown again.
  assert shown(0.7, accuracies, range(max(seen - 1, 1), 5)) == 2


@pytest.mark.parametrize(
  ("omega", "message"),
  [
    (1e38, "stage defense is .* lower omega"),
    # The only update blows the weights up, and no later loss shows it.
    (1e30, "nasty gives answers that are not finite .* lower omega"),
  ],
)
def test_an_omega_that_is_too_large_is_named(trainer, omega, message):
  mine = trainer(epochs=1, batch_size=32)
  with pytest.raises(JaxkdError, match=message):
    nasty.defend(mine, normal(), block(omega=omega))
  assert not (mine.workdir / "nasty.safetensors").exists()


def obtain(tmp_path, name, given=None, folder="run", **fields):
  config = c.block(
    teacher=teacher_block(defense={"name": name}, **fields), seed=0
  )
  setup = bare_setup(config, DATASET.spec, None)._replace(
    networks=Networks(normal(), None), teacher=given
  )
  with MetricsWriter(tmp_path / folder) as metrics:
    return owner.make_teacher(setup, DATASET, tmp_path / folder, metrics)


def test_a_defence_leaves_the_normal_teacher_as_it_is(tmp_path):
  plain = obtain(tmp_path, "", folder="plain")
  assert plain.undefended is None
  owned = obtain(tmp_path, "nasty")
  same(owned.undefended, plain.published)
  assert not np.array_equal(
    weights(owned.published)[0], weights(owned.undefended)[0]
  )
  for name, network in (
    ("normal", owned.undefended),
    ("teacher", owned.published),
  ):
    loaded, _ = jaxkd.load_classifier(tmp_path / f"run/{name}.safetensors")
    same(loaded, network)
  again = obtain(tmp_path, "nasty")
  same(again.published, owned.published)
  same(again.undefended, owned.undefended)


def test_a_defence_of_ones_own_is_named_by_its_path(
  tmp_path, monkeypatch, capsys
):
  owned = obtain(tmp_path, "own_code.defense")
  images, labels = blobs(200, seed=3)
  published, undefended = (
    accuracy.evaluate(network, images, labels)["accuracy"]
    for network in (owned.published, owned.undefended)
  )
  assert published < 0.3 < undefended
  capsys.readouterr()
  obtain(tmp_path, "own_code.defense", folder="again")
  assert capsys.readouterr().out.count("reused from") == 2
  # Another state of the user's module is another network.
  monkeypatch.setattr(user_code, "source_files", lambda name: [tmp_path])
  obtain(tmp_path, "own_code.defense", folder="edited")
  assert capsys.readouterr().out.count("reused from") == 1
  block = {"name": "own_code.defense", "omega": 2.0}
  with pytest.raises(JaxkdError, match="mine takes up to 1"):
    defenses.check(teacher_block(defense=block))


@pytest.mark.parametrize(
  ("name", "message"),
  [
    ("own_code.absent", "there is no module own_code.absent"),
    ("own_code.networks", r"defense\.name=.*the module has no check"),
    ("nasti", r"Unknown teacher\.defense\.name 'nasti'. Did you mean nasty"),
  ],
)
def test_what_is_no_defence_is_refused(name, message):
  with pytest.raises(JaxkdError, match=message):
    defenses.check(teacher_block(defense={"name": name}))


def test_a_given_teacher_is_defended(tmp_path):
  given = normal()
  owned = obtain(tmp_path, "nasty", given)
  assert owned.undefended is given
  loaded, _ = jaxkd.load_classifier(tmp_path / "run/teacher.safetensors")
  same(owned.published, loaded)


def test_the_owner_holds_out_a_random_share():
  kept, out = owner.split(DATASET, 0.25, KEY)
  assert (len(kept.labels), len(out.labels)) == (24, 8)
  together = np.concatenate([kept.images, out.images])
  everything = DATASET.train_images
  np.testing.assert_array_equal(
    np.sort(together, axis=0), np.sort(everything, axis=0)
  )
  kept, out = owner.split(DATASET, 0.0, KEY)
  np.testing.assert_array_equal(kept.images, everything)
  assert len(out.labels) == 0
