"""The command that imports a trained classifier."""

import hashlib
import json
import os
from pathlib import Path
import pickle
import re
import shlex
import zipfile

import jax
from jax import export
import jax.numpy as jnp
from network_weights import same
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import jaxkd
from jaxkd import models
from jaxkd.export.stablehlo import serialize
from jaxkd.import_teacher import main
from jaxkd.models.cpu import conv
from jaxkd.pipeline.setup import setup
from jaxkd.serialization import bundle, probe as probes, weights
from jaxkd.serialization.pytorch.weights import to_torch
from jaxkd.types import DataSpec

ROOT = Path(__file__).parents[1]
SPEC = DataSpec("net", (8, 8, 3), 4, (0.2, 0.4, 0.6), (0.3, 0.25, 0.2))
FLAGS = (
  "--image_shape=8,8,3",
  "--num_classes=4",
  "--mean=0.2,0.4,0.6",
  "--std=0.3,0.25,0.2",
)
IMAGES = probes.images(SPEC)


@pytest.fixture(scope="module")
def network():
  loaded = models.init("ideal_lenet", jax.random.key(0), SPEC)
  flat = jax.tree.map(
    lambda leaf: leaf + jnp.linspace(0, 0.3, leaf.size).reshape(leaf.shape),
    loaded.variables["batch_stats"],
  )
  return loaded.replace(variables={**loaded.variables, "batch_stats": flat})


@pytest.fixture(autouse=True)
def owner_files(tmp_path, monkeypatch, network):
  """Makes a folder with a network's weights and a probe."""
  monkeypatch.chdir(tmp_path)
  state = to_torch("ideal_lenet", SPEC, network.variables)
  state["bn1.num_batches_tracked"] = np.int64(7) + np.zeros((), np.int64)
  save_file({k: np.ascontiguousarray(v) for k, v in state.items()}, "net.st")
  save_probe(IMAGES, probes.answer(network, IMAGES))


def save_probe(images, rows, path="probe.st"):
  images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
  save_file({"images": images, "logits": np.ascontiguousarray(rows)}, path)


def run_import(*flags, file="net.st", out="out"):
  main([file, f"--out={out}", *flags])


def import_torch(*flags, probe="--probe=probe.st"):
  run_import("--model=ideal_lenet", *FLAGS, probe, *flags)


def refused(capsys, call, *arguments, **options):
  """Returns the message of a call that ends the process with status 2."""
  with pytest.raises(SystemExit) as ended:
    call(*arguments, **options)
  assert ended.value.code == 2
  return capsys.readouterr().err


def test_weights_of_pytorch_become_a_bundle(network, capsys):
  with open("names", "w") as file:
    file.write("cat\ndog\n\nbird\nfish\n")
  import_torch("--class_names=names")
  message = capsys.readouterr().out
  tensors = len(load_file("net.st")) - 1
  count = models.count_parameters(network.variables)
  assert f"ideal_lenet, {count:,} parameters" in message
  assert f"{tensors}, all used" in message and "largest difference" in message
  assert "--config.dataset=none --config.teacher.checkpoint=out" in message
  loaded = bundle.read("out")
  same(loaded.classifier, network)
  assert loaded.card.class_names == ("cat", "dog", "bird", "fish")
  assert loaded.card.provenance["probe"] == "given"
  with open("net.st", "rb") as file:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
  assert loaded.card.source == f"sha256:{digest}"


def test_wrapped_averaged_weights_in_two_files(network, tmp_path, capsys):
  tensors = {f"module.{k}": v for k, v in load_file("net.st").items()}
  tensors["n_averaged"] = np.array(7)
  names, files = sorted(tensors), {}
  for part in (0, 1):
    file = f"net-0000{part + 1}-of-00002.safetensors"
    save_file({name: tensors[name] for name in names[part::2]}, file)
    files |= dict.fromkeys(names[part::2], file)
  with open("net.safetensors.index.json", "w") as index:
    json.dump({"metadata": {}, "weight_map": files}, index)
  flags = ("--model=ideal_lenet", *FLAGS, "--probe=probe.st")
  run_import(*flags, file="net.safetensors.index.json")
  same(bundle.read("out").classifier, network)
  assert "read from 2 files; left out: n_averaged" in capsys.readouterr().out
  run_import(*flags, file=".", out="other")
  same(bundle.read("other").classifier, network)
  sources = {bundle.read(name).card.source for name in ("out", "other")}
  assert len(sources) == 1


