"""Every file of a finished run may be empty, cut, or of another kind."""

import shutil

import pytest

import jaxkd

pytestmark = pytest.mark.slow  # a start for each file and kind of damage


def run(folder):
  config = jaxkd.load_config("configs/cake.py:dataset=two_moons,smoke")
  return jaxkd.distill(None, config, folder)[1]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  folder = tmp_path_factory.mktemp("finished")
  return folder, run(folder)


@pytest.mark.parametrize(
  "damage",
  [
    lambda content: b"",
    lambda content: content[: len(content) // 2],
    lambda content: b"\x00\xffnot this kind\n" * 3,
  ],
)
def test_a_damaged_file_is_made_again_or_named(finished, tmp_path, damage):
  folder, report = finished
  paths = [path for path in folder.iterdir() if path.is_file()]
  paths += list(folder.glob("checkpoints/synthesis/*/default/_METADATA"))
  for number, path in enumerate(sorted(paths)):
    copy = tmp_path / str(number)
    shutil.copytree(folder, copy)
    damaged = copy / path.relative_to(folder)
    damaged.write_bytes(damage(path.read_bytes()))
    try:
      again = run(copy)
    except jaxkd.JaxkdError as error:
      assert path.name in str(error) or "checkpoint" in str(error)
      assert any(word in str(error) for word in ("Delete", "delete"))
    else:
      assert again["student"]["accuracy"] == report["student"]["accuracy"]
