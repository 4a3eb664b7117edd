"""Bundles: writing, reading, and refusing damaged or hostile ones."""

import json
import os
import pickle
import struct

import jax
from network_weights import same
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from jaxkd import models
from jaxkd.serialization import bundle, probe as probes
from jaxkd.serialization.model_card import ModelCard
from jaxkd.serialization.probe import Probe
from jaxkd.types import DataSpec, JaxkdError

SPEC = DataSpec("tiny", (8, 8, 1), 3, (0.2,), (0.3,))
CARD = ModelCard(
  "ideal_lenet", SPEC, ("cat", "dog/wolf", "…"), provenance={"a": 1}
)


@pytest.fixture(scope="module")
def network():
  return models.init("ideal_lenet", jax.random.key(0), SPEC)


@pytest.fixture(scope="module")
def probe(network):
  images = bundle.probe_images(SPEC)
  return Probe(images, probes.answer(network, images))


@pytest.fixture
def folder(network, probe, tmp_path):
  bundle.write(tmp_path / "bundle", "teacher", network, CARD, probe)
  return tmp_path / "bundle"


def refused(folder, message):
  with pytest.raises(JaxkdError, match=message) as error:
    bundle.read(folder)
  assert str(error.value).count("\n") < 2


def edit(folder, **fields):
  path = folder / "teacher.json"
  card = json.loads(path.read_text())
  card["spec"] |= fields.pop("spec", {})
  path.write_text(json.dumps(card | fields))


def safetensors(header, data=b"", length=None):
  """Returns the bytes of a file with this header, which may be wrong."""
  text = header if isinstance(header, bytes) else json.dumps(header).encode()
  text += b" " * (-len(text) % 8)
  return (
    struct.pack("<Q", len(text) if length is None else length) + text + data
  )


def parts(path):
  content = path.read_bytes()
  end = 8 + struct.unpack("<Q", content[:8])[0]
  return json.loads(content[8:end]), content[end:]


def test_a_bundle_is_read_as_written(folder, network):
  loaded = bundle.read(folder)
  same(loaded.classifier, network)
  assert loaded.card == CARD and loaded.spec == SPEC
  assert sorted(os.listdir(folder)) == [
    "probe.safetensors", "teacher.json", "teacher.safetensors"
  ]  # fmt: skip
  assert os.listdir(folder.parent) == ["bundle"]


def test_a_bundle_may_hold_a_student(network, probe, tmp_path):
  bundle.write(tmp_path, "student", network, CARD, probe)
  assert bundle.read(tmp_path).classifier.name == "ideal_lenet"
  assert (tmp_path / "student.safetensors").exists()


def test_nothing_is_overwritten(folder, network, probe):
  with pytest.raises(JaxkdError, match="is not an empty folder"):
    bundle.write(folder, "teacher", network, CARD, probe)


def test_a_bundle_that_would_be_refused_is_not_written(
  network, probe, tmp_path
):
  for card, other, message in (
    (CARD._replace(class_names=("a", "b")), probe, "2 class_names"),
    (CARD, probe._replace(logits=probe.logits + 1), "largest difference"),
  ):
    with pytest.raises(JaxkdError, match=message) as error:
      bundle.write(tmp_path / "out", "teacher", network, card, other)
    assert f".out.{os.getpid()}" not in str(error.value)
    assert not os.listdir(tmp_path)


def test_the_probe_is_checked_on_every_load(folder):
  path = folder / "teacher.safetensors"
  header, data = parts(path)
  begin, _ = header["params/Dense_0/bias"]["data_offsets"]
  data = data[:begin] + struct.pack("<f", 1.0) + data[begin + 4 :]
  path.write_bytes(safetensors(header, data))
  refused(folder, "does not answer the probe as expected")


def test_files_that_are_missing_are_named(folder):
  (folder / "probe.safetensors").unlink()
  refused(folder, "has no file probe.safetensors")
  (folder / "teacher.json").unlink()
  refused(folder, "is no bundle")