@pytest.mark.parametrize(
  ("model", "shape", "classes"),
  [
    pytest.param("resnet8_16", (32, 32, 1), 3, marks=pytest.mark.slow),
    pytest.param("resnet8_16", (24, 40, 3), 2, marks=pytest.mark.slow),
    pytest.param("resnet8_16", (12, 10, 4), 7, marks=pytest.mark.slow),
    ("resnet8_16", (48, 64, 3), 5),
    ("mlp", (5,), 3),
  ],
)
def test_the_next_command_fits_shape_and_classes(capsys, model, shape, classes):
  half = (0.5,) * (shape[-1] if len(shape) == 3 else 1)
  spec = DataSpec("net", shape, classes, half, half)
  net = models.init(model, jax.random.key(0), spec)
  weights.save(Path("ours.st"), net, spec, model)
  run_import("--unchecked", file="ours.st")
  command = capsys.readouterr().out.rpartition("next")[2].split()
  assert command[:3] == ["python", "-m", "jaxkd.main"]
  argument = command[3].removeprefix("--config=")
  name, _, text = argument.partition(":")
  config = jaxkd.load_config(f"{ROOT}/{name}:{text}".rstrip(":"))
  for flag in command[4:]:
    field, _, value = flag.removeprefix("--config.").partition("=")
    value = int(value) if value.isdigit() else value
    config.update_from_flattened_dict({field: value})
  planned = setup(config)
  assert planned.spec.shape == shape and planned.spec.num_classes == classes
  assert 2 <= planned.config.synthesis.group_size <= classes
  large = len(shape) == 3 and min(shape[:2]) >= 48
  assert ("image_size" in text) == large


def test_a_normaliser_in_the_file_gives_the_flags(network, capsys):
  mean = np.array(SPEC.mean, np.float32).reshape(1, 3, 1, 1)
  std = np.array(SPEC.std, np.float32).reshape(1, 3, 1, 1)
  save_file(load_file("net.st") | {"mu": mean, "sigma": std}, "net.st")
  right = "--mean=0.2,0.4,0.6 --std=0.3,0.25,0.2"
  for flags in (
    ("--model=ideal_lenet",),
    ("--model=ideal_lenet", *FLAGS[:2]),
    ("--model=ideal_lenet", *FLAGS[:2], "--mean=0", "--std=1"),
  ):
    message = refused(capsys, run_import, *flags, "--probe=probe.st")
    assert right in message and message.count("\n") < 3
  import_torch()
  assert "left out: mu, sigma" in capsys.readouterr().out
  same(bundle.read("out").classifier, network)


def test_of_two_networks_in_a_file_the_flag_chooses(network, capsys):
  tensors = load_file("net.st")
  both = {f"model.{name}": tensor for name, tensor in tensors.items()}
  for name, tensor in tensors.items():
    if tensor.dtype == np.float32:
      both[f"ema.{name}"] = tensor + np.float32(0.5)
  save_file(both, "net.st")
  assert "choose one with --prefix=" in refused(capsys, import_torch)
  import_torch("--prefix=model")
  same(bundle.read("out").classifier, network)


def test_a_probe_of_equal_answers_is_doubted(network, capsys):
  state = load_file("net.st")
  last = {name: np.zeros_like(t) for name, t in state.items() if len(t) == 4}
  save_file(state | last, "net.st")
  save_probe(IMAGES, np.zeros((len(IMAGES), 4), np.float32))
  import_torch()
  assert "Warning: the probe proves nothing" in capsys.readouterr().out


def test_a_checkpoint_of_ours_needs_no_flags(network, tmp_path, capsys):
  weights.save(tmp_path / "ours.st", network, SPEC, "ideal_lenet")
  run_import("--probe=probe.st", file="ours.st")
  same(bundle.read("out").classifier, network)
  message = refused(
    capsys, run_import, "--model=lenet5", "--probe=probe.st", file="ours.st"
  )
  assert "holds 'ideal_lenet', not 'lenet5'" in message


