"""Whole runs copy a teacher that only answers, in process or served, and pay
for each image once.
"""

import json

import jax.numpy as jnp
from network_weights import same, weights
import numpy as np
import pytest
from tiles import BATCH, BUDGET, DATASET, SPEC, TEACHER, config_of

import jaxkd
from jaxkd.serve import app, inference, server
from jaxkd.teachers.ledger_cli import read_totals
from jaxkd.training.saved_networks import load


def run(folder, teacher=TEACHER, dataset=DATASET, name="ideal", **fields):
  return jaxkd.distill(
    teacher, config_of(name, **fields), folder, dataset=dataset
  )


pytestmark = pytest.mark.usefixtures("dense")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  folder = tmp_path_factory.mktemp("whole")
  return *run(folder), folder


def test_every_image_is_paid_for_once(whole):
  _, report, folder = whole
  found = report["queries"]
  assert found["spent"] == found["by_class"]["train"] == BUDGET
  assert report["synthesis"]["images"] == BUDGET
  assert read_totals(folder / "ledger.jsonl").spent == BUDGET
  assert found["ended"] is None
  assert "60 spent, budget 60" in (folder / "report.html").read_text()


@pytest.mark.parametrize(
  "stop_after", [1, pytest.param(2, marks=pytest.mark.slow)]
)
def test_a_stopped_run_pays_nothing_twice(
  whole, tmp_path, stopped_at, stop_after
):
  with stopped_at(stop_after):
    run(tmp_path)
  student, report = run(tmp_path)
  same(student, whole[0])
  assert report["queries"]["spent"] == BUDGET


@pytest.mark.slow
def test_relabelling_asks_for_every_view_of_every_pass(tmp_path):
  _, report = run(
    tmp_path,
    **{
      "synthesis.mode": "relabel",
      "synthesis.num_rounds": 3,
      "queries.budget": BATCH * 6,
    },
  )
  assert report["queries"]["spent"] == BATCH * (1 + 2 + 3)


@pytest.mark.slow  # compiles a round of its own
def test_the_listing_of_the_paper_trains_one_step_a_round(tmp_path):
  _, report = run(tmp_path, **{"synthesis.mode": "algorithm1"})
  assert report["queries"]["spent"] == BUDGET


@pytest.mark.slow  # compiles a round of its own
def test_meant_labels_cost_nothing(tmp_path):
  _, report = run(tmp_path, **{"synthesis.labels": "meant"})
  assert report["queries"]["spent"] == 0


@pytest.mark.slow
def test_images_of_another_set_are_asked_about(tmp_path):
  spec = SPEC._replace(shape=(28, 28, 1))

  def top_half(variables, images):
    bright = images.mean((1, 2, 3))[:, None]
    return variables["scale"] * bright * np.arange(4)

  teacher = jaxkd.from_function(top_half, {"scale": np.float32(1)})
  _, report = run(
    tmp_path,
    teacher,
    jaxkd.Dataset.without_images(spec),
    **{"synthesis.source": "real", "other_dataset": "mnist_5k"},
  )
  assert report["queries"]["spent"] == BUDGET


@pytest.mark.slow
def test_a_budget_that_ends_early_leaves_a_student_and_says_so(tmp_path):
  more = {"synthesis.num_rounds": 5}
  _, report = run(tmp_path, **more)
  assert report["queries"]["spent"] == BUDGET
  assert "after 3 rounds" in report["queries"]["ended"]
  assert "after 3 rounds" in (tmp_path / "report.html").read_text()
  raised = {**more, "queries.budget": 2 * BUDGET}
  student, report = run(tmp_path, **raised)
  assert report["queries"]["spent"] == 5 * BATCH
  assert report["queries"]["ended"] is None
  at_once, _ = run(tmp_path / "at_once", **raised)
  same(student, at_once)


def test_where_the_budget_decides_the_rounds_a_raised_one_is_another_run(
  whole,
):
  with pytest.raises(
    jaxkd.JaxkdError, match=r"plan.rounds .*another --workdir"
  ):
    run(whole[2], **{"queries.budget": 2 * BUDGET})


@pytest.mark.slow
def test_epochs_start_afresh_on_the_whole_pool(whole, tmp_path):
  students = {
    "student.epochs": 1,
    "student.seeds": 2,
    "student.validation_fraction": 0.1,
  }
  student, report = run(tmp_path, **students)
  assert report["queries"]["spent"] == BUDGET
  assert report["student"]["seeds"] == 2
  assert 0 <= report["student"]["synthetic_agreement"] <= 1
  difference = [
    np.abs(a - b).max()
    for a, b in zip(weights(student), weights(whole[0]), strict=True)
  ]
  assert max(difference) > 0


@pytest.mark.slow
def test_an_ensemble_costs_no_query(tmp_path):
  fields = {
    "student.epochs": 1,
    "synthesis.ensemble": 2,
    "synthesis.extra_images": 1,
  }
  student, report = run(tmp_path, **fields)
  assert report["queries"]["spent"] == BUDGET
  assert report["seconds"]["student"] > 0
  members = [tmp_path / f"committee{index}.safetensors" for index in (1, 2)]
  all_three = [student, *(load(member, SPEC, "mlp") for member in members)]
  kernels = {weights(network)[-1].tobytes() for network in all_three}
  assert len(kernels) == 3


