"""Trained networks on disk: those of a run, and the cache that runs share."""

from collections.abc import Iterator
import contextlib
from pathlib import Path

from jaxkd.config import user_code
from jaxkd.runtime import leases, processes
from jaxkd.serialization import weights
from jaxkd.types import Classifier, DataSpec, JaxkdError


def load_own(path: Path, spec: DataSpec, model: str) -> Classifier:
  """Loads a network that this run has written.

  Raises:
    JaxkdError: as `load`, with the remedy.
  """
  try:
    return load(path, spec, model)
  except JaxkdError as error:
    raise JaxkdError(
      f"{error} Delete that file: the same command makes it again."
    ) from error


def load(path: Path, spec: DataSpec, model: str) -> Classifier:
  """Loads the network in `path`.

  Args:
    path: of the file.
    spec: of the data set.
    model: name in the config; the file may hold any network of the zoo, but of
      the user's networks only this one.

  Raises:
    JaxkdError: if it does not fit the data set.
  """
  classifier, saved = weights.load_classifier(
    path, user_code.user_function(model)
  )
  if (saved.shape, saved.num_classes) != (spec.shape, spec.num_classes):
    raise JaxkdError(
      f"The network {path} is for inputs {saved.shape} and "
      f"{saved.num_classes} classes; {spec.name} has {spec.shape} and "
      f"{spec.num_classes}. Choose the dataset or image_size that it fits."
    )
  return classifier


@contextlib.contextmanager
def only_here(cached: Path, name: str) -> Iterator[None]:
  """Lets another run that trains the same network end first.

  Cells of a table often have one teacher. The processes of a distributed run
  don't wait, because a signal could not stop them together then.
  """
  with contextlib.ExitStack() as lease:
    # Where the cache has no place for a lock both train it, which costs time.
    with contextlib.suppress(OSError):
      if not processes.is_multiprocess():
        cached.parent.mkdir(parents=True, exist_ok=True)
        lock = cached.with_suffix(".lock")
        lease.enter_context(
          leases.held(lock, f"{name}: another process trains it")
        )
    yield


def read_cache(path: Path, spec: DataSpec, model: str) -> Classifier | None:
  """Returns the network in the cache; None if there is none to be read."""
  try:
    return load(path, spec, model) if path.exists() else None
  except (JaxkdError, OSError) as error:
    print(f"The cache is not used: {error}")
    return None


def write_cache(
  path: Path, network: Classifier, spec: DataSpec, model: str
) -> None:
  """Writes the network to the cache, or prints why that is impossible."""
  try:
    weights.write(path, network, spec, model)
  except JaxkdError as error:
    print(f"Nothing is cached. {error}")
