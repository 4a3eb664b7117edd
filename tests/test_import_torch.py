"""The command that imports a PyTorch module."""

import json
import re
import subprocess
import sys

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from jaxkd.import_teacher import main
from jaxkd.serialization import bundle
from jaxkd.synthesis import batch_statistics

torch = pytest.importorskip("torch", reason="needs the extra torch")
pytest.importorskip("torchax", reason="needs the extra torch")

FLAGS = ("--image_shape=8,8,3", "--mean=0.2,0.4,0.6", "--std=0.3")
NETS = """
import torch
from torch import nn


def net():
  torch.manual_seed(0)
  return nn.Sequential(
    nn.Conv2d(3, 6, 3),
    nn.BatchNorm2d(6),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(216, 4),
  )


def soft():
  return nn.Sequential(net(), nn.Softmax(-1))


def tied():
  torch.manual_seed(1)
  both = nn.Linear(192, 192)
  return nn.Sequential(nn.Flatten(), both, nn.Tanh(), both, nn.Linear(192, 4))


def two():
  return Two()


class Two(nn.Module):
  def __init__(self):
    super().__init__()
    self.net = net()

  def forward(self, x):
    logits = self.net(x)
    return {"features": logits[:, 1:], "score": logits[:, 0].sigmoid()}


def random():
  return nn.Sequential(net(), nn.Dropout(0.5), Random())


class Random(nn.Module):
  def forward(self, x):
    return x * torch.rand_like(x)


def averaged():
  return torch.optim.swa_utils.AveragedModel(net())


def trained_on_a_gpu():
  network = net()
  network.load_state_dict(torch.load("net.pth", weights_only=True))
  return network


def text():
  return "net"


def broken():
  raise OSError("no such file: net.pth")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
  """A folder with functions that return PyTorch modules."""
  (tmp_path / "own_torch_nets.py").write_text(NETS)
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.delitem(sys.modules, "own_torch_nets", raising=False)
  return tmp_path


def run_import(function, *flags, out="out"):
  main([f"--torch=own_torch_nets:{function}", *FLAGS, f"--out={out}", *flags])


def refused(capsys, *arguments, **options):
  """Returns the message of an import that ends with status 2."""
  with pytest.raises(SystemExit) as ended:
    run_import(*arguments, **options)
  assert ended.value.code == 2
  message = capsys.readouterr().err
  assert len(message.splitlines()) <= 2
  return message


def module(name):
  import own_torch_nets

  return getattr(own_torch_nets, name)().eval()


def answers(network, images):
  inputs = (images - np.float32([0.2, 0.4, 0.6])) / np.float32(0.3)
  inputs = torch.tensor(inputs.transpose(0, 3, 1, 2).copy())
  return network(inputs).detach().numpy()


IMAGES = np.random.default_rng(5).random((3, 8, 8, 3), np.float32)


def test_a_module_becomes_a_bundle(capsys):
  run_import("net")
  printed = capsys.readouterr().out
  assert re.search(r"largest difference [\d.e-]+, allowed", printed)
  classifier, spec, card = bundle.read("out")
  expected = answers(module("net"), IMAGES)
  np.testing.assert_allclose(
    classifier(IMAGES).logits, expected, rtol=1e-4, atol=1e-5
  )
  assert (spec.shape, spec.num_classes) == ((8, 8, 3), 4)
  assert spec.std == (0.3,) * 3
  assert card.provenance["probe"] == "PyTorch"
  assert card.provenance["torch"] == "own_torch_nets:net"


def test_its_batch_normalisations_are_seen_through_the_bundle():
  run_import("net")
  classifier, *_ = bundle.read("out")
  _, norms = jax.jit(batch_statistics.capture_batch_norms)(classifier, IMAGES)
  (inputs,) = norms.inputs
  expected = answers(module("net")[:1], IMAGES).transpose(0, 2, 3, 1)
  np.testing.assert_allclose(inputs, expected, rtol=1e-4, atol=1e-5)


def test_a_bundle_is_read_where_pytorch_is_missing(folder):
  run_import("net")
  code = (
    "import sys; sys.modules['torch'] = sys.modules['torchax'] = None; "
    "from jaxkd.serialization import bundle; "
    "print(bundle.read('out').classifier.name)"
  )
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=True
  )
  assert done.stdout == "net\n"


@pytest.mark.parametrize(
  "rename",
  [str, "module.{}".format, "model._orig_mod.{}".format],
  ids=["plain", "module", "model"],
)
def test_weights_are_loaded(folder, capsys, rename):
  state = {
    rename(name): (tensor + 0.25).numpy() if tensor.ndim else tensor.numpy()
    for name, tensor in module("net").state_dict().items()
  }
  save_file(state | {"n_averaged": np.array(7)}, "net.safetensors")
  run_import("net", "--weights=net.safetensors")
  network = module("net")
  with torch.no_grad():
    for tensor in network.state_dict().values():
      if tensor.is_floating_point():
        tensor += 0.25
  classifier, spec, card = bundle.read("out")
  np.testing.assert_allclose(
    classifier(IMAGES).logits, answers(network, IMAGES), rtol=1e-4, atol=1e-4
  )
  assert card.source.startswith("sha256:")
  assert spec.name == "net"


def test_of_tied_weights_one_is_enough():
  state = module("tied").state_dict()
  state = {n: 2 * t.numpy() for n, t in state.items() if not n.startswith("3.")}
  save_file(state, "net.safetensors")
  run_import("tied", "--weights=net.safetensors")
  network = module("tied")
  network.load_state_dict(
    {n: torch.tensor(t) for n, t in state.items()}, strict=False
  )
  np.testing.assert_allclose(
    bundle.read("out").classifier(IMAGES).logits,
    answers(network, IMAGES),
    rtol=1e-4,
    atol=1e-4,
  )


def test_probabilities(capsys):
  message = refused(capsys, "soft")
  assert "are probabilities; set --output_kind=probabilities" in message
  message = refused(capsys, "net", "--outputs=probabilities")
  assert "do not sum to 1; set --output_kind=logits" in message
  run_import("soft", "--outputs=probabilities")
  with open("out/teacher.json") as file:
    card = json.load(file)
  assert card["outputs"] == "logits"  # of the artefact, which converts them
  assert card["provenance"]["outputs"] == "probabilities"
  np.testing.assert_allclose(
    np.exp(bundle.read("out").classifier(IMAGES).logits),
    answers(module("soft"), IMAGES),
    atol=1e-5,
  )


def test_one_number_for_two_classes_among_several_outputs(capsys):
  assert "must be chosen" in refused(capsys, "two")
  message = refused(capsys, "two", "--output=score")
  assert "set --output_kind=sigmoid" in message
  run_import("two", "--output=score", "--outputs=sigmoid")
  classifier, spec, _ = bundle.read("out")
  assert spec.num_classes == 2
  expected = answers(module("net"), IMAGES)[:, 0]
  np.testing.assert_allclose(
    classifier(IMAGES).logits,
    np.stack([0 * expected, expected], -1),
    rtol=1e-4,
    atol=1e-5,
  )


@pytest.mark.parametrize(
  ("function", "flags", "message"),
  [
    ("text", (), "returned a str; it must return a torch.nn.Module"),
    ("broken", (), "failed: OSError: no such file: net.pth"),
    ("nothing", (), "own_torch_nets has no function nothing"),
    ("random", (), "computes something else in JAX"),
    ("net", ("--image_shape=9,8,3",), "does not take images"),
    ("net", ("--num_classes=5",), "returns 4 logits; leave the flag out"),
    ("net", ("--model=lenet5",), "leave out --model"),
    ("net", ("--unchecked",), "leave out --unchecked"),
    ("net", ("net.safetensors",), "leave out FILE; --weights names"),
    ("net", ("--weights=missing.safetensors",), "missing.safetensors is no"),
  ],
)
def test_what_is_refused(capsys, function, flags, message):
  assert message in refused(capsys, function, *flags)


def test_weights_of_another_network_are_refused(capsys):
  state = {n: t.numpy() for n, t in module("net").state_dict().items()}
  state["4.weight"] = state["4.weight"][:3].copy()
  state["5.weight"] = state.pop("0.weight")
  save_file(state, "net.safetensors")
  message = refused(capsys, "net", "--weights=net.safetensors")
  for part in (
    "0.weight missing", "5.weight not used", "4.weight of another shape",
  ):  # fmt: skip
    assert part in message
  assert load_file("net.safetensors").keys() == state.keys()


def test_a_pickle_is_loaded_by_the_users_function(capsys):
  torch.save(module("net").state_dict(), "net.pth")
  message = refused(capsys, "net", "--weights=net.pth")
  assert "torch.load(PATH, weights_only=True)" in message


def test_averaged_weights_and_a_normaliser_beside_them(capsys):
  state = {n: t.numpy() for n, t in module("net").state_dict().items()}
  state |= {"mean": np.float32([0.2, 0.4, 0.6]), "std": np.float32([0.3])}
  save_file(state, "net.safetensors")
  run_import("averaged", "--weights=net.safetensors")
  np.testing.assert_allclose(
    bundle.read("out").classifier(IMAGES).logits,
    answers(module("net"), IMAGES),
    rtol=1e-4,
    atol=1e-5,
  )
  save_file(state | {"std": np.float32([0.5])}, "net.safetensors")
  message = refused(capsys, "net", "--weights=net.safetensors", out="other")
  assert "--mean=0.2,0.4,0.6 --std=0.5" in message
  names = set(state) - {"mean", "std"}
  state = {f"net.{n}" if n in names else n: t for n, t in state.items()}
  save_file(state | {"std": np.float32([0.5])}, "net.safetensors")
  message = refused(capsys, "net", "--weights=net.safetensors", out="other")
  assert "--mean=0.2,0.4,0.6 --std=0.5" in message


def test_weights_of_another_device_are_read(monkeypatch):
  network = module("net")
  with torch.no_grad():
    network[4].bias += 1
  with monkeypatch.context() as patched:
    patched.setattr(torch.serialization, "location_tag", lambda _: "cuda:0")
    torch.save(network.state_dict(), "net.pth")
  run_import("trained_on_a_gpu")
  np.testing.assert_allclose(
    bundle.read("out").classifier(IMAGES).logits,
    answers(network, IMAGES),
    rtol=1e-4,
    atol=1e-5,
  )


def test_weights_without_a_module_are_refused(capsys):
  with pytest.raises(SystemExit):
    main(["--weights=net.safetensors", "--out=out"])
  assert "Give FILE, or --torch" in capsys.readouterr().err
