"""The loss kernels can be imported without the rest of the package."""

import ast
from pathlib import Path
import subprocess
import sys

import pytest

import jaxkd.losses

FILES = sorted(Path(jaxkd.losses.__file__).parent.glob("*.py"))
ALLOWED = {"chex", "collections", "functools", "jax", "optax"}
HEAVY = (
  "flax",
  "httpx",
  "matplotlib",
  "ml_collections",
  "orbax",
  "tensorflow_datasets",
)


def imported_names(source):
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield "." * node.level + (node.module or "")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_losses_import_nothing_else_of_the_package(path):
  for name in imported_names(path.read_text()):
    own = name == "jaxkd.losses" or name.startswith("jaxkd.losses.")
    assert own or name.partition(".")[0] in ALLOWED, name


def test_importing_losses_is_light_and_defines_no_flag():
  program = (
    "import sys, chex, jax, optax\n"
    "from absl import flags\n"
    "before, flags_before = set(sys.modules), set(flags.FLAGS)\n"
    "import jaxkd.losses\n"
    "new = set(sys.modules) - before\n"
    f"print([name for name in {HEAVY!r} if name in new])\n"
    "print(sorted(set(flags.FLAGS) - flags_before))\n"
    f"print([name for name in {HEAVY[1:]!r} if name in sys.modules])\n"
  )
  result = subprocess.run(
    [sys.executable, "-c", program],
    capture_output=True,
    check=True,
    cwd=Path(jaxkd.losses.__file__).parents[2],
    text=True,
  )
  assert result.stdout.split("\n")[:3] == ["[]", "[]", "[]"]