def test_two_roles_are_refused(folder):
  (folder / "student.json").write_bytes((folder / "teacher.json").read_bytes())
  refused(folder, "teacher.json and student.json")


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"architecture": "ideal_lenett"}, "Did you mean ideal_lenet"),
    ({"architecture": "../../evil"}, "Unknown architecture"),
    ({"architecture": "os:system"}, "os:system builds, .*is not imported"),
    ({"architecture": ["ideal_lenet"]}, "Unknown architecture"),
    ({"architecture": "ideal_mlp"}, "its card says"),
    ({"architecture": "stablehlo"}, "has no file teacher.stablehlo"),
    ({"outputs": "probabilities"}, "only an artefact"),
    ({"outputs": "features"}, "choose logits, prob"),
    ({"class_names": ["a", "b"]}, "2 class_names for 3"),
    ({"class_names": ["a", "b", 3]}, "must be texts"),
    ({"class_names": ["a", "b", "c\n"]}, "must be texts"),
    ({"class_names": ["a", "b", "\ud800"]}, "must be texts"),
    ({"class_names": ["a", "a", "b"]}, "twice"),
    ({"class_names": "abc"}, "must be a list"),
    ({"source": "/etc/passwd"}, "sha256"),
    ({"source": 3}, "sha256"),
    ({"provenance": []}, "JSON object"),
    ({"weights": "../../other.safetensors"}, "exactly"),
    ({"spec": {"num_classes": 4}, "class_names": []}, "rows of 4 logits"),
    ({"spec": {"num_classes": 2**40}}, "choose 2 to"),
    ({"spec": {"num_classes": True}}, "choose 2 to"),
    ({"spec": {"num_classes": "3"}}, "choose 2 to"),
    ({"spec": {"shape": [2**40, 2**40, 1]}}, "spec.shape"),
    ({"spec": {"shape": [2**20, 2**20, 1]}}, "may have up to"),
    ({"spec": {"shape": [8, 8, -1]}}, "spec.shape"),
    ({"spec": {"shape": [8, 8, 1.0]}}, "spec.shape"),
    ({"spec": {"shape": []}}, "spec.shape"),
    ({"spec": {"shape": [8, 8, 1] * 1000}}, "spec.shape"),
    ({"spec": {"shape": [4, 16, 1]}}, "not N images"),
    ({"spec": {"std": [0.0]}}, "above 0"),
    ({"spec": {"mean": [0.1] * 7}}, "one per channel"),
    ({"spec": {"mean": [10**30]}}, "one per channel"),
    ({"spec": {"mean": [0.5]}}, "its card says"),
    ({"spec": {"name": "../../x"}}, "without slashes"),
    ({"spec": {"name": ".."}}, "dot"),
    ({"spec": {"name": 5}}, "without slashes"),
    ({"spec": {"path": "x"}}, "exactly"),
  ],
)
def test_invalid_cards_are_refused(folder, fields, message):
  edit(folder, **fields)
  refused(folder, message)


@pytest.mark.parametrize(
  ("text", "message"),
  [
    (b"", "no valid JSON"),
    (b"[]", "must hold a JSON object"),
    (b"[" * 100_000, "no valid JSON"),
    (b"\xff\xfe\x00", "no valid JSON"),
    (b'{"architecture": "a", "architecture": "b"}', "twice"),
    (b'{"architecture": NaN}', "no number"),
    (b'{"architecture": "a"}', "exactly"),
    (b" " * (2**20 + 1), "more than"),
    (b"9" * 5000, "no valid JSON"),
  ],
)
def test_a_card_file_must_hold_a_card(folder, text, message):
  (folder / "teacher.json").write_bytes(text)
  refused(folder, message)


