"""The cores of the CPU become devices, and these do not wait for ever."""

import os
from pathlib import Path
import subprocess
import sys

import pytest

from jaxkd.runtime import cores

ROOT = Path(__file__).parents[2]
PROGRAM = """
import jax, jax.numpy as jnp
from jaxkd.runtime import cores, devices

assert cores.use_all([32, 64]) == 2 == jax.device_count()
assert cores.use_all([32, 64]) == 0  # JAX has started


def step(weights, images):
  loss = lambda weights: jnp.tanh(images @ weights).mean()
  return weights - jax.lax.pmean(jax.grad(loss)(weights), "data")


step = jax.pmap(step, axis_name="data", in_axes=(None, 0), out_axes=None)
weights = devices.replicate(jnp.ones((256, 256)))
images = devices.place_on(jnp.ones((2, 64, 256)), devices.split())
for _ in range(200):  # dispatched without waiting for one another
  weights = step(weights, images)
assert bool(jnp.isfinite(weights).all())
print("all is well")
"""


def machine(folder, monkeypatch):
  """Makes a machine of four logical CPUs, two of each core."""
  monkeypatch.setattr(cores, "_CGROUPS", folder / "cgroup")
  monkeypatch.setattr(cores, "_CPUS", folder)
  monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
  for cpu, names in enumerate(("0,2", "1,3", "0,2", "1,3")):
    file = folder / f"cpu{cpu}" / "topology" / "thread_siblings_list"
    file.parent.mkdir(parents=True)
    file.write_text(names)
  (folder / "cgroup" / "cpu").mkdir(parents=True)


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    (None, 2),
    ("max 100000", 2),
    ("800000 100000", 2),
    ("150000 100000", 1),
    ("50000 100000", 1),
    ("what?", 2),
  ],
)
def test_cores_are_those_that_this_process_may_use(
  tmp_path, monkeypatch, text, expected
):
  machine(tmp_path, monkeypatch)
  if text:
    (tmp_path / "cgroup" / "cpu.max").write_text(text)
  assert cores.count() == expected
  monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 3})
  assert cores.count() == 1


@pytest.mark.parametrize(("quota", "expected"), [("-1", 2), ("100000", 1)])
def test_shares_of_older_containers(tmp_path, monkeypatch, quota, expected):
  machine(tmp_path, monkeypatch)
  folder = tmp_path / "cgroup" / "cpu"
  (folder / "cpu.cfs_quota_us").write_text(quota)
  (folder / "cpu.cfs_period_us").write_text("100000")
  assert cores.count() == expected


@pytest.mark.parametrize(
  ("cores_", "batches", "sets", "expected"),
  [
    (2, [64, 128], [40], 2),
    (2, [64, 128], [41], 1),
    (2, [31], [], 1),
    (6, [96], [], 6),
    (7, [96, 64], [], 4),
    (4, [], [], 1),
  ],
)
def test_devices_divide_sets_and_batches(cores_, batches, sets, expected):
  assert cores.number_of_devices(cores_, batches, sets) == expected


def test_what_the_user_chose_stays(monkeypatch):
  assert "device_count" in os.environ["XLA_FLAGS"]  # of these tests
  assert cores.use_all([64]) == 0


@pytest.mark.skipif(cores.count() < 2, reason="this machine has one core")
def test_devices_that_wait_for_each_other_do_not_wait_for_ever():
  """With as many threads as devices JAX ends this program after a minute."""
  kept = {
    name: value for name, value in os.environ.items() if name != "XLA_FLAGS"
  } | {"NPROC": "1"}
  done = subprocess.run(
    [sys.executable, "-c", PROGRAM], env=kept, cwd=ROOT, timeout=120,
    capture_output=True, text=True,
  )  # fmt: skip
  assert done.stdout.strip() == "all is well", done.stderr
