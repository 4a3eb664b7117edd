"""Two devices for every test, and no waiting for each other.

Forced host devices share one pool of threads; with as many threads as devices
their collectives deadlock, hence NPROC. Both are read when jax starts.
"""

import contextlib
import functools
import gc
import importlib.metadata
import os
import tempfile

# Compiled programs are shared between tests and the processes they start, those
# among which pytest-xdist divides the tests too. A folder that the environment
# names is kept from one run of the tests to the next.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
  _CACHE = tempfile.TemporaryDirectory()
  os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE.name
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

os.environ["NPROC"] = "16"
os.environ["JAX_PLATFORMS"] = "cpu"
# Operations do not note their lines, and cycles are collected less often: a
# fifth of the time of a whole run.
os.environ["JAX_TRACEBACK_IN_LOCATIONS_LIMIT"] = "0"
gc.set_threshold(200_000, 50, 50)
# Most of the time goes into compiling programs that then run for milliseconds.
_FLAGS = [
  os.environ.get("XLA_FLAGS", ""),
  "--xla_force_host_platform_device_count=2",
  "--xla_backend_optimization_level=0",
]
if importlib.metadata.version("jaxlib").startswith("0.10."):
  # Compiles three times as fast. Versions abort at flags that they do not know,
  # as later ones do at this one.
  _FLAGS.append("--xla_cpu_use_fusion_emitters=false")
  # Most programs are too small to be compiled in parts.
  _FLAGS.append("--xla_cpu_parallel_codegen_split_count=1")
os.environ["XLA_FLAGS"] = " ".join(_FLAGS)

import jax  # noqa: E402
from jax._src.interpreters import mlir  # noqa: E402
import pytest  # noqa: E402

if jax.__version__.startswith("0.10."):
  # To make an MLIR context takes a quarter of the time of a small program, so
  # all programs share one. The function is private to JAX.
  mlir.make_ir_context = functools.cache(mlir.make_ir_context)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
  """No test reads or leaves teachers and data in the user's cache."""
  monkeypatch.setenv(
    "JAXKD_CACHE", str(tmp_path_factory.getbasetemp() / "cache")
  )


@pytest.fixture(autouse=True, scope="session")
def few_at_once():
  """Few procedural images are drawn at once, whatever their size."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr("jaxkd.synthesis.procedural.PIXELS", 2**13)
    yield


@pytest.fixture
def stopped_at(monkeypatch):
  """A context for a run that is told to stop at its n-th checkpoint."""
  from jaxkd.runtime import checkpoints

  @contextlib.contextmanager
  def stopped_at(number):
    maybe_save, count = checkpoints.Checkpoints.maybe_save, 0

    def stopping(self, step, tree, last=False):
      nonlocal count
      count += 1
      if count == number:
        checkpoints._stop.set()
      maybe_save(self, step, tree, last)

    with monkeypatch.context() as patched:
      patched.setattr(checkpoints.Checkpoints, "maybe_save", stopping)
      try:
        with pytest.raises(checkpoints.Preempted):
          yield
      finally:
        checkpoints._stop.clear()

  return stopped_at
