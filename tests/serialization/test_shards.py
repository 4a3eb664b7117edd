"""Weights in several files, with tied tensors, and in other dtypes."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxkd.serialization import shards
from jaxkd.types import JaxkdError

TENSORS = {f"layer{k}.weight": np.full((2, k + 1), k, "f4") for k in range(4)}
NAMES = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
INDEX = "model.safetensors.index.json"


@pytest.fixture
def folder(tmp_path):
  names, files = list(TENSORS), {}
  for part, name in enumerate(NAMES):
    half = names[2 * part : 2 * part + 2]
    save_file({each: TENSORS[each] for each in half}, tmp_path / name)
    files |= dict.fromkeys(half, name)
  index = {"metadata": {"total_size": 80}, "weight_map": files}
  (tmp_path / INDEX).write_text(json.dumps(index))
  return tmp_path


@pytest.mark.parametrize("name", [INDEX, *NAMES, "."])
def test_files_that_belong_together_are_read_together(folder, name):
  state = shards.read(shards.find_files(folder / name))
  assert state.tensors.keys() == TENSORS.keys()
  for key, tensor in TENSORS.items():
    np.testing.assert_array_equal(state.tensors[key], tensor)
  assert state.notes == ("read from 2 files",)


def test_a_folder_with_one_file(tmp_path):
  save_file(TENSORS, tmp_path / "model.safetensors")
  files = shards.find_files(tmp_path)
  assert files == (tmp_path / "model.safetensors",)
  assert shards.read(files).notes == ()


def test_a_folder_as_other_systems_leave_it(tmp_path):
  save_file(TENSORS, tmp_path / "NET.SafeTensors")
  (tmp_path / "._NET.SafeTensors").write_bytes(b"of macOS")
  assert shards.find_files(tmp_path) == (tmp_path / "NET.SafeTensors",)


def test_a_folder_of_pickles_leads_to_one(tmp_path):
  (tmp_path / "pytorch_model.bin").write_bytes(b"PK\3\4")
  assert shards.find_files(tmp_path) == (tmp_path / "pytorch_model.bin",)


def test_a_pointer_of_git_lfs_is_named(tmp_path):
  path = tmp_path / "model.safetensors"
  path.write_text("version https://git-lfs.github.com/spec/v1\nsize 9\n")
  with pytest.raises(JaxkdError, match="git lfs pull"):
    shards.read((path,))


@pytest.mark.parametrize("name", [INDEX, NAMES[0], "."])
def test_a_missing_part_is_named(folder, name):
  (folder / NAMES[1]).unlink()
  with pytest.raises(JaxkdError, match=f"{NAMES[1]} is not beside it"):
    shards.find_files(folder / name)


@pytest.mark.parametrize(
  "text", ["", "[]", "{}", '{"weight_map": []}', '{"weight_map": {}}',
           '{"weight_map": {"a": 1}}', '{"weight_map": {"a": ["b"]}}']
)  # fmt: skip
def test_a_damaged_index_is_named(folder, text):
  (folder / INDEX).write_text(text)
  with pytest.raises(JaxkdError, match=r"index\.json"):
    shards.find_files(folder / INDEX)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "..", "a/b"])
def test_an_index_names_files_of_its_folder_alone(folder, name):
  (folder / INDEX).write_text(json.dumps({"weight_map": {"a": name}}))
  with pytest.raises(JaxkdError, match="which is in another folder"):
    shards.find_files(folder / INDEX)


def test_a_tensor_in_two_files_is_refused(folder):
  save_file(TENSORS, folder / NAMES[1])
  with pytest.raises(JaxkdError, match="holds layer0.weight, as a file before"):
    shards.read(shards.find_files(folder / INDEX))


@pytest.mark.parametrize("name", [INDEX, NAMES[0], "."])
def test_tensors_and_index_have_the_same_names(folder, name):
  whole = json.loads((folder / INDEX).read_text())
  files = whole["weight_map"]
  for more, message in (
    ({"head.bias": NAMES[1]}, f"{NAMES[1]} holds head.bias, and no file does"),
    ({"layer0.weight": None}, f"{NAMES[0]} holds layer0.weight, which"),
  ):
    changed = {k: v for k, v in (files | more).items() if v}
    (folder / INDEX).write_text(json.dumps({"weight_map": changed}))
    with pytest.raises(JaxkdError, match=message):
      shards.find_files(folder / name)


def test_an_index_may_name_tied_tensors(folder):
  half = {name: TENSORS[name] for name in list(TENSORS)[2:]}
  save_file(half, folder / NAMES[1], {"head.weight": "layer3.weight"})
  whole = json.loads((folder / INDEX).read_text())
  whole["weight_map"]["head.weight"] = NAMES[1]
  (folder / INDEX).write_text(json.dumps(whole))
  state = shards.read(shards.find_files(folder / INDEX))
  np.testing.assert_array_equal(
    state.tensors["head.weight"], TENSORS["layer3.weight"]
  )


def test_a_folder_of_several_networks(tmp_path):
  for name in ("a.safetensors", "b.safetensors"):
    save_file(TENSORS, tmp_path / name)
  with pytest.raises(JaxkdError, match="has 2 files of weights"):
    shards.find_files(tmp_path)
  (tmp_path / "empty").mkdir()
  with pytest.raises(JaxkdError, match="folder without .safetensors files"):
    shards.find_files(tmp_path / "empty")


def test_tied_tensors_have_all_their_names(tmp_path):
  path = tmp_path / "net.safetensors"
  save_file(TENSORS, path, {"format": "pt", "head.weight": "layer1.weight"})
  state = shards.read((path,))
  np.testing.assert_array_equal(
    state.tensors["head.weight"], TENSORS["layer1.weight"]
  )
  assert state.notes == ("head.weight tied to others",)


@pytest.mark.parametrize(
  ("dtype", "note"),
  [
    (jnp.bfloat16, "bfloat16 converted exactly to float32"),
    (jnp.float8_e5m2, "F8_E5M2 converted exactly to float32"),
    (np.float16, "float16 converted exactly to float32"),
    (np.float64, "float64 rounded to float32"),
  ],
)
def test_other_floats_are_said(tmp_path, dtype, note):
  values = np.linspace(-3, 7, 12).reshape(3, 4).astype(dtype)
  path = tmp_path / "net.safetensors"
  save_file({"a": values, "b": np.ones(3, np.float32)}, path)
  state = shards.read((path,))
  np.testing.assert_array_equal(
    state.tensors["a"].astype(np.float64), values.astype(np.float64)
  )
  assert state.notes == (note,)
