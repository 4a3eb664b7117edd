"""Checkpoints of a stage, and clean stops."""

import errno
import resource
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.errors import JaxkdError
from jaxkd.runtime import checkpoints as checkpointing
from jaxkd.runtime.checkpoints import Checkpoints


@pytest.fixture
def stop():
  """Sets the stop flag, and clears it afterwards."""
  yield checkpointing._stop.set
  checkpointing._stop.clear()


def tree(value):
  return {
    "epoch": value,
    "x": jnp.full(3, float(value)),
    "key": jax.random.key(value),
  }


def test_restore_without_a_checkpoint_is_none(tmp_path):
  with Checkpoints(tmp_path) as checkpoints:
    assert checkpoints.restore(tree(0)) is None


def test_the_last_step_is_restored_with_its_types(tmp_path):
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.maybe_save(1, tree(1), last=True)
    checkpoints.maybe_save(2, tree(2), last=True)
  with Checkpoints(tmp_path) as checkpoints:
    saved = checkpoints.restore(tree(0))
  assert saved["epoch"] == 2
  np.testing.assert_array_equal(saved["x"], [2, 2, 2])
  assert jnp.issubdtype(saved["key"].dtype, jax.dtypes.prng_key)


def test_nothing_is_saved_before_it_is_due(tmp_path):
  with Checkpoints(tmp_path, every_s=1000) as checkpoints:
    checkpoints.maybe_save(1, tree(1))
    assert checkpoints.restore(tree(0)) is None


def test_a_stop_saves_before_it_raises(tmp_path, stop):
  with Checkpoints(tmp_path, every_s=1000) as checkpoints:
    stop()
    with pytest.raises(checkpointing.Preempted):
      checkpoints.maybe_save(4, tree(4))
    assert checkpoints.restore(tree(0))["epoch"] == 4


def damage(folder, step):
  """Cuts every file of a step in half."""
  for path in (folder / str(step)).rglob("*"):
    if path.is_file():
      path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(folder, step):
  """Removes what is in the folder of a step."""
  shutil.rmtree(folder / str(step))
  (folder / str(step)).mkdir()


@pytest.mark.parametrize("damage", [damage, empty])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
  tmp_path, capsys, damage
):
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.maybe_save(1, tree(1), last=True)
    checkpoints.maybe_save(2, tree(2), last=True)
  damage(tmp_path, 2)
  with Checkpoints(tmp_path) as checkpoints:
    assert checkpoints.restore(tree(0))["epoch"] == 1
    said = capsys.readouterr().out
    assert f"{tmp_path / '2'} is damaged; the run goes on from the one" in said
    checkpoints.maybe_save(2, tree(22), last=True)
  with Checkpoints(tmp_path) as checkpoints:
    assert checkpoints.restore(tree(0))["epoch"] == 22


def test_without_a_good_checkpoint_the_stage_is_named(tmp_path):
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.maybe_save(1, tree(1), last=True)
    checkpoints.maybe_save(2, tree(2), last=True)
  for step in (1, 2):
    damage(tmp_path, step)
  checkpoints = Checkpoints(tmp_path)
  with pytest.raises(JaxkdError, match=f"Delete {tmp_path} to run"):
    checkpoints.restore(tree(0))
  checkpoints.close()
  assert (tmp_path / "1").exists()


def test_a_disk_that_can_not_be_read_deletes_nothing(tmp_path, monkeypatch):
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.maybe_save(1, tree(1), last=True)
    checkpoints.maybe_save(2, tree(2), last=True)

    def fail(*arguments, **keywords):
      raise ValueError("x") from OSError(errno.ESTALE, "stale")

    monkeypatch.setattr(checkpoints._manager, "restore", fail)
    with pytest.raises(JaxkdError, match="Cannot read .*Stale file handle"):
      checkpoints.restore(tree(0))
  assert (tmp_path / "2").exists()


@pytest.mark.parametrize(
  "error",
  [OSError(errno.ENOSPC, "x"), ValueError("write: No space left on device")],
)
def test_a_full_disk_is_a_line(tmp_path, monkeypatch, error):
  with Checkpoints(tmp_path) as checkpoints:
    with monkeypatch.context() as patch:

      def fail(*arguments, **keywords):
        raise error

      patch.setattr(checkpoints._manager, "save", fail)
      with pytest.raises(JaxkdError, match="No space left.*same command"):
        checkpoints.maybe_save(1, tree(1), last=True)
    checkpoints.maybe_save(1, tree(1), last=True)
    assert checkpoints.restore(tree(0))["epoch"] == 1


def test_a_file_that_may_not_grow_is_a_line_without_the_threads_own(
  tmp_path, caplog
):
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  saved = tree(1) | {"x": jax.random.uniform(jax.random.key(0), (3000,))}
  with Checkpoints(tmp_path) as checkpoints:
    try:
      resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
      with pytest.raises(JaxkdError, match=r"Cannot write .*: File too large"):
        checkpoints.maybe_save(1, saved, last=True)
    finally:
      resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not caplog.records
    checkpoints.maybe_save(1, saved, last=True)
    assert checkpoints.restore(saved)["epoch"] == 1


def test_another_error_of_a_save_is_no_line(tmp_path, monkeypatch):
  def fail(*arguments, **keywords):
    raise ZeroDivisionError

  with Checkpoints(tmp_path) as checkpoints:
    monkeypatch.setattr(checkpoints._manager, "save", fail)
    with pytest.raises(ZeroDivisionError):
      checkpoints.maybe_save(1, tree(1), last=True)


def test_what_stands_in_the_way_of_a_checkpoint_is_named(tmp_path):
  (tmp_path / "checkpoints").write_text("a file")
  with pytest.raises(JaxkdError, match=r"checkpoints/student: Not a directory"):
    Checkpoints(tmp_path / "checkpoints" / "student")
  (tmp_path / "link").symlink_to(tmp_path / "nowhere")
  with pytest.raises(JaxkdError, match=r"link: .*what is in its way"):
    Checkpoints(tmp_path / "link")