def write_artefact(path, function):
  path.write_bytes(serialize(models.from_function(function, {}), SPEC))


def test_an_artefact_becomes_a_bundle(network, tmp_path):
  logits = lambda _, images: network(images).logits
  write_artefact(tmp_path / "net.stablehlo", logits)
  run_import(*FLAGS, "--probe=probe.st", file="net.stablehlo")
  loaded = bundle.read("out")
  assert loaded.card.architecture == "stablehlo"
  np.testing.assert_allclose(
    loaded.classifier(IMAGES).logits, network(IMAGES).logits, atol=1e-4
  )


def test_an_artefact_that_gives_probabilities(network, tmp_path, capsys):
  soft = lambda _, images: jax.nn.softmax(network(images).logits)
  write_artefact(tmp_path / "net.stablehlo", soft)
  flags = (*FLAGS, "--probe=probe.st")
  message = refused(capsys, run_import, *flags, file="net.stablehlo")
  assert "Softmax is already applied by the network" in message
  flags = (*flags, "--outputs=probabilities")
  message = refused(capsys, run_import, *flags, file="net.stablehlo")
  assert "the answers of the probe are not" in message
  rows = jax.nn.softmax(probes.answer(network, IMAGES))
  save_probe(IMAGES, np.asarray(rows))
  run_import(*flags, file="net.stablehlo")
  loaded = bundle.read("out")
  assert loaded.card.outputs == "probabilities"
  np.testing.assert_allclose(
    loaded.classifier(IMAGES).logits,
    jax.nn.log_softmax(network(IMAGES).logits),
    atol=1e-4,
  )


def test_an_unchecked_artefact_still_has_the_outputs_that_the_flag_names(
  network, tmp_path, capsys
):
  logits = lambda _, images: network(images).logits
  write_artefact(tmp_path / "net.stablehlo", logits)
  flags = (*FLAGS, "--unchecked", "--outputs=probabilities")
  message = refused(capsys, run_import, *flags, file="net.stablehlo")
  assert "the answers of the network are not" in message
  soft = lambda _, images: jax.nn.softmax(network(images).logits)
  write_artefact(tmp_path / "net.stablehlo", soft)
  run_import(*flags, file="net.stablehlo")


def export_as_it_is(path, function):
  """Writes an artefact of whatever a function of the images returns."""
  shape = (*export.symbolic_shape("batch"), *SPEC.shape)
  with conv.reference_form():
    exported = export.export(jax.jit(function))(
      jax.ShapeDtypeStruct(shape, jnp.float32)
    )
    path.write_bytes(exported.serialize(vjp_order=1))


def of_two_classes(network):
  """The logit of the second of two classes, as one number for an image."""
  return lambda images: (
    network(images).logits[:, 1] - network(images).logits[:, 0]
  )


TWO = ("--num_classes=2",)


@pytest.mark.parametrize(
  ("kind", "shape"),
  [
    ("logits", (-1,)),
    ("sigmoid", (-1, 1)),
    pytest.param("logits", (-1, 1), marks=pytest.mark.slow),
    pytest.param("sigmoid", (-1,), marks=pytest.mark.slow),
  ],
)
def test_an_artefact_with_one_number_for_two_classes(
  network, tmp_path, capsys, kind, shape
):
  number = of_two_classes(network)
  last = jax.nn.sigmoid if kind == "sigmoid" else lambda x: x
  answer = lambda images: last(number(images)).reshape(-1, *shape[1:])
  export_as_it_is(tmp_path / "net.stablehlo", answer)
  save_probe(IMAGES, np.asarray(answer(IMAGES)))
  flags = (*FLAGS, *TWO, "--probe=probe.st")
  if kind == "sigmoid":
    message = refused(capsys, run_import, *flags, file="net.stablehlo")
    assert "--output_kind=sigmoid" in message
  run_import(*flags, f"--output_kind={kind}", file="net.stablehlo")
  loaded = bundle.read("out")
  assert loaded.card.outputs == kind and loaded.spec.num_classes == 2
  np.testing.assert_allclose(
    jax.nn.softmax(loaded.classifier(IMAGES).logits)[:, 1],
    jax.nn.sigmoid(number(IMAGES)),
    atol=1e-5,
  )
  gradient = jax.grad(lambda x: loaded.classifier(x).logits[:, 1].sum())(IMAGES)
  expected = jax.grad(lambda x: number(x).sum())(IMAGES)
  np.testing.assert_allclose(gradient, expected, atol=1e-3)


