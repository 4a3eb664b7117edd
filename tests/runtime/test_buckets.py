"""Workdirs on a bucket: what is uploaded, in which order, and who may write.

The bucket is fsspec's in-memory filesystem.
"""

import json
import uuid

import fsspec
import jax.numpy as jnp
import pytest

from jaxkd.runtime import (
  bucket_leases,
  buckets,
  files,
  finished_run,
  leases,
  run_folder,
)
from jaxkd.runtime.bucket_leases import BucketLease
from jaxkd.runtime.checkpoints import Checkpoints
from jaxkd.runtime.metrics import MetricsWriter, read_metrics
from jaxkd.types import JaxkdError

RECORD = {"config": {"method": "cake"}}


@pytest.fixture
def url():
  return f"memory://{uuid.uuid4().hex}/run"


@pytest.fixture
def quick(monkeypatch):
  monkeypatch.setattr(bucket_leases, "RENEW_S", 0.02)
  monkeypatch.setattr(leases, "POLL_S", 0.02)


def lock(workdir):
  return run_folder.lock_workdir(workdir, RECORD, name="run")


def on_bucket(url):
  fs, root = fsspec.url_to_fs(url)
  names = {name[len(root) + 1 :]: name for name in fs.find(root)}
  return {
    name: fs.cat_file(path)
    for name, path in names.items()
    if buckets.LEASES not in name
  }


def expire(monkeypatch):
  monkeypatch.setattr(bucket_leases, "EXPIRES_S", 0.0)


def test_a_run_goes_on_from_what_is_on_the_bucket(url):
  with lock(url) as folder, MetricsWriter(folder) as metrics:
    metrics.write("student", 1, loss=0.5)
    files.write_text(folder / "checkpoints" / "note", "seven")
    metrics.write("student", 2, loss=0.25)
  assert not folder.exists()
  assert set(on_bucket(url)) == {
    "config.json",
    "metrics.jsonl",
    "checkpoints/note",
  }
  with lock(url) as other:
    assert (other / "checkpoints" / "note").read_text() == "seven"
    assert [record["loss"] for record in read_metrics(other)] == [0.5, 0.25]


def test_nothing_on_the_bucket_is_newer_than_the_metrics(url):
  with lock(url) as folder, MetricsWriter(folder) as metrics:
    metrics.write("teacher", 1, loss=0.5)
    assert "metrics.jsonl" not in on_bucket(url)
    files.write_text(folder / "teacher.safetensors", "weights")
    assert b"teacher" in on_bucket(url)["metrics.jsonl"]
    metrics.write("synthesis", 1, loss=0.5)
    with Checkpoints(folder / "checkpoints" / "synthesis") as checkpoints:
      checkpoints.maybe_save(1, {"x": jnp.arange(3.0)}, last=True)
    assert b"synthesis" in on_bucket(url)["metrics.jsonl"]


def test_checkpoints_are_whole_objects_and_the_last_two_stay(url):
  tree = {"x": jnp.arange(3.0)}
  with lock(url) as folder:
    stage = folder / "checkpoints" / "student"
    with Checkpoints(stage) as checkpoints:
      for step in (1, 2, 3):
        scaled = {"x": step * tree["x"]}
        checkpoints.maybe_save(step, scaled, last=True)
  names = {name for name in on_bucket(url) if name.startswith("checkpoints")}
  assert names == {f"checkpoints/student/{step}.tar" for step in (2, 3)}
  with (
    lock(url) as folder,
    Checkpoints(folder / "checkpoints" / "student") as checkpoints,
  ):
    assert checkpoints.restore(tree)["x"].tolist() == [0.0, 3.0, 6.0]
    buckets.delete(folder / "checkpoints", "student*/*")
  assert not any(name.endswith(".tar") for name in on_bucket(url))


