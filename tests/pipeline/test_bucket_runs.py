"""Whole runs on a bucket, that of moto's server, which speaks S3."""

import logging
import signal
import time

from network_weights import same
from process_groups import ROOT, WAIT_S, free_port, start, statuses
import pytest

import jaxkd
from jaxkd.export.__main__ import main as export
from jaxkd.runtime import buckets
from jaxkd.runtime.metrics import read_metrics

pytestmark = pytest.mark.slow
CAKE = "cake.py:dataset=two_moons,smoke"
QUICK = str(ROOT / "tests" / "fixtures" / "quick_leases.py")
EPOCHS = 100


@pytest.fixture(scope="module")
def bucket():
  server = pytest.importorskip("moto.server", reason="needs moto[server]")
  s3fs = pytest.importorskip("s3fs", reason="needs the extra buckets")
  logging.getLogger("werkzeug").setLevel(logging.ERROR)
  port = free_port()
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    patch.setenv("AWS_ACCESS_KEY_ID", "any")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    running = server.ThreadedMotoServer(port=port, verbose=False)
    running.start()
    s3fs.S3FileSystem().mkdir("runs")
    yield "s3://runs"
    running.stop()


@pytest.fixture
def run(tmp_path):
  """Starts a command with a log; its workdir is on the bucket."""

  def run(workdir, log, *flags, config=CAKE):
    command = [QUICK, f"--config=configs/{config}", f"--workdir={workdir}"]
    return start([*command, *flags], tmp_path / log)

  return run


def fetched(url, path):
  """A run on the bucket, as files in a folder of this test."""
  with buckets.opened(url) as folder:
    buckets.fetch(folder)
    return folder.rename(path)


def wait_for(url, process, log, stage, step):
  """Until a checkpoint of a stage is on the bucket."""
  deadline = time.monotonic() + WAIT_S
  with buckets.opened(url) as folder:
    copy = buckets.find(folder)
    while time.monotonic() < deadline:
      steps = copy.steps(folder / "checkpoints" / stage)
      if any(int(each) >= step for each in steps):
        return
      assert process.poll() is None, log.read_text()
      time.sleep(0.2)
  raise AssertionError(f"{stage} {step} was not reached")


def student_of(folder):
  return jaxkd.load_classifier(folder / "student.safetensors")[0]


def test_a_run_is_killed_and_another_process_takes_it_over(
  bucket, run, tmp_path
):
  url, flag = f"{bucket}/killed", f"--config.student.epochs={EPOCHS}"
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("SECONDS_PER_STEP", "2")  # until the second one has started
    first = run(url, "first", flag)
  wait_for(url, first, tmp_path / "first", "student", 3)
  assert statuses([run(url, "second", flag)]) == [2]
  assert "killed is in use by another" in (tmp_path / "second").read_text()
  first.send_signal(signal.SIGKILL)
  assert statuses([first]) == [-signal.SIGKILL]
  third = run(url, "third", flag)
  assert statuses([third]) == [0], (tmp_path / "third").read_text()
  folder = fetched(url, tmp_path / "run")
  steps = [(r["stage"], r["step"]) for r in read_metrics(folder)]
  epochs = [step for stage, step in steps if stage == "student"]
  assert epochs == list(range(1, EPOCHS + 1))
  assert len(steps) == len(set(steps))
  assert statuses([run(tmp_path / "disk", "alone", flag)]) == [0]
  alone = student_of(tmp_path / "disk")
  same(student_of(folder), alone)
  export(["student", f"--workdir={url}", f"--out={tmp_path / 'bundle'}"])
  same(student_of(tmp_path / "bundle"), alone)


def test_two_processes_share_a_table_out(bucket, run, tmp_path):
  url = f"{bucket}/table"
  config = "repeats.py:of=cake,dataset=two_moons,smoke,repeats=2"
  both = [run(url, f"log{index}", config=config) for index in range(2)]
  logs = [tmp_path / f"log{index}" for index in range(2)]
  assert statuses(both) == [0, 0], [log.read_text() for log in logs]
  reports = "".join(log.read_text() for log in logs)
  assert reports.count(f"report      {url}/cells/seed_") == 2
  table = fetched(url, tmp_path / "table")
  assert len(list(table.glob("cells/*/report.json"))) == 2
  assert (table / "table.md").read_text().count("±") >= 1


@pytest.mark.parametrize("stop", [None, signal.SIGKILL])
def test_hosts_without_a_shared_disk(bucket, run, tmp_path, stop):
  """Two processes end in the student of one that has two devices."""
  url = f"{bucket}/hosts{stop or ''}"
  changes = {"synthesis.sets_per_round": 2, "student.epochs": EPOCHS}

  def pair(name):
    port = free_port()
    return [
      run(
        url,
        f"{name}{index}",
        *[f"--config.{field}={value}" for field, value in changes.items()],
        "--distributed",
        "--num_processes=2",
        f"--coordinator=127.0.0.1:{port}",
        f"--process_id={index}",
        "--heartbeat_s=10",
      )
      for index in range(2)
    ]

  if stop:
    processes = pair("killed")
    wait_for(url, processes[0], tmp_path / "killed0", "student", 3)
    processes[0].send_signal(stop)
    assert statuses(processes)[0] == -stop
  ended = statuses(pair("log"))
  logs = [(tmp_path / f"log{index}").read_text() for index in range(2)]
  assert ended == [0, 0], logs
  folder = fetched(url, tmp_path / "run")
  config = jaxkd.load_config(f"{ROOT}/configs/{CAKE}")
  config.update_from_flattened_dict(changes)
  same(student_of(folder), jaxkd.distill(None, config, tmp_path / "disk")[0])
