"""The metrics of a run: one JSON line per step, in `metrics.jsonl`."""

from collections.abc import Callable, Iterator
import contextlib
import io
import json
import math
import os
from pathlib import Path
import time
from typing import Any

from jax.typing import ArrayLike
import numpy as np

from jaxkd.runtime import processes, profiling
from jaxkd.runtime.files import to_json
from jaxkd.types import JaxkdError

FILE_NAME = "metrics.jsonl"


def read_metrics(workdir: str | Path) -> list[dict[str, Any]]:
  """Reads the records in a run's `metrics.jsonl`, without a cut-off last line.

  Returns:
    The records in their order; none if there is no such file.
  """
  path = Path(workdir) / FILE_NAME
  return _parse(path.read_bytes())[0] if path.exists() else []


def _parse(content: bytes) -> tuple[list[dict[str, Any]], list[int]]:
  """Records and their sizes in bytes, without a cut-off last line."""
  lines = content.splitlines(keepends=True)
  whole = [line for line in lines if line.endswith(b"\n")]
  records = []
  for number, line in enumerate(whole, 1):
    try:
      records.append(json.loads(line))
      records[-1]["stage"], records[-1]["step"]
    except (ValueError, KeyError, TypeError) as error:
      raise JaxkdError(
        f"Line {number} of {FILE_NAME} in the workdir is damaged; put back a "
        "copy, or delete the file: the run goes on, without its curves so far."
      ) from error
  return records, [len(line) for line in whole]


def numbers_of(record: dict[str, Any]) -> dict[str, np.ndarray]:
  """Returns a record's numeric values, each as a flat array; null is NaN.

  >>> numbers_of({"stage": "teacher", "step": 1, "time": 0, "loss": [1, None]})
  {'loss': array([ 1., nan])}
  """
  return {
    name: np.ravel(np.asarray(value, float))
    for name, value in record.items()
    if name not in ("stage", "step", "time") and not isinstance(value, str)
  }


class MetricsWriter:
  """Appends metrics to `metrics.jsonl`, one JSON object a line.

  A line holds `stage`, `step`, `time` (seconds since 1970) and the values.
  Steps rise within a stage. Every line is passed to the operating system at
  once, so that a killed process loses none; a cut-off last line is dropped when
  the file is opened again. Of several processes only the first writes to disk;
  the others keep their lines in memory.

  Args:
    workdir: folder of the run; made if missing.
    tensorboard: whether to write the same values as TensorBoard events, tag
      `stage/name`, under `workdir/tensorboard`.
    profile: number of steps of each stage to trace, under `workdir/profile`.

  Raises:
    JaxkdError: if `tensorboard` is set and tensorboardX is not installed.
  """

  def __init__(
    self, workdir: str | Path, tensorboard: bool = False, profile: int = 0
  ):
    directory = Path(workdir)
    self._profile, self._traces = profile, directory / "profile"
    self._events, path = None, directory / FILE_NAME
    with processes.raise_on_all():
      if processes.is_primary():
        try:
          directory.mkdir(parents=True, exist_ok=True)
          if tensorboard:
            self._events = _Events(directory / "tensorboard")
          self._file = path.open("a+b")
        except OSError as error:
          raise JaxkdError(
            f"Cannot write {error.filename or path}: {error.strerror}. Give "
            "access, or move what is in its way; the same command goes on."
          ) from error
      else:
        self._file = io.BytesIO(path.read_bytes() if path.exists() else b"")
    try:
      self._keep_until(lambda record: False)
    except JaxkdError:
      self._file.close()
      raise

  def traced(
    self, stage: str, steps: range
  ) -> contextlib.AbstractContextManager[Iterator[int]]:
    """Iterates over the steps of a stage and traces some of them.

    See `jaxkd.runtime.profiling.traced`.
    """
    return profiling.traced(steps, self._traces / stage, self._profile)

  def write(self, stage: str, step: int, **values: ArrayLike | str) -> None:
    """Appends one line.

    Args:
      stage: name of the stage.
      step: number of the step.
      **values: numbers, arrays (e.g. one number per seed) or texts, by name.

    Raises:
      JaxkdError: if the file can't be written.
    """
    record = to_json({"stage": stage, "step": step, "time": time.time()})
    record |= to_json(values)
    line = json.dumps(record, allow_nan=False) + "\n"
    self._file.seek(0, os.SEEK_END)
    try:
      self._file.write(line.encode())
      self._file.flush()
    except OSError as error:
      raise JaxkdError(
        f"Cannot write {FILE_NAME} in the workdir: {error.strerror}. Make "
        "room, and run the same command to continue."
      ) from error
    if self._events:
      self._events.add(record)

  def truncate_after(self, stage: str, step: int) -> None:
    """Removes all lines after `step` of `stage`, those of later stages too.

    Called with the step of a restored checkpoint, it leaves the file of a
    resumed run without repetitions and without gaps.
    """
    self._keep_until(
      lambda record: record["stage"] == stage and record["step"] > step
    )

  def seconds(self, stage: str, name: str = "seconds") -> float:
    """Sums a value over the lines of a stage, those before a resume too."""
    return sum(record.get(name) or 0.0 for record in self.records(stage))

  def stages(self) -> list[str]:
    """Returns the names of the stages so far, in their order."""
    return list(dict.fromkeys(r["stage"] for r in self._parsed()[0]))

  def records(self, stage: str) -> list[dict[str, Any]]:
    """Returns the records of a stage so far."""
    return [r for r in self._parsed()[0] if r["stage"] == stage]

  def _parsed(self) -> tuple[list[dict[str, Any]], list[int]]:
    self._file.seek(0)
    return _parse(self._file.read())

  def _keep_until(self, is_stale: Callable[[dict[str, Any]], bool]) -> None:
    records, sizes = self._parsed()
    count = next((i for i, r in enumerate(records) if is_stale(r)), len(sizes))
    self._file.truncate(sum(sizes[:count]))
    if self._events:
      self._events.restart(records[:count])

  def close(self) -> None:
    """Closes the files."""
    self._file.close()
    if self._events:
      self._events.close()

  def __enter__(self) -> "MetricsWriter":
    return self

  def __exit__(self, *_: object) -> None:
    self.close()


class _Events:
  """Writes records as TensorBoard events; an array is written as its mean."""

  def __init__(self, directory: Path):
    try:
      from tensorboardX import SummaryWriter
    except ImportError as error:
      raise JaxkdError(
        "tensorboard=True needs the package tensorboardX: run "
        "pip install 'jaxkd[tensorboard]', or set tensorboard=False."
      ) from error
    self._directory = directory
    self._open = lambda: SummaryWriter(str(directory))
    self._writer = None

  def restart(self, records: list[dict[str, Any]]) -> None:
    self.close()
    for path in self._directory.glob("events.out.tfevents.*"):
      path.unlink()
    self._writer = self._open()
    for record in records:
      self.add(record)

  def add(self, record: dict[str, Any]) -> None:
    for name, numbers in numbers_of(record).items():
      tag, mean = f"{record['stage']}/{name}", numbers.mean()
      if math.isfinite(mean):
        self._writer.add_scalar(
          tag, mean, record["step"], walltime=record["time"]
        )

  def close(self) -> None:
    if self._writer:
      self._writer.close()
