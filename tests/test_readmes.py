"""The blocks of every README are run, in order, in one folder per README.

With `-m slow` all commands and Python blocks run, at smoke size. The default
run executes what needs no earlier run: `jaxkd.main` plans instead of training,
once for each config of a README.
"""

import gzip
import os
from pathlib import Path
import re
import runpy
import shlex
import socket
import struct
import subprocess
import sys
from typing import NamedTuple

from forks import TIMEOUT_S, run_module
import jax
import numpy as np
from PIL import Image
import pytest
from safetensors.numpy import save_file

import jaxkd
from jaxkd import models
from jaxkd.config import fields
from jaxkd.pipeline.resolution import RUN
from jaxkd.serialization import bundle, probe as probes, weights
from jaxkd.serialization.model_card import ModelCard
from jaxkd.serialization.probe import Probe
from jaxkd.serialization.pytorch.weights import to_torch

ROOT = Path(__file__).parents[1]
READMES = (
  "README.md",
  "configs/README.md",
  *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("jaxkd/**/README.md")),
  "launch/README.md",
)
FENCE = r"^```(?P<language>\w*)\n(?P<block>.*?)^```$"
INLINE = r"`(?P<command>(python|pip) [^`]+)`"
STEPS = re.compile(f"{FENCE}|{INLINE}", re.MULTILINE | re.DOTALL)

# How each step begins that no test runs, and what it needs.
EXEMPT = {
  "python3 -m venv": "a package registry",
  "pip install": "a package registry",
  "onnx/bin/python": "an environment with jax2onnx",
  "python -m jaxkd.data prepare cifar10": "a network",
  "python -m jaxkd.data prepare imagenet12": "ImageNet",
  'python -c "import tensorflow_datasets': "TensorFlow",
  "python -m jaxkd.tables record": "a run at its full size",
  "python -m pytest -m slow": "more than ten minutes",
  "import torch": "PyTorch",  # and torchvision
  "python -m jaxkd.import_teacher --torch": "PyTorch",
  "sbatch": "Slurm",
  "kubectl": "Kubernetes",
  "TPU=NAME": "a TPU",
  "python -m jaxkd.main --config=configs/cake.py --workdir=s3:": "a bucket",
  "python -m jaxkd.export student --workdir=s3:": "a bucket",
}
# What a step becomes at smoke size: (pattern, replacement), in this order.
SMOKE = (
  (r"(configs/\w+\.py)(?=[ \"]|$)", r"\1:smoke"),
  (r"(configs/\w+\.py:)(?!.*smoke)", r"\1smoke,"),
  # The tests' flags of XLA compile fast, and run slowly.
  (
    r"^(python -m jaxkd\.bench.*)",
    r"env -u XLA_FLAGS \1 --size=small --repeats=1",
  ),
  (r"queries\.budget=\d+", "queries.budget=400"),
)
# What the default run executes as it is, beside Python blocks.
QUICK = (
  "--plan", "--list", "--fields", "jaxkd.data", "import_teacher",
  "export source --name=strokes",
)  # fmt: skip
# The worked example runs by default too, for an epoch and a round of a few
# images, with networks that compile at once.
EXAMPLE = "python -m jaxkd.main --config=my_config.py"
SHORT = " --config.teacher.model=mlp --config.student.model=mlp \
--config.image_size=8 --config.teacher.epochs=1 --config.student.epochs=1 \
--config.synthesis.num_rounds=1 --config.synthesis.batch_size=128"
# What makes a Python block wait for the slow test: files of an earlier run, and
# a run of its own.
SLOW = ("runs/", "student/", "jaxkd.distill(")


class Step(NamedTuple):
  """A command, or a whole Python block."""

  language: str
  text: str

  @property
  def exempt(self) -> bool:
    return any(self.text.startswith(start) for start in EXEMPT)

  def smoke(self) -> "Step":
    """The step at smoke size."""
    text = self.text
    for pattern, replacement in SMOKE:
      text = re.sub(pattern, replacement, text)
    return self._replace(text=text)

  @property
  def config(self) -> str:
    """The file of the config of a run, empty where there is none."""
    found = re.search(r"--config=(\w+/\w+\.py)", self.text)
    return found[1] if found else ""

  def quick(self, planned: set[str]) -> "Step | None":
    """What the default run makes of the step; None if it leaves it out.

    Args:
      planned: configs of which a run was planned before. Of others of them it
        is checked that their fields exist and are allowed.
    """
    if self.language == "python":
      slow = any(words in self.text for words in SLOW)
      return None if slow else self.smoke()
    if any(words in self.text for words in QUICK):
      return self
    if self.text.startswith(EXAMPLE):
      return self._replace(text=self.text + SHORT)
    if "-m jaxkd.main" in self.text:
      ask = "--fields" if self.config in planned else "--plan"
      return self._replace(text=f"{self.text.removesuffix(' &')} {ask}")
    return None


