"""What a run was computed with: versions, devices, commit and date."""

from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
import platform
import subprocess
from typing import Any

import jax

from jaxkd import __version__

DISTRIBUTIONS = {
  "jax": "jax",
  "jaxlib": "jaxlib",
  "flax": "flax",
  "optax": "optax",
  "orbax": "orbax-checkpoint",
  "numpy": "numpy",
}


def environment() -> dict[str, Any]:
  """`versions`, `devices`, `commit` of this package's checkout, `date`."""
  versions = {name: metadata.version(d) for name, d in DISTRIBUTIONS.items()}
  versions |= {"python": platform.python_version(), "jaxkd": __version__}
  return {
    "versions": versions,
    "devices": [device.device_kind for device in jax.devices()],
    "commit": commit(Path(__file__).parent),
    "date": datetime.now(UTC).isoformat(timespec="seconds"),
  }


def commit(folder: Path) -> str | None:
  """The commit that `folder` is at, with `-dirty` if tracked files differ.

  None where git does not track the folder's `__init__.py`: an installed
  package may lie inside somebody else's checkout.
  """

  def git(*arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    done.check_returncode()
    return done.stdout.strip()

  try:
    git("ls-files", "--error-unmatch", "__init__.py")
    return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
  except (OSError, subprocess.SubprocessError):
    return None