@pytest.mark.parametrize("probability", [False, True])
def test_weights_with_one_output_for_two_classes(tmp_path, capsys, probability):
  spec = SPEC._replace(num_classes=2)
  net = models.init("ideal_lenet", jax.random.key(3), spec)
  state = to_torch("ideal_lenet", spec, net.variables)
  last = {k: v[1:] - v[:1] for k, v in state.items() if v.shape[:1] == (2,)}
  state = {k: np.ascontiguousarray(v) for k, v in (state | last).items()}
  save_file(state, "one.st")
  number = np.asarray(of_two_classes(net)(IMAGES))[:, None]
  save_probe(IMAGES, 1 / (1 + np.exp(-number)) if probability else number)
  flags = ("--model=ideal_lenet", *FLAGS, *TWO, "--probe=probe.st")
  if probability:
    message = refused(capsys, run_import, *flags, file="one.st")
    assert "--output_kind=sigmoid" in message
    flags += ("--output_kind=sigmoid",)
  run_import(*flags, file="one.st")
  assert "the logit of class 1" in capsys.readouterr().out
  np.testing.assert_allclose(
    jax.nn.softmax(bundle.read("out").classifier(IMAGES).logits),
    jax.nn.softmax(net(IMAGES).logits),
    atol=1e-5,
  )


def test_an_artefact_with_several_outputs(network, tmp_path, capsys):
  def answer(images):
    logits = network(images).logits
    features, label = images.mean((1, 2)), logits.argmax(-1)
    return {"features": features, "label": label, "other": -logits} | {
      "scores": logits
    }

  export_as_it_is(tmp_path / "net.stablehlo", answer)
  flags = (*FLAGS, "--probe=probe.st")
  message = refused(capsys, run_import, *flags, file="net.stablehlo")
  assert "other (B, 4)" in message and "--output" in message
  for output, out in (("scores", "name"), ("3", "index"), ("-1", "last")):
    run_import(*flags, f"--output={output}", file="net.stablehlo", out=out)
    loaded = bundle.read(out)
    np.testing.assert_allclose(
      loaded.classifier(IMAGES).logits, network(IMAGES).logits, atol=1e-4
    )
    first = lambda x, net=loaded.classifier: net(x).logits[:, 0].sum()
    assert np.abs(jax.grad(first)(IMAGES)).max() > 0
  message = refused(
    capsys, run_import, *flags, "--output=none", file="net.stablehlo", out="no"
  )
  assert "scores (B, 4)" in message


def test_an_artefact_that_calls_back_is_refused(capsys, tmp_path):
  target = "xla_ffi_python_cpu_callback"
  logits = jax.ShapeDtypeStruct((3, 4), jnp.float32)
  exported = export.export(
    jax.jit(lambda images: jax.ffi.ffi_call(target, logits)(images)),
    disabled_checks=[export.DisabledSafetyCheck.custom_call(target)],
  )(jax.ShapeDtypeStruct((3, *SPEC.shape), jnp.float32))
  (tmp_path / "net.stablehlo").write_bytes(exported.serialize())
  flags = (*FLAGS, "--probe=probe.st")
  message = refused(capsys, run_import, *flags, file="net.stablehlo")
  assert "has callbacks" in message


def test_a_probe_of_probabilities_for_pytorch_weights(network, capsys):
  rows = jax.nn.softmax(probes.answer(network, IMAGES))
  save_probe(IMAGES, np.asarray(rows))
  assert "--output_kind=probabilities" in refused(capsys, import_torch)
  import_torch("--outputs=probabilities")
  loaded = bundle.read("out")
  same(loaded.classifier, network)
  assert loaded.card.outputs == "logits"
  assert loaded.card.provenance["outputs"] == "probabilities"