def text_of(readme: str) -> str:
  return (ROOT / readme).read_text()


def steps_of(readme: str) -> list[Step]:
  """Whole Python blocks, and every command of shell blocks and of the text."""
  steps = []
  for found in STEPS.finditer(text_of(readme)):
    if found["language"] == "python":
      steps.append(Step("python", found["block"]))
    elif found["language"] in ("bash", None):
      block = re.sub(r"\\\n\s*", "", found["block"] or found["command"])
      lines = [re.sub(r"\s+#.*", "", line) for line in block.splitlines()]
      steps += [Step("bash", line) for line in lines if line]
  return steps


def free_port() -> str:
  with socket.socket() as listening:
    listening.bind(("127.0.0.1", 0))
    return str(listening.getsockname()[1])


class Session:
  """Runs the steps of one README in `folder`.

  Ports and addresses of a README are replaced by free ones on this machine.
  """

  def __init__(self, folder: Path):
    self.folder = folder
    self.addresses = {
      "8000": free_port(),
      "10.0.0.1:1234": f"127.0.0.1:{free_port()}",
    }
    binaries = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    self.environment = os.environ | {"PATH": binaries, "PYTHONPATH": str(ROOT)}
    self.background: dict[str, subprocess.Popen] = {}

  def run(self, step: Step, fork: bool = False) -> None:
    """Runs a step; `fork` saves the seconds in which a process imports."""
    print(step.text)
    text = step.text
    for printed, real in self.addresses.items():
      text = text.replace(printed, real)
    if step.language == "python":
      self.python(text)
    elif fork:
      self.module(text)
    else:
      self.shell(text)

  def python(self, text: str) -> None:
    """Runs a block; one that begins with a file's name becomes that file."""
    named = re.match(r"# ([\w/]+\.py)\n", text)
    path = self.folder / (named.group(1) if named else "block.py")
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    if not named:
      runpy.run_path(str(path), run_name="__main__")

  def module(self, command: str) -> None:
    """Runs a command that begins with `python -m`, in a fork."""
    _, _, *arguments = shlex.split(command)
    result = run_module(arguments, self.folder, dict(self.environment))
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"

  def shell(self, command: str) -> None:
    """Runs a command; one that ends with `&` goes on beside those after it."""
    started = subprocess.Popen(
      ["bash", "-c", f"exec {command.removesuffix('&')}"],
      cwd=self.folder, env=self.environment,
      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    if not command.endswith("&"):
      self.finish(command, started)
      return
    self.background[command] = started
    if "jaxkd.serve" in command:
      assert started.stdout.readline()  # it says so when it listens

  def finish(self, command: str, started: subprocess.Popen) -> None:
    with started:
      try:
        said, _ = started.communicate(timeout=TIMEOUT_S)
      finally:
        started.kill()
    assert started.returncode == 0, f"{command}\n{said}"

  def close(self) -> None:
    for command, started in self.background.items():
      if "jaxkd.serve" in command:
        started.terminate()
        started.communicate(timeout=60)
      else:
        self.finish(command, started)


def write_digits(folder: Path) -> None:
  """Files as MNIST and Fashion-MNIST have them."""
  folder.mkdir()
  for part, count in (("train", 20), ("t10k", 8)):
    labels = np.arange(count, dtype=np.uint8) % 10
    images = np.zeros((count, 28, 28), np.uint8) + labels[:, None, None]
    for name, values in (("images-idx3", images), ("labels-idx1", labels)):
      header = struct.pack(
        f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape
      )
      path = folder / f"{part}-{name}-ubyte.gz"
      path.write_bytes(gzip.compress(header + values.tobytes()))


def write_pytorch(path: Path) -> None:
  """What the exempt block of PyTorch writes, from a network of our own."""
  spec = jaxkd.DataSpec("net", (32, 32, 1), 10, (0.1307,), (0.3081,))
  network = models.init("lenet5", jax.random.key(0), spec)
  images = np.random.default_rng(0).random((16, *spec.shape), np.float32)
  logits = np.asarray(jax.jit(lambda x: network(x).logits)(images))
  state = to_torch("lenet5", spec, network.variables)
  state = {name: np.ascontiguousarray(x) for name, x in state.items()}
  save_file(state, path)
  images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
  probe = {"images": images, "logits": logits}
  save_file(probe, path.with_name("probe.safetensors"))


def write_teacher(path: Path) -> None:
  spec = jaxkd.DataSpec("digits", (32, 32, 1), 10, (0.5,), (0.5,))
  network = models.init("lenet5", jax.random.key(0), spec)
  weights.save(path, network, spec, "lenet5")


def write_bundle(folder: Path) -> None:
  """What importing a PyTorch module writes, of a network of our own."""
  spec = jaxkd.DataSpec("photos", (64, 64, 3), 10, (0.5,) * 3, (0.5,) * 3)
  network = models.init("resnet8_8", jax.random.key(0), spec)
  images = bundle.probe_images(spec)
  probe = Probe(images, probes.answer(network, images))
  bundle.write(folder, "teacher", network, ModelCard("resnet8_8", spec), probe)


def write_own_digits(path: Path) -> None:
  labels = np.arange(40) % 10
  images = np.random.default_rng(0).random((40, 28, 28), np.float32)
  np.savez(path, images=images, labels=labels)


def write_photos(folder: Path) -> None:
  folder.mkdir()
  pixels = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
  Image.fromarray(pixels).save(folder / "photo.png")


# Files that READMEs take for granted, by their names.
STAND_INS = {
  "downloads": write_digits,
  "net.safetensors": write_pytorch,
  "teacher.safetensors": write_teacher,
  "digits.npz": write_own_digits,
  "photos": write_photos,
  "imported": write_bundle,
  "token.txt": lambda path: path.write_text("secret"),
}


@pytest.fixture
def session(request, tmp_path, monkeypatch):
  """A `Session` in a folder with what its README takes for granted."""
  commands = "\n".join(
    step.text for step in steps_of(request.node.callspec.params["readme"])
  )
  for name, write in STAND_INS.items():
    if re.search(rf"(?<![/\w]){re.escape(name)}\b", commands):
      write(tmp_path / name)
  (tmp_path / "launch").symlink_to(ROOT / "launch")
  monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(tmp_path)
  session = Session(tmp_path)
  yield session
  session.close()


every_readme = pytest.mark.parametrize("readme", READMES)


PLANNED: set[str] = set()  # configs that were planned for another README


@every_readme
def test_what_trains_nothing_runs(readme, session):
  for step in steps_of(readme):
    if not step.exempt and (quick := step.quick(PLANNED)):
      session.run(quick, fork=True)
      if "--plan" in quick.text:
        PLANNED.add(step.config)


@pytest.mark.slow
@every_readme
def test_everything_runs_at_smoke_size(readme, session):
  for step in steps_of(readme):
    if not step.exempt:
      session.run(step.smoke())


@every_readme
def test_every_block_is_python_or_shell_or_text(readme):
  languages = [found["language"] for found in STEPS.finditer(text_of(readme))]
  assert set(languages) <= {"python", "bash", "text", None}
  # Blocks that are indented would not be run.
  outside = re.sub(FENCE, "", text_of(readme), flags=re.M | re.S)
  assert not re.search(r"^ {4}", outside, re.MULTILINE)


def test_every_exemption_is_needed():
  texts = [step.text for readme in READMES for step in steps_of(readme)]
  for start in EXEMPT:
    assert any(text.startswith(start) for text in texts), start


@every_readme
def test_configs_that_the_text_names_load(readme):
  for name in re.findall(r"`(configs/\w+\.py(?::[\w=,]+)?)`", text_of(readme)):
    jaxkd.load_config(str(ROOT / name))


@every_readme
def test_fields_that_the_text_names_exist(readme):
  blocks = "teacher|student|queries|adaptation|profile"
  files = "json|png|safetensors|stablehlo"
  pattern = rf"`((?:{blocks})\.(?!{files})[\w.]+)[`=]"
  for name in re.findall(pattern, text_of(readme)):
    fields.find(RUN, name)


@every_readme
def test_links_lead_somewhere(readme):
  for link in re.findall(r"\]\(([^)]+)\)", text_of(readme)):
    path, _, heading = link.partition("#")
    if link.startswith("https://"):
      continue
    target = (ROOT / readme).parent / path if path else ROOT / readme
    assert target.exists(), link
    headings = (
      re.findall(r"^#+ (.*)", target.read_text(), re.M) if heading else []
    )
    assert not heading or heading in [
      name.lower().replace(" ", "-") for name in headings
    ], link


def test_the_readme_is_short():
  assert len(text_of("README.md").splitlines()) <= 250


def test_the_architecture_names_what_the_package_has():
  rows = re.findall(r"^\| (`.*?) \| ", text_of("README.md"), re.MULTILINE)
  _, section = text_of("README.md").split("## Architecture")
  rows = re.findall(r"^\| (`.*?) \| ", section, re.MULTILINE)
  named = {
    name.rstrip("/") for row in rows for name in re.findall("`(.*?)`", row)
  }
  there = {
    path.name for path in (ROOT / "jaxkd").iterdir() if path.name[0] not in "_."
  }
  assert named == there - {"py.typed"}
