"""The environment of a run: versions, devices, commit and date."""

from datetime import UTC, datetime
from importlib import metadata
import os
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
  """Returns `versions`, `devices`, `cores`, `commit` and `date` of this run.

  `versions` are those of Python, jaxkd and the libraries in `DISTRIBUTIONS`,
  `devices` the kind of every device, `cores` the number of this machine's CPU,
  `commit` that of this package's checkout.
  """
  versions = {name: metadata.version(d) for name, d in DISTRIBUTIONS.items()}
  versions |= {"python": platform.python_version(), "jaxkd": __version__}
  return {
    "versions": versions,
    "devices": [device.device_kind for device in jax.devices()],
    "cores": os.cpu_count(),
    "commit": commit(Path(__file__).parent),
    "date": datetime.now(UTC).isoformat(timespec="seconds"),
  }


def commit(folder: Path) -> str | None:
  """Returns the git commit of `folder`, with `-dirty` if tracked files differ.

  It is None where git does not track the folder's `__init__.py`, because an
  installed package may lie inside of another project's checkout.
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
