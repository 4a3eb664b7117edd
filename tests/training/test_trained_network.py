"""Networks that are trained once: what a cache may reuse, and a resumed
training.
"""

import re
import shutil
import threading
import time

import jax
import jax.numpy as jnp
from network_weights import same, weights
import numpy as np
import pytest

from jaxkd import config as c, models
from jaxkd.runtime import checkpoints, leases
from jaxkd.runtime.metrics import MetricsWriter, read_metrics
from jaxkd.serialization import weights as files
from jaxkd.training import saved_networks, source_digest
from jaxkd.training.objectives import cross_entropy, nasty
from jaxkd.training.supervision import Supervision
from jaxkd.training.trained_network import Trainer
from jaxkd.types import DataSpec, JaxkdError, Samples

SPEC = DataSpec("blobs", (2,), 3, (0.0, 0.0), (1.0, 1.0))
HYPER = {"temperature": 4.0, "omega": 0.1}


def config(**changes):
  fields = {
    "model": "mlp",
    "epochs": 3,
    "batch_size": 8,
    "augment": (),
    "optimizer": c.optimizer("sgd", 0.1),
  }
  return c.block(**fields | changes)


def blobs(count=24, seed=0):
  images = jax.random.normal(jax.random.key(seed), (count, 2))
  labels = (images @ jnp.ones((2, 3)).at[1, 1].set(-1)).argmax(-1)
  return Samples(images, labels.astype(jnp.int32))


@pytest.fixture
def trainer(tmp_path, monkeypatch):
  """`trainer(folder, **fields)`, with a cache of the test's own."""
  monkeypatch.setenv("JAXKD_CACHE", str(tmp_path / "cache"))
  with MetricsWriter(tmp_path) as metrics:

    def make(folder="run", **fields):
      whole = Trainer(
        config(),
        SPEC,
        blobs(),
        blobs(8, seed=1),
        jax.random.key(3),
        tmp_path / folder,
        metrics,
      )
      return whole._replace(**fields)

    yield make


def reference(seed=7):
  return models.init("mlp", jax.random.key(seed), SPEC)


@pytest.fixture
def fits(monkeypatch):
  """Names of the networks that were really trained, which takes no time."""
  found = []

  def fit(self, name, stage, supervision, model, key):
    found.append(name)
    return models.init(model, jax.random.key(len(found)), self.spec)

  monkeypatch.setattr(Trainer, "_fit", fit)
  return found


def test_the_same_training_is_done_once(trainer, fits, capsys):
  first = trainer().train("teacher", "teacher")
  again = trainer("elsewhere").train("teacher", "teacher")
  assert fits == ["teacher"]
  same(first, again)
  assert "teacher: reused from" in capsys.readouterr().out


def test_a_name_in_the_workdir_does_not_change_the_network(trainer, fits):
  trainer().train("teacher", "teacher")
  trainer("elsewhere").train("normal", "teacher")
  assert fits == ["teacher"]


def contrast():
  return Supervision(nasty, HYPER, reference())