@pytest.mark.slow
def test_an_ensemble_of_fewer_answers_is_forgotten(tmp_path):
  fields = {
    "student.epochs": 1,
    "synthesis.ensemble": 1,
    "synthesis.num_rounds": 5,
  }
  run(tmp_path / "raised", **fields)
  fields["queries.budget"] = 2 * BUDGET
  student, _ = run(tmp_path / "raised", **fields)
  at_once, _ = run(tmp_path / "at_once", **fields)
  same(student, at_once)


def test_a_correction_is_not_another_run(tmp_path):
  wrong = {"teacher.url": "http://127.0.0.1:9/?key=hush-hush"}
  with pytest.raises(jaxkd.JaxkdError, match="teacher.authorization"):
    run(tmp_path, None, **wrong)
  wrong["teacher.authorization"] = "the test"
  with pytest.raises(jaxkd.JaxkdError, match="behind a question mark"):
    run(tmp_path, None, **wrong)
  assert not (tmp_path / "config.json").exists()


@pytest.mark.slow
def test_marks_make_a_curve(tmp_path):
  images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), np.uint8)
  labels = np.asarray(TEACHER(jnp.asarray(images) / 255).logits.argmax(-1))
  dataset = DATASET._replace(test_images=images, test_labels=labels)
  _, report = run(
    tmp_path, dataset=dataset, **{"queries.eval_at": (1 / 3, 0.75, 1.0)}
  )
  curve = report["queries"]["curve"]
  assert [point["queries"] for point in curve] == [20, 60, 60]
  assert curve[-1]["agreement"] == report["student"]["agreement"]
  assert (tmp_path / "queries.png").stat().st_size > 0


def test_nothing_is_written_for_a_run_that_is_refused(tmp_path):
  """`test_setup.py` has what is refused, and how."""
  with pytest.raises(jaxkd.JaxkdError, match="queries.budget=10"):
    run(tmp_path / "run", **{"queries.budget": 10})
  assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def served():
  pytest.importorskip("uvicorn")
  served = app.build_app(TEACHER, SPEC, inference.ServerConfig(access="label"))
  with server.serving(served) as url:
    yield url, served.state.stats


def service(url):
  return {
    "teacher.url": url,
    "teacher.model_name": "teacher",
    "teacher.authorization": "the test",
    "queries.images_per_request": 7,
  }


def test_the_server_counts_what_the_ledger_counts(
  served, whole, tmp_path, monkeypatch
):
  """And nothing secret is written."""
  monkeypatch.setenv("TILES_TOKEN", "hush-hush")
  address, counts = served
  before = counts.report()["images"]
  fields = service(address) | {"teacher.token_env": "TILES_TOKEN"}
  student, report = run(tmp_path, None, **fields)
  assert json.loads((tmp_path / "report.json").read_text())
  for path in tmp_path.rglob("*"):
    if path.is_file():
      assert b"hush-hush" not in path.read_bytes(), path
  assert counts.report()["images"] - before == BUDGET
  found = report["queries"]
  assert found["spent"] == found["sent"] == BUDGET
  assert found["authorization"] == "the test"
  assert report["teacher"]["model"].startswith("teacher at 127.0.0.1")
  assert report["teacher"]["accuracy"] is None
  for far, near in zip(weights(student), weights(whole[0]), strict=True):
    np.testing.assert_allclose(far, near, atol=1e-4)

  again, report = run(
    tmp_path / "again",
    None,
    **{"teacher.replay": str(tmp_path / "ledger.jsonl")},
  )
  same(again, student)
  assert report["queries"]["spent"] == 0
  assert counts.report()["images"] - before == BUDGET


@pytest.mark.slow
def test_test_images_are_sent_only_if_asked_and_counted_apart(served, tmp_path):
  images = np.random.default_rng(1).integers(0, 256, (9, 8, 8, 1), np.uint8)
  labels = np.asarray(TEACHER(jnp.asarray(images) / 255).logits.argmax(-1))
  dataset = DATASET._replace(test_images=images, test_labels=labels)
  fields = service(served[0]) | {"queries.budget": BUDGET + 9}
  _, silent = run(tmp_path / "silent", None, dataset, **fields)
  assert silent["queries"]["by_class"]["evaluate"] == 0
  assert silent["student"]["agreement"] is None
  fields["queries.evaluate"] = True
  _, asked = run(tmp_path / "asked", None, dataset, **fields)
  assert asked["queries"]["by_class"]["evaluate"] == 9
  assert asked["teacher"]["accuracy"] == 1.0
  assert asked["student"]["agreement"] == asked["student"]["accuracy"]


@pytest.mark.slow  # compiles a round of its own
def test_a_replay_ends_where_its_ledger_does(served, tmp_path):
  fields = service(served[0]) | {"synthesis.num_rounds": 5}
  student, report = run(tmp_path, None, **fields)
  assert "after 3 rounds" in report["queries"]["ended"]
  replay = {"teacher.replay": str(tmp_path / "ledger.jsonl")}
  replay["synthesis.num_rounds"] = 5
  again, report = run(tmp_path / "again", None, **replay)
  assert "after 3 rounds" in report["queries"]["ended"]
  same(again, student)


@pytest.mark.slow  # compiles a round of its own
def test_rounded_probabilities_teach_as_well(tmp_path):
  pytest.importorskip("uvicorn")
  settings = inference.ServerConfig(access="probs", decimals=2)
  with server.serving(app.build_app(TEACHER, SPEC, settings)) as url:
    _, report = run(
      tmp_path, None, **service(url), **{"teacher.access": "probs"}
    )
  assert report["queries"]["answered"] == BUDGET
