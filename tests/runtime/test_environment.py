"""A report says which versions, devices and commit a run had."""

import re
import subprocess

from jaxkd.runtime.environment import commit, environment


def test_environment_names_what_ran():
  result = environment()
  fields = {"versions", "devices", "cores", "commit", "date"}
  assert result.keys() == fields
  assert {"jax", "jaxlib", "flax", "optax", "orbax", "numpy", "python"} < (
    result["versions"].keys()
  )
  assert re.match(r"\d{4}-\d\d-\d\dT.*\+00:00$", result["date"])
  assert result["devices"] and result["cores"] >= 1


def test_commit_is_that_of_the_package_alone(tmp_path):
  def git(*arguments):
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", "-C", tmp_path, *who, *arguments], check=True)

  package = tmp_path / "package"
  package.mkdir()
  (package / "__init__.py").write_text("")
  assert commit(package) is None
  git("init", "-q")
  assert commit(package) is None  # installed in another's checkout
  git("add", ".")
  git("commit", "-q", "-m", "first")
  assert re.fullmatch("[0-9a-f]{40}", commit(package))
  (package / "__init__.py").write_text("changed = True\n")
  assert commit(package).endswith("-dirty")