def damaged_files(header, data):
  """Returns contents of damaged files and their error messages, by name."""
  name = "params/Dense_0/bias"
  entry = header[name]
  begin, end = entry["data_offsets"]

  def with_entry(**fields):
    return header | {name: entry | fields}

  weights = np.frombuffer(data, np.float32)
  text = json.dumps(header).encode()
  twice = text[:-1] + b", " + json.dumps({name: entry})[1:].encode()
  return {
    "empty": (b"", "damaged"),
    "short": (b"\x08\0\0", "damaged"),
    "truncated": (safetensors(header, data)[:-9], "damaged"),
    "longer": (safetensors(header, data + bytes(8)), "damaged"),
    "header too long": (safetensors(header, data, 2**60), "claims"),
    "header of 2^64 - 1": (safetensors(header, data, 2**64 - 1), "claims"),
    "header past the end": (safetensors(header, b"", 2**16), "claims"),
    "no JSON": (safetensors(b"{nonsense", data), "damaged"),
    "deep": (safetensors(b"[" * 100_000, data), "damaged"),
    "a list": (safetensors(b"[]", data), "damaged"),
    "twice": (safetensors(twice, data), "twice"),
    "2^60 values": (safetensors(with_entry(shape=[2**60]), data), "damaged"),
    "2^60 bytes": (
      safetensors(with_entry(data_offsets=[begin, 2**60]), data),
      "damaged",
    ),
    "overflow": (
      safetensors(with_entry(shape=[2**32, 2**32, 2**32]), data),
      "damaged",
    ),
    "overlap": (
      safetensors(with_entry(data_offsets=[begin - 4, end - 4]), data),
      "damaged",
    ),
    "backwards": (
      safetensors(with_entry(data_offsets=[end, begin]), data),
      "damaged",
    ),
    "negative": (
      safetensors(with_entry(data_offsets=[-12, 0]), data),
      "damaged",
    ),
    "nothing": (safetensors(with_entry(shape=[2**60, 0]), data), "damaged"),
    "other shape": (safetensors(with_entry(shape=[3, 1]), data), "not fit"),
    "integers": (safetensors(with_entry(dtype="I32"), data), "not fit"),
    "no such type": (safetensors(with_entry(dtype="Q7"), data), "damaged"),
    "NaN": (
      safetensors(header, np.full_like(weights, np.nan).tobytes()),
      "not finite",
    ),
    "infinite": (
      safetensors(header, np.full_like(weights, -np.inf).tobytes()),
      "not finite",
    ),
    "another name": (
      safetensors(
        {("../x" if key == name else key): v for key, v in header.items()}, data
      ),
      "not fit",
    ),
    "no names": (
      safetensors(
        {key: v for key, v in header.items() if key != "__metadata__"}, data
      ),
      "not written by jaxkd",
    ),
    "spec": (
      safetensors(
        header | {"__metadata__": {"model": "ideal_lenet", "spec": "[]"}}, data
      ),
      "JSON object",
    ),
    "model": (
      safetensors(
        header | {"__metadata__": header["__metadata__"] | {"model": "a:b"}},
        data,
      ),
      "a:b builds, .*is not imported",
    ),
  }


DAMAGED = list(
  damaged_files(
    {
      "params/Dense_0/bias": {"data_offsets": [0, 4]},
      "__metadata__": {},
    },
    b"",
  )
)


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_files_are_refused(folder, damage):
  path = folder / "teacher.safetensors"
  content, message = damaged_files(*parts(path))[damage]
  path.write_bytes(content)
  refused(folder, message)


def test_a_wrong_class_count_does_not_fit_the_weights(folder, probe):
  edit(folder, spec={"num_classes": 4}, class_names=[])
  rows = np.zeros((len(probe.images), 4), np.float32)
  save_file(
    {"images": probe.images, "logits": rows}, folder / "probe.safetensors"
  )
  refused(folder, "its card says")
  path = folder / "teacher.safetensors"
  header, data = parts(path)
  spec = json.loads(header["__metadata__"]["spec"]) | {"num_classes": 4}
  header["__metadata__"]["spec"] = json.dumps(spec)
  path.write_bytes(safetensors(header, data))
  refused(folder, "does not fit ideal_lenet: params/Dense_0/bias")


def test_nan_in_the_probe_is_refused(folder):
  path = folder / "probe.safetensors"
  tensors = load_file(path)
  tensors["logits"] = np.full_like(tensors["logits"], np.nan)
  save_file(tensors, path)
  refused(folder, "not finite")


class Trap:
  """A pickle that creates a file when it is loaded."""

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return open, (str(self.path), "w")


@pytest.mark.parametrize("name", ["teacher.safetensors", "probe.safetensors"])
def test_a_pickle_is_not_loaded(folder, tmp_path, name):
  created = tmp_path / "created"
  (folder / name).write_bytes(pickle.dumps(Trap(created)))
  refused(folder, "damaged or no safetensors")
  assert not created.exists()


@pytest.mark.parametrize(
  "name", ["teacher.json", "teacher.safetensors", "probe.safetensors"]
)
def test_links_out_of_the_bundle_and_pipes_are_refused(folder, tmp_path, name):
  elsewhere = tmp_path / "elsewhere"
  (folder / name).rename(elsewhere)
  (folder / name).symlink_to(elsewhere)
  refused(folder, "is a link out of the bundle")
  (folder / name).unlink()
  os.mkfifo(folder / name)
  refused(folder, "is no file")
