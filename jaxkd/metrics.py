"""What a run says while it goes: metrics on disk, progress on the screen."""

from collections.abc import Callable, Mapping
import json
import math
from pathlib import Path
import time
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress as RichProgress, TextColumn

from jaxkd.quantities import duration
from jaxkd.types import JaxkdError

FILE_NAME = "metrics.jsonl"
SECONDS_BETWEEN_LINES = 5.0


def to_json(tree: Any) -> Any:
  """A tree as JSON can hold it: arrays as lists, NaN and infinity as None.

  >>> import numpy as np
  >>> to_json({"loss": np.float32(0.5), "shape": (1, 2), "kl": float("nan")})
  {'loss': 0.5, 'shape': [1, 2], 'kl': None}
  """
  if isinstance(tree, Mapping):
    return {str(key): to_json(value) for key, value in tree.items()}
  if isinstance(tree, (list, tuple)):
    return [to_json(value) for value in tree]
  if isinstance(tree, float):
    return float(tree) if math.isfinite(tree) else None
  if tree is None or isinstance(tree, (bool, int, str)):
    return tree
  if isinstance(tree, Path):
    return str(tree)
  if isinstance(tree, (np.ndarray, np.generic, jax.Array)):
    return to_json(np.asarray(tree).tolist())
  raise TypeError(f"{type(tree).__name__} has no form in JSON: {tree!r}")


def read_metrics(workdir: str | Path) -> list[dict[str, Any]]:
  """The records of a run's `metrics.jsonl`, without a torn last line."""
  path = Path(workdir) / FILE_NAME
  return _parse(path.read_bytes())[0] if path.exists() else []


def _parse(content: bytes) -> tuple[list[dict[str, Any]], list[int]]:
  """Records and their sizes in bytes, without a torn last line."""
  lines = content.splitlines(keepends=True)
  whole = [line for line in lines if line.endswith(b"\n")]
  return [json.loads(line) for line in whole], [len(line) for line in whole]


def numbers_of(record: dict[str, Any]) -> dict[str, np.ndarray]:
  """A record's values that are numbers, each as a flat array; null is NaN.

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
  Steps rise within a stage. Every line is handed to the operating system at
  once, so that a killed process loses none; a torn last line is dropped when
  the file is opened again.

  Args:
    workdir: of the run; made if missing.
    tensorboard: write the same values as TensorBoard events, tag
      `stage/name`, under `workdir/tensorboard`.

  Raises:
    JaxkdError: TensorBoard is asked for and tensorboardX is missing.
  """

  def __init__(self, workdir: str | Path, tensorboard: bool = False):
    directory = Path(workdir)
    directory.mkdir(parents=True, exist_ok=True)
    self._events = _Events(directory / "tensorboard") if tensorboard else None
    self._file = (directory / FILE_NAME).open("a+b")
    self._keep_until(lambda record: False)

  def write(self, stage: str, step: int, **values: Any) -> None:
    """Appends one line; a value is a number or an array, e.g. one per seed."""
    record = to_json({"stage": stage, "step": step, "time": time.time()})
    record |= to_json(values)
    line = json.dumps(record, allow_nan=False) + "\n"
    self._file.write(line.encode())
    self._file.flush()
    if self._events:
      self._events.add(record)

  def rewind(self, stage: str, step: int) -> None:
    """Forgets all that came after `step` of `stage`, later stages too.

    Called with what a checkpoint gave back, it leaves a resumed run's file
    without repeats and without gaps.
    """
    self._keep_until(
      lambda record: record["stage"] == stage and record["step"] > step
    )

  def seconds(self, stage: str, name: str = "seconds") -> float:
    """The sum of a value over a stage, parts before a resume included."""
    return sum(record.get(name) or 0.0 for record in self.records(stage))

  def records(self, stage: str) -> list[dict[str, Any]]:
    """The lines of a stage so far."""
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
  """TensorBoard's view of the records; an array is shown as its mean."""

  def __init__(self, directory: Path):
    try:
      from tensorboardX import SummaryWriter
    except ImportError as error:
      raise JaxkdError(
        "TensorBoard events need the package tensorboardX: "
        "pip install 'jaxkd[tensorboard]', or set tensorboard to False."
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


class Progress:
  """Shows how far a loop is: a bar in a terminal, plain lines elsewhere.

  Both give the count, the rate, the time left and the latest values. Plain
  lines come at least five seconds apart, and once at the end.

  Args:
    total: units until the loop is done.
    label: what runs, e.g. `student`.
    unit: what is counted, in the plural, e.g. `epochs`.
    done: units that were done before, on resume.
  """

  def __init__(self, total: int, label: str, unit: str, done: int = 0):
    self._total, self._label, self._unit = total, label, unit
    self._before = self._done = done
    self._shown = -1
    self._values: dict[str, float] = {}
    self._start = self._printed = time.monotonic()
    self._console = Console()
    self._bar = None

  def __enter__(self) -> "Progress":
    self._start = self._printed = time.monotonic()
    if self._console.is_terminal:
      self._bar = RichProgress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[status]}", markup=False),
        console=self._console,
      )
      self._bar.start()
      self._task = self._bar.add_task(
        f"{self._label:10}", total=self._total, status=self._status()
      )
    return self

  def advance(self, n: int = 1, **values: float) -> None:
    """Counts `n` more units; `values` are shown from now on."""
    self._done += n
    self._values |= values
    if self._bar:
      self._bar.update(self._task, completed=self._done, status=self._status())
    elif time.monotonic() - self._printed >= SECONDS_BETWEEN_LINES:
      self._print_line()

  def __exit__(self, *_: object) -> None:
    if self._bar:
      self._bar.stop()
    elif self._shown != self._done:
      self._print_line()

  def _print_line(self) -> None:
    self._printed, self._shown = time.monotonic(), self._done
    print(f"{self._label:10} {self._status()}", flush=True)

  def _status(self) -> str:
    elapsed = time.monotonic() - self._start
    parts = [f"{self._done:,}/{self._total:,} {self._unit}"]
    if self._done > self._before and elapsed > 0:
      rate = (self._done - self._before) / elapsed
      shown = f"{rate:,.0f}" if rate >= 100 else f"{rate:.2g}"
      parts.append(f"{shown} {self._unit}/s")
      left = max(self._total - self._done, 0) / rate
      time_left = f"{duration(left)} left"
      parts.append(time_left if left else f"in {duration(elapsed)}")
    parts += [f"{name} {float(v):.4g}" for name, v in self._values.items()]
    return "  ".join(parts)