def test_a_probe_is_required(network, capsys):
  flags = ("--model=ideal_lenet", *FLAGS)
  message = refused(capsys, run_import, *flags)
  assert "only with a probe" in message and "--unchecked" in message
  run_import(*flags, "--unchecked")
  assert "NONE" in capsys.readouterr().out
  card = bundle.read("out").card
  assert card.provenance["probe"] == "unchecked: own answers"


def test_the_cause_is_named_with_its_flag(network, capsys):
  message = refused(capsys, import_torch, "--flatten=hwc")
  assert "set --flatten=chw" in message
  message = refused(capsys, import_torch, "--mean=0", "--std=1")
  assert "None of the usual" in message  # 0.2,0.4,0.6 is no common normaliser
  message = refused(capsys, import_torch, "--batch_norm_epsilon=1e-2")
  assert "largest difference" in message
  assert not os.path.exists("out")


def test_another_epsilon_is_folded_in(network):
  changed = weights_with_variance(network, 1e-3 - 1e-5)
  save_probe(IMAGES, probes.answer(changed, IMAGES))
  import_torch("--batch_norm_epsilon=1e-3")
  np.testing.assert_allclose(
    bundle.read("out").classifier(IMAGES).logits,
    changed(IMAGES).logits,
    atol=1e-4,
  )


def weights_with_variance(network, more):
  statistics = jax.tree_util.tree_map_with_path(
    lambda path, leaf: leaf + (more if path[-1].key == "var" else 0),
    network.variables["batch_stats"],
  )
  variables = {**network.variables, "batch_stats": statistics}
  return network.replace(variables=variables)


class Trap:
  """A pickle that creates a file when it is loaded."""

  def __reduce__(self):
    return open, ("sprung", "w")


@pytest.mark.parametrize("name", ["net.pt", "net.pth", "net.pkl", "n.st"])
@pytest.mark.parametrize("kind", ["pickle", "zip"])
def test_pickles_are_refused_with_lines_that_convert_them(
  capsys, tmp_path, name, kind
):
  content = pickle.dumps(Trap())
  if kind == "pickle":
    (tmp_path / name).write_bytes(content)
  else:
    with zipfile.ZipFile(name, "w") as file:
      file.writestr("archive/data.pkl", content)
  message = refused(capsys, run_import, "--model=vgg8", *FLAGS, file=name)
  assert f'torch.load("{name}", map_location="cpu")' in message
  assert "torch.rand(16, 3, 8, 8)" in message
  assert "([0.2, 0.4, 0.6], [0.3, 0.25, 0.2])" in message
  assert "--model=vgg8 --image_shape=8,8,3 --num_classes=4" in message
  assert not (tmp_path / "sprung").exists()
  lines = message.split("\n\n")[1]
  compile(lines, "recipe", "exec")


def test_a_header_that_begins_like_a_pickle_is_accepted(network, tmp_path):
  """Writes a header whose first two bytes are those of a pickle."""
  content = bytearray((tmp_path / "net.st").read_bytes())
  length = int.from_bytes(content[:8], "little")
  header = json.loads(content[8 : 8 + length])
  wanted = 0x0280 + 0x10000  # 0x80 0x02 0x01
  text = json.dumps(header).encode().ljust(wanted)
  body = content[8 + length :]
  assert len(text) == wanted
  path = tmp_path / "net.st"
  path.write_bytes(wanted.to_bytes(8, "little") + text + bytes(body))
  import_torch()


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (("--model=ideal_lenett", *FLAGS), "Did you mean ideal_lenet"),
    (FLAGS, "give --model"),
    (("--model=ideal_lenet",), "--image_shape"),
    (("--model=ideal_lenet", *FLAGS[:3]), "--std too"),
    (("--model=ideal_lenet", *FLAGS, "--num_classes=5"), "5"),
    (("--model=ideal_lenet", *FLAGS, "--image_shape=9,9"), "spec.shape"),
    (("--model=ideal_lenet", *FLAGS, "--image_shape=3,8,8"), "=8,8,3"),
    (("--model=ideal_lenet", *FLAGS, "--std=0"), "above 0"),
    (
      ("--model=ideal_lenet", *FLAGS, "--batch_norm_epsilon=3"),
      "must be between 0 and 1",
    ),
    (("--model=ideal_lenet", *FLAGS, "--class_names=none"), "cannot be read"),
    (("--model=ideal_lenet", *FLAGS, "--class_names=two"), "2 class_names"),
    (("--model=ideal_lenet", *FLAGS, "--probe=net.st"), "exactly `images`"),
    (("--model=resnet8_16", *FLAGS), "resnet8_16"),
  ],
)
def test_mistakes_are_named_in_a_line_or_two(capsys, tmp_path, flags, message):
  (tmp_path / "two").write_text("a\nb\n")
  message = refused(capsys, run_import, "--probe=probe.st", *flags)
  assert message in message and message.count("\n") < 4
  assert not (tmp_path / "out").exists()


