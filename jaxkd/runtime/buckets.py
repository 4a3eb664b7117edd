"""Workdirs on buckets, `s3://bucket/run`, `gs://bucket/run` or what else fsspec
reaches.

A run works in a local copy of its folder, because the libraries that write and
read its files need a disk. What it keeps is uploaded in the order in which it
is written: a file once `files.atomic_write` has finished it, a checkpoint of
Orbax as one object, so that either is whole or missing; and before each of them
the files that grow, so that nothing on the bucket is newer than they are. The
bucket then holds what a disk would hold after a kill.

Of the processes of a distributed run each has a copy, and the first one writes.
The functions that take a path do nothing if it is in no such copy.
"""

from collections.abc import Callable, Iterator
import contextlib
import fnmatch
from pathlib import Path
import tarfile
import tempfile
from typing import TYPE_CHECKING

from jaxkd.errors import JaxkdError
from jaxkd.runtime import processes

if TYPE_CHECKING:
  from fsspec import AbstractFileSystem

GROWING = ("metrics.jsonl", "ledger.jsonl")  # files that a run appends to
FOLDERS = ("tensorboard", "profile")  # are uploaded when the run ends
LEASES = ".lease"
STEP = ".tar"  # of the object of a checkpoint

_copies: dict[Path, "LocalCopy"] = {}  # by their folders


class LocalCopy:
  """A folder on a bucket and its copy on the local disk.

  Attributes:
    url: of the folder.
    root: the local copy.
    fs: the filesystem of the bucket.
    checks: for each run folder in the copy, a function that raises if this
      process may not write there any more.
  """

  def __init__(self, url: str, root: Path):
    self.url, self.root = url.rstrip("/"), root
    self.fs, self._prefix = _connect(self.url)
    self.checks: dict[Path, Callable[[], None]] = {}
    self._fetched: dict[str, str] = {}  # what is known of an object, by name
    self._pushed: dict[Path, tuple[int, int]] = {}  # mtime and size of a file

  def name(self, path: Path) -> str:
    """Returns the name on the bucket of a path in the copy."""
    relative = path.relative_to(self.root).as_posix()
    return self._prefix if relative == "." else f"{self._prefix}/{relative}"

  def fetch(self, path: Path) -> None:
    """Downloads a file or a folder, where it has changed on the bucket."""
    for name, info in self.fs.find(self.name(path), detail=True).items():
      target = self.root / name[len(self._prefix) :].lstrip("/")
      if LEASES in target.parts or target.suffix == STEP:
        continue
      if self._fetched.get(name) == str(info) and target.exists():
        continue
      target.parent.mkdir(parents=True, exist_ok=True)
      self.fs.get_file(name, str(target))
      self._fetched[name] = str(info)

  def put(self, path: Path, source: Path | None = None) -> None:
    """Uploads a file, or another in its place, after the files that grow."""
    folder = next((p for p in path.parents if p in self.checks), self.root)
    self.checks.get(folder, lambda: None)()
    for growing in (folder / each for each in GROWING):
      if growing.exists():
        status = growing.stat()
        state = status.st_mtime_ns, status.st_size
        if self._pushed.get(growing) != state:
          self.fs.put_file(str(growing), self.name(growing))
          self._pushed[growing] = state
    if path.name not in GROWING:
      self.fs.put_file(str(source or path), self.name(path))

  def steps(self, directory: Path) -> set[str]:
    """Returns the names of the checkpoints of a stage on the bucket."""
    names = [Path(name) for name in self.fs.find(self.name(directory))]
    return {path.stem for path in names if path.suffix == STEP}


def is_url(workdir: str | Path) -> bool:
  """Returns whether a workdir is on a bucket.

  >>> is_url("s3://bucket/run"), is_url("runs/cake")
  (True, False)
  """
  return "://" in str(workdir)


@contextlib.contextmanager
def opened(workdir: str | Path) -> Iterator[Path]:
  """Yields a local folder for a workdir: the folder itself if it is local, an
  empty copy to `fetch` into if it is on a bucket.

  Raises:
    JaxkdError: if there is no such store. Those of the block that name files
      in the copy name those on the bucket instead.
  """
  with contextlib.ExitStack() as stack:
    if is_url(workdir):
      folder = stack.enter_context(
        tempfile.TemporaryDirectory(prefix="jaxkd-", ignore_cleanup_errors=True)
      )
      folder = Path(folder).resolve()
      _copies[folder] = LocalCopy(str(workdir), folder)
      stack.callback(_copies.pop, folder)
    else:
      folder = Path(workdir).expanduser()
    try:
      yield folder
    except JaxkdError as error:
      copy = find(folder)
      if copy is None or str(copy.root) not in str(error):
        raise
      raise type(error)(str(error).replace(str(copy.root), copy.url)) from error


