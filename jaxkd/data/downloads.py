"""Downloads the official files of data sets."""

from collections.abc import Callable
import hashlib
import http.client
from pathlib import Path
import shutil
import urllib.request

from jaxkd.data.registry import DatasetInfo
from jaxkd.types import JaxkdError

_TIMEOUT_S = 15


def download(
  info: DatasetInfo, folder: Path, report: Callable[[str], None]
) -> None:
  """Downloads the official files and checks them by their checksums.

  Args:
    info: of the set.
    folder: into which the files are written.
    report: called with lines that describe the progress.

  Raises:
    JaxkdError: if a file can't be had, or is another one.
  """
  import tensorflow_datasets as tfds

  checksums = dict.fromkeys(info.urls, info.sha256)
  if not info.sha256:
    known = tfds.builder_cls(info.spec.name).url_infos or {}
    checksums = {url: each.checksum for url, each in known.items()}
  for url in info.urls:
    report(f"downloading {url}")
    path = folder / _file_name(url)
    try:
      with (
        urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response,
        path.open("wb") as file,
      ):
        shutil.copyfileobj(response, file)
    except (OSError, http.client.HTTPException) as error:
      reason = getattr(error, "reason", error)
      raise JaxkdError(
        f"Cannot download {url} ({reason}). Get"
        f" {', '.join(_file_name(u) for u in info.urls)} yourself, then run:\n"
        f"python -m jaxkd.data prepare {info.spec.name} --from=FOLDER"
      ) from error
    with path.open("rb") as file:
      digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != checksums.get(url, digest):
      raise JaxkdError(
        f"{url} does not have the checksum of the official file; try again."
      )


def _file_name(url: str) -> str:
  return url.rsplit("/", 1)[-1]