def test_a_missing_file_is_named(capsys):
  message = refused(capsys, run_import, "--probe=probe.st", file="nothing.st")
  assert "There is no file nothing.st" in message


def test_weights_that_are_not_finite_are_refused(capsys):
  tensors = load_file("net.st")
  name = next(name for name in tensors if name.endswith("weight"))
  tensors[name] = np.full_like(tensors[name], np.inf)
  save_file(tensors, "net.st")
  assert "not finite" in refused(capsys, import_torch)


def test_the_usage_names_every_flag(capsys):
  with pytest.raises(SystemExit):
    main(["--help"])
  message = capsys.readouterr().out
  for flag in ("probe", "unchecked", "flatten", "outputs", "layout"):
    assert re.search(rf"--{flag}\b", message)


@pytest.mark.slow
def test_the_lines_of_the_readme_work_with_tied_weights(monkeypatch):
  torch = pytest.importorskip("torch")
  readme = Path(bundle.__file__).with_name("README.md").read_text()
  (lines,) = re.findall(r"```python\n(import torch.*?)```", readme, re.DOTALL)
  conv = torch.nn.Conv2d(6, 6, 3, padding=1)
  net = torch.nn.Sequential(
    torch.nn.Conv2d(1, 6, 3, padding=1), conv, conv, torch.nn.Flatten()
  ).to(memory_format=torch.channels_last)
  exec(lines, {"net": net})
  tensors = load_file("net.safetensors")
  np.testing.assert_array_equal(tensors["1.weight"], tensors["2.weight"])
  assert load_file("probe.safetensors")["images"].shape == (16, 1, 32, 32)


@pytest.mark.slow
def test_the_lines_that_convert_a_pickle_work(capsys):
  torch = pytest.importorskip("torch")
  layers = torch.nn

  class Net(layers.Module):
    def __init__(self):
      super().__init__()
      self.conv1 = layers.Conv2d(3, 16, 5, padding=2)
      self.bn1 = layers.BatchNorm2d(16)
      self.conv2 = layers.Conv2d(16, 32, 5, padding=2)
      self.bn2 = layers.BatchNorm2d(32)
      self.fc = layers.Linear(128, 4)

    def forward(self, x):
      pool = layers.functional.max_pool2d
      x = torch.relu(pool(self.bn1(self.conv1(x)), 2))
      x = torch.relu(pool(self.bn2(self.conv2(x)), 2))
      return self.fc(x.flatten(1))

  net = Net()
  net(torch.rand(64, 3, 8, 8))  # statistics of a batch
  torch.save(net.state_dict(), "owners.pt")
  flags = ("--model=ideal_lenet", *FLAGS)
  _, lines, then = refused(capsys, run_import, *flags, file="owners.pt").split(
    "\n\n"
  )
  exec(lines, {"model": Net()})
  command = shlex.split(then.removeprefix("Then: python -m "))
  assert command[0] == "jaxkd.import_teacher"
  main(command[1:])
  x = torch.rand(2, 3, 8, 8)
  mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (SPEC.mean, SPEC.std))
  np.testing.assert_allclose(
    bundle.read("teacher").classifier(x.permute(0, 2, 3, 1).numpy()).logits,
    net.eval()((x - mean) / std).detach(),
    atol=1e-4,
  )