# What a network is taught, by whom, and what another one is taught instead.
CHANGES = {
  "hyper": lambda: (contrast(), {}, {"hyper": {**HYPER, "omega": 0.2}}),
  "objective": lambda: (contrast(), {}, {"objective": cross_entropy}),
  "reference": lambda: (contrast(), {}, {"reference": reference(8)}),
  "no reference": lambda: (contrast(), {}, {"reference": None}),
  "targets": lambda: (
    Supervision(targets=jnp.zeros((24, 3))), {}, {"targets": jnp.ones((24, 3))},
  ),
  "accuracy": lambda: (contrast(), {}, {"accuracy": 0.5}),
  "images": lambda: (Supervision(), {"samples": blobs(seed=5)}, {}),
  "labels": lambda: (
    Supervision(), {"samples": blobs()._replace(labels=jnp.zeros(24, int))}, {},
  ),
  "held out": lambda: (
    Supervision(accuracy=0.5), {"held_out": blobs(8, seed=6)}, {},
  ),
  "key": lambda: (Supervision(), {"key": jax.random.key(4)}, {}),
  "spec": lambda: (Supervision(), {"spec": SPEC._replace(std=(2.0, 2.0))}, {}),
  "model": lambda: (Supervision(), {"config": config(model="ideal_mlp")}, {}),
  "epochs": lambda: (Supervision(), {"config": config(epochs=4)}, {}),
  "batch size": lambda: (Supervision(), {"config": config(batch_size=4)}, {}),
  "augment": lambda: (Supervision(), {"config": config(augment=("flip",))}, {}),
  "optimiser": lambda: (
    Supervision(), {"config": config(optimizer=c.optimizer("sgd", 0.2))}, {},
  ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_another_training_is_another_network(trainer, fits, change):
  supervision, fields, changes = CHANGES[change]()
  trainer().train("nasty", "defense", supervision)
  other = trainer("elsewhere", **fields)
  other.train("nasty", "defense", supervision._replace(**changes))
  assert len(fits) == 2


def test_another_stage_or_model_is_another_network(trainer, fits):
  trainer().train("a", "teacher")
  trainer().train("b", "member_2")
  trainer().train("c", "member_3")
  trainer().train("d", "member_3", model="ideal_mlp")
  assert fits == ["a", "b", "c", "d"]


def test_what_no_weight_depends_on_is_left_out(trainer, fits):
  trainer().train("teacher", "teacher")
  trainer("elsewhere", held_out=blobs(4, seed=9)).train("teacher", "teacher")
  words = Supervision(hint="something else")
  trainer("third").train("teacher", "teacher", words)
  assert len(fits) == 1


OBJECTIVE = """
def mine(hyper, outputs, samples, context):
  return {factor} * outputs.logits.sum(-1)
"""


def objective_in(path, factor):
  path.write_text(OBJECTIVE.format(factor=factor))
  found = {}
  exec(compile(path.read_text(), str(path), "exec"), found)
  return Supervision(found["mine"])


def test_another_objective_of_the_same_name_is_another_network(
  trainer, fits, tmp_path
):
  path = tmp_path / "my_objectives.py"
  trainer("a").train("teacher", "teacher", objective_in(path, 1))
  trainer("b").train("teacher", "teacher", objective_in(path, 1))
  assert len(fits) == 1
  trainer("c").train("teacher", "teacher", objective_in(path, 2))
  assert len(fits) == 2


@pytest.mark.parametrize("edited", ["losses/priors.py", "data/augmentation.py"])
def test_an_edit_of_the_package_is_another_network(
  trainer, fits, tmp_path, monkeypatch, edited
):
  package = tmp_path / "jaxkd"
  for source in source_digest.SOURCES:
    original = source_digest.PACKAGE / source
    copy = shutil.copytree if original.is_dir() else shutil.copy
    (package / source).parent.mkdir(parents=True, exist_ok=True)
    copy(original, package / source)
  trainer("a").train("teacher", "teacher")
  monkeypatch.setattr(source_digest, "PACKAGE", package)
  source_digest.package_digest.cache_clear()
  trainer("b").train("teacher", "teacher")
  assert len(fits) == 1
  with (package / edited).open("a") as file:
    file.write("# edited")
  source_digest.package_digest.cache_clear()
  trainer("c").train("teacher", "teacher")
  assert len(fits) == 2
  source_digest.package_digest.cache_clear()


def test_a_cache_that_can_not_be_written_costs_a_line(
  trainer, fits, tmp_path, capsys
):
  (tmp_path / "cache").write_text("a file where the folder should be")
  first = trainer().train("teacher", "teacher")
  (line,) = capsys.readouterr().out.splitlines()
  assert re.fullmatch(r"Nothing is cached\. Cannot write .*\.", line)
  same(trainer().train("teacher", "teacher"), first)
  assert len(fits) == 1


def test_a_cache_that_can_not_be_read_costs_a_line(
  trainer, fits, tmp_path, capsys
):
  trainer("a").train("teacher", "teacher")
  (kept,) = (tmp_path / "cache" / "teachers").glob("*.safetensors")
  kept.write_bytes(b"damaged")
  capsys.readouterr()
  trainer("b").train("teacher", "teacher")
  (line,) = capsys.readouterr().out.splitlines()
  assert re.fullmatch(r"The cache is not used: .* is damaged .*\.", line)
  assert len(fits) == 2
  trainer("c").train("teacher", "teacher")  # it was written anew
  assert len(fits) == 2


def test_a_network_that_another_run_trains_is_waited_for(
  trainer, fits, monkeypatch, capsys
):
  fit = Trainer._fit

  def train_elsewhere_meanwhile(self, *arguments):
    monkeypatch.setattr(Trainer, "_fit", fit)
    other = threading.Thread(target=trainer("b").train, args=("teacher",) * 2)
    other.start()
    while "another process trains it" not in capsys.readouterr().out:
      time.sleep(0.01)
    waiting.append(other)
    return fit(self, *arguments)

  waiting = []
  monkeypatch.setattr(leases, "POLL_S", 0.01)
  monkeypatch.setattr(Trainer, "_fit", train_elsewhere_meanwhile)
  trainer("a").train("teacher", "teacher")
  waiting[0].join()
  assert len(fits) == 1


def test_the_workdirs_copy_wins(trainer, fits):
  trainer().train("teacher", "teacher")
  other = reference(5)
  files.save(trainer().workdir / "teacher.safetensors", other, SPEC, "mlp")
  same(trainer().train("teacher", "teacher"), other)
  assert len(fits) == 1


def test_a_network_of_other_inputs_is_refused(tmp_path):
  path = tmp_path / "teacher.safetensors"
  files.save(path, reference(), SPEC, "mlp")
  with pytest.raises(JaxkdError, match=r"\(2,\) and 3 classes; it has .* 4"):
    saved_networks.load(path, SPEC._replace(name="it", num_classes=4), "mlp")


@pytest.mark.parametrize(
  "supervision",
  [contrast, lambda: contrast()._replace(accuracy=0.5)],
  ids=["last", "nearest"],
)
def test_a_stopped_training_goes_on_to_the_same_bits(
  trainer, tmp_path, monkeypatch, supervision
):
  supervision = supervision()
  whole = trainer("whole").train("nasty", "defense", supervision)
  monkeypatch.setenv("JAXKD_CACHE", str(tmp_path / "other_cache"))
  with MetricsWriter(tmp_path / "parts") as metrics:
    parts = trainer("parts", metrics=metrics)
    checkpoints._stop.set()
    try:
      with pytest.raises(checkpoints.Preempted):
        parts.train("nasty", "defense", supervision)
    finally:
      checkpoints._stop.clear()
    assert not (tmp_path / "parts/nasty.safetensors").exists()
    same(parts.train("nasty", "defense", supervision), whole)
  steps = [record["step"] for record in read_metrics(tmp_path / "parts")]
  assert steps == [1, 2, 3]


def test_answers_do_as_well_as_the_network_that_gave_them(trainer):
  """Without augmentation each view is the image itself."""
  other = reference()
  near = trainer("near").train(
    "member", "member", Supervision(nasty, HYPER, reference=other)
  )
  targets = jax.nn.log_softmax(other(blobs().images).logits)
  far = trainer("far").train(
    "member", "member", Supervision(nasty, HYPER, targets=targets)
  )
  for a, b in zip(weights(near), weights(far), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5)