def test_messages_name_the_bucket(url):
  with lock(url):
    pass
  other = {"config": {"method": "dafl"}}
  with lock(url) as folder:
    files.write_text(folder / "teacher.safetensors", "weights")
    assert buckets.shown(folder / "a") == f"{url}/a"
  with (
    pytest.raises(JaxkdError, match=f"^{url} holds a run with another config"),
    run_folder.lock_workdir(url, other, name="run"),
  ):
    pass
  with (
    pytest.raises(JaxkdError, match=f"{url}/report.json does not exist"),
    buckets.opened(url) as folder,
  ):
    finished_run.read_report(folder)


@pytest.mark.parametrize("address", ["nowhere://bucket/run", "memory:///"])
def test_an_address_without_a_store_is_refused(address):
  with pytest.raises(JaxkdError, match="can't be"), lock(address):
    pass


def test_only_workdirs_are_on_buckets():
  with pytest.raises(JaxkdError, match="only --workdir may be on a bucket"):
    files.user_path("s3://bucket/teacher.safetensors")


def test_a_second_process_is_refused_while_the_first_one_lives(url, quick):
  with lock(url), pytest.raises(leases.InUse, match="in use"), lock(url):
    pass
  with lock(url):  # it was released
    pass


def test_the_lease_of_a_dead_process_is_taken_over(url, quick, monkeypatch):
  with buckets.opened(url) as folder:
    copy = buckets.find(folder)
    dead = BucketLease(copy, folder)
    dead._ended.set()  # as after SIGKILL: nothing renews it, or gives it up
    dead._thread.join()
    assert not bucket_leases.is_free(copy, folder)
    monkeypatch.setattr(bucket_leases, "EXPIRES_S", 0.3)
    with BucketLease(copy, folder) as alive:
      alive.check()
      dead._ended.clear()
      monkeypatch.setattr(bucket_leases, "EXPIRES_S", 0.0)
      with pytest.raises(JaxkdError, match="has taken .* over"):
        dead.check()
    assert bucket_leases.is_free(copy, folder)


def test_a_process_without_its_lease_uploads_nothing(url, quick, monkeypatch):
  with (
    pytest.raises(JaxkdError, match="has taken .* over"),
    lock(url) as folder,
  ):
    copy = buckets.find(folder)
    name = f"{copy.name(folder)}/{buckets.LEASES}/2"
    copy.fs.pipe_file(name, json.dumps({"owner": "another"}).encode())
    expire(monkeypatch)
    files.write_text(folder / "student.safetensors", "weights")
  assert "student.safetensors" not in on_bucket(url)


def test_the_faster_of_two_processes_gets_a_lease(url, monkeypatch):
  nothing = bucket_leases.Seen(0, {}, 0.0)
  monkeypatch.setattr(BucketLease, "_wait", lambda lease: nothing)
  with buckets.opened(url) as folder:
    copy = buckets.find(folder)
    with BucketLease(copy, folder), pytest.raises(leases.InUse):
      BucketLease(copy, folder)


def test_a_lease_that_was_renewed_meanwhile_is_left(url, monkeypatch):
  with buckets.opened(url) as folder:
    copy = buckets.find(folder)
    with BucketLease(copy, folder) as lease:
      name = f"{copy.name(folder)}/{buckets.LEASES}"
      old = bucket_leases.look(copy.fs, name, url)
      monkeypatch.setattr(BucketLease, "_wait", lambda lease: old)
      lease._renew()
      with pytest.raises(leases.InUse):
        BucketLease(copy, folder)
      lease.check()


def test_cells_of_a_shared_table_have_leases_of_their_own(url, quick):
  with (
    buckets.opened(url) as table,
    run_folder.lock_workdir(table, RECORD, name="table", shared=True),
    run_folder.lock_workdir(url, RECORD, name="table", shared=True) as other,
  ):
    with lock(table / "cells" / "a") as cell:
      assert cell == table / "cells" / "a"
      assert not run_folder.is_free(other / "cells" / "a")
      files.write_text(cell / "report.json", "{}")
    assert run_folder.is_free(other / "cells" / "a")
    buckets.fetch(other / "cells")
    assert (other / "cells" / "a" / "report.json").read_text() == "{}"