def find(path: Path) -> LocalCopy | None:
  """Returns the copy of a bucket's folder in which a path is, if any."""
  if not _copies:
    return None
  path = path.absolute()
  return next((_copies[p] for p in (path, *path.parents) if p in _copies), None)


def shown(path: Path) -> str:
  """Returns a path as people know it: by its address on the bucket."""
  copy = find(path)
  return str(path).replace(str(copy.root), copy.url) if copy else str(path)


def fetch(path: Path) -> None:
  """Downloads a file, or a folder without its checkpoints, if it changed."""
  if copy := find(path):
    with reached(copy.url):
      copy.fetch(path)


def upload(path: Path) -> None:
  """Uploads a file that is finished, or all files of a folder."""
  copy = find(path)
  if copy is None or not processes.is_primary():
    return
  with reached(copy.url):
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
      if file.is_file():
        copy.put(file)


def upload_rest(folder: Path) -> None:
  """Uploads what a run wrote without `files.atomic_write`, when it ends."""
  for path in (folder / name for name in (*GROWING, *FOLDERS)):
    if path.exists():
      upload(path)


def delete(folder: Path, pattern: str) -> None:
  """Deletes the files from the bucket whose path in a folder fits a pattern."""
  copy = find(folder)
  if copy is None or not processes.is_primary():
    return
  with reached(copy.url):
    first = copy.name(folder)
    for name in copy.fs.find(first):
      if fnmatch.fnmatchcase(name[len(first) + 1 :], pattern):
        copy.fs.rm_file(name)


def fetch_steps(directory: Path) -> None:
  """Downloads the checkpoints of a stage."""
  if (copy := find(directory)) is None:
    return
  with (
    reached(copy.url),
    tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
  ):
    for step in copy.steps(directory):
      if not (directory / step).exists():
        archive = Path(folder) / f"{step}{STEP}"
        copy.fs.get_file(copy.name(directory / archive.name), str(archive))
        with tarfile.open(archive) as tar:
          tar.extractall(directory / step, filter="data")
        archive.unlink()


def upload_steps(directory: Path) -> None:
  """Makes the checkpoints of a stage on the bucket those of the local copy."""
  copy = find(directory)
  if copy is None or not processes.is_primary():
    return
  local = {path.name for path in directory.glob("*/") if path.name.isdigit()}
  with (
    reached(copy.url),
    tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
  ):
    known = copy.steps(directory)
    for step in sorted(local - known, key=int):
      archive = Path(folder) / f"{step}{STEP}"
      with tarfile.open(archive, "w") as tar:
        tar.add(directory / step, arcname=".")
      copy.put(directory / archive.name, archive)
      archive.unlink()
    for step in known - local:
      copy.fs.rm_file(copy.name(directory / f"{step}{STEP}"))


@contextlib.contextmanager
def reached(url: str) -> Iterator[None]:
  """Turns the errors of a store into a line that names it."""
  try:
    yield
  except JaxkdError:
    raise
  except Exception as error:  # the library of every store raises its own
    reason = " ".join(str(error).split()) or type(error).__name__
    raise JaxkdError(
      f"{url} can't be used: {reason}. Check its name, the access and the "
      "network; the same command goes on."
    ) from error


def _connect(url: str) -> tuple["AbstractFileSystem", str]:
  import fsspec  # belongs to the extra `buckets`

  try:
    fs, prefix = fsspec.url_to_fs(url, use_listings_cache=False)
  except ImportError as error:
    raise JaxkdError(
      f"{url} needs another package ({error}): pip install 'jaxkd[buckets]' "
      "for s3:// and gs://."
    ) from error
  except ValueError as error:
    raise JaxkdError(
      f"{url} can't be a workdir: {error}. Use s3://BUCKET/FOLDER, "
      "gs://BUCKET/FOLDER or a local folder."
    ) from error
  return fs, prefix.rstrip("/")
