"""The command that imports a trained classifier as a teacher bundle.

python -m jaxkd.import_teacher net.safetensors --model=resnet18 \
  --image_shape=32,32,3 --num_classes=10 --mean=0.5 --std=0.5 \
  --probe=probe.safetensors --out=teacher
python -m jaxkd.import_teacher --torch=my_models:net --weights=net.safetensors \
  --image_shape=64,64,3 --mean=0.5 --std=0.25 --out=teacher
"""

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
import hashlib
import re
import sys

from jaxkd import __version__, models
from jaxkd.config.teacher_fields import OUTPUT_KINDS
from jaxkd.export.pytorch import export_module
from jaxkd.runtime.files import user_path
from jaxkd.serialization import (
  bundle,
  class_names,
  data_spec,
  imported,
  mismatch,
  model_card,
  probe as probes,
  shards,
)
from jaxkd.serialization.imported import ImportedModel
from jaxkd.serialization.model_card import ModelCard
from jaxkd.serialization.probe import Probe
from jaxkd.types import DataSpec, JaxkdError

ANY = "resnet8_16"  # a small network for images of any size
_FILE_HELP = """\
safetensors with PyTorch's names or written by jaxkd, the .index.json or folder
of several, or a .stablehlo artefact of jax.export; pickles (.pt, .pth, ...) are
refused with the lines that convert them"""
_MODEL_HELP = """\
name in jaxkd.models, e.g. resnet18; or module:function of a network of your
own, in a file that jaxkd wrote"""
_PROBE_HELP = """\
safetensors file with `images` [N, C, H, W] or [N, H, W, C] in [0, 1], before
the normaliser, and `logits` [N, K], your network's answers to them"""
_PREFIX_HELP = """\
what stands before the names of the network's tensors, as model. or ema.; by
default the one that fits"""
_KIND_HELP = """\
what your network gives, and the probe: logits, probabilities, or sigmoid: one
number for two classes, the probability of the second"""
_OUTPUT_HELP = """\
name or index of that output, if an artefact or PyTorch module has several"""
_NAMES_HELP = """\
one name per line, or JSON: a list, or an object of numbers and names"""
# What makes no sense for a PyTorch module, which is its own probe.
_FILE_FLAGS = (
  "file", "model", "probe", "layout", "unchecked", "prefix",
  "batch_norm_epsilon",
)  # fmt: skip
_TORCH_HELP = """\
module:function of yours, without arguments, that returns a PyTorch module; in
place of FILE. PyTorch itself is the probe (pip install 'jaxkd[torch]')"""
_EPSILON_HELP = """\
epsilon of your network's BatchNorm, if it is not 1e-5 (Keras has 1e-3)"""


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="python -m jaxkd.import_teacher",
    description="Imports a trained classifier as a bundle.",
    formatter_class=argparse.RawTextHelpFormatter,
  )
  add = parser.add_argument
  add("file", metavar="FILE", type=user_path, nargs="?", help=_FILE_HELP)
  add("--torch", metavar="MODULE:FUNCTION", default="", help=_TORCH_HELP)
  add(
    "--weights",
    metavar="FILE",
    type=user_path,
    help="safetensors file that is loaded into the PyTorch module",
  )
  add(
    "--out", metavar="DIR", type=user_path, required=True, help="folder to make"
  )
  add("--model", default="", help=_MODEL_HELP)
  add("--image_shape", metavar="H,W,C", type=_integers, help="e.g. 32,32,3")
  add("--num_classes", metavar="K", type=int)
  for name in ("mean", "std"):
    add(
      f"--{name}",
      metavar="X,...",
      type=_floats,
      help=f"{name} of your normaliser, for pixels in [0, 1]",
    )
  add("--probe", metavar="FILE", type=user_path, help=_PROBE_HELP)
  add("--layout", default="", choices=("nhwc", "nchw"), help="of the probe")
  add(
    "--unchecked",
    action="store_true",
    help="import without a probe, so that the network is not verified",
  )
  add("--class_names", metavar="FILE", type=user_path, help=_NAMES_HELP)
  add("--prefix", metavar="TEXT", help=_PREFIX_HELP)
  add(
    "--output_kind",
    "--outputs",
    dest="outputs",
    default="",
    choices=OUTPUT_KINDS,
    help=_KIND_HELP,
  )
  add("--output", metavar="NAME", default="", help=_OUTPUT_HELP)
  add(
    "--flatten",
    default="chw",
    choices=("chw", "hwc"),
    help="order in which maps are flattened; PyTorch's is chw",
  )
  add("--batch_norm_epsilon", metavar="X", type=float, help=_EPSILON_HELP)
  return parser


def _integers(text: str) -> tuple[int, ...]:
  return tuple(int(part) for part in text.split(","))


def _floats(text: str) -> tuple[float, ...]:
  return tuple(float(part) for part in text.split(","))


def main(argv: Sequence[str] | None = None) -> None:
  """Imports one file; mistaken arguments end the process with status 2."""
  arguments = _parser().parse_args(argv)
  try:
    for line in _import(arguments):
      print(line)
  except JaxkdError as error:
    print(f"jaxkd: {error}", file=sys.stderr)
    sys.exit(2)


def _import(arguments: argparse.Namespace) -> list[str]:
  """Writes the bundle and returns the lines of a summary."""
  loaded, probe = (_load_module if arguments.torch else _load_file)(arguments)
  path = arguments.weights if arguments.torch else arguments.file
  what = path or arguments.torch
  difference = _check(loaded, probe, f"The network in {what}")
  source = hashlib.sha256()
  for each in shards.find_files(path) if path else ():
    source.update(each.read_bytes())
  is_artefact = loaded.architecture == model_card.ARTEFACT
  card = ModelCard(
    loaded.architecture,
    loaded.spec,
    class_names.read(arguments.class_names) if arguments.class_names else (),
    # The networks of jaxkd.models return logits, without the owner's softmax,
    # and so do artefacts that are made here.
    (is_artefact and not arguments.torch and arguments.outputs) or "logits",
    f"sha256:{source.hexdigest()}" if path else "",
    {
      "file": path.name if path else "",
      "torch": arguments.torch,
      "probe": _probe_source(arguments) or "unchecked: own answers",
      "largest_difference": difference if _probe_source(arguments) else None,
      "outputs": arguments.outputs or "logits",
      "flatten": arguments.flatten,
      "batch_norm_epsilon": arguments.batch_norm_epsilon,
      "jaxkd": __version__,
      "date": datetime.now(UTC).isoformat(timespec="seconds"),
    },
    "" if arguments.torch else arguments.output,
  )
  model_card.check(card, str(what))
  bundle.write(
    arguments.out, "teacher", loaded.classifier, card, probe, loaded.artefact
  )
  return _summary(arguments, loaded, probe, difference)


def _check(loaded: ImportedModel, probe: Probe, what: str) -> float:
  """Checks a network by its probe, with a hint if its weights are short."""
  try:
    return probes.check(loaded.classifier, probe, what)
  except JaxkdError as error:
    if not any("converted exactly" in note for note in loaded.notes):
      raise
    raise JaxkdError(
      f"{error} The weights in the file are rounded ({loaded.notes[0]}): make "
      "the probe with these, in float32."
    ) from error


def _probe_source(arguments: argparse.Namespace) -> str:
  """Returns where the expected answers are from; "" if there are none."""
  return "PyTorch" if arguments.torch else "given" if arguments.probe else ""


def _load_module(
  arguments: argparse.Namespace,
) -> tuple[ImportedModel, Probe]:
  """Exports a PyTorch module of the user, and its answers as a probe."""
  for flag in _FILE_FLAGS:
    if getattr(arguments, flag) not in (None, "", False):
      name = "FILE" if flag == "file" else f"--{flag}"
      raise JaxkdError(
        f"--torch={arguments.torch} makes the network: leave out {name}; "
        "--weights names its weights."
      )
  loaded, probe = export_module(
    arguments.torch,
    arguments.weights,
    _spec(arguments),
    output=arguments.output,
    output_kind=arguments.outputs or "logits",
  )
  classes = loaded.spec.num_classes
  if arguments.num_classes not in (None, classes):
    raise JaxkdError(
      f"--num_classes={arguments.num_classes}, but {arguments.torch} returns "
      f"{classes} logits; leave the flag out."
    )
  return loaded, probe


def _load_file(arguments: argparse.Namespace) -> tuple[ImportedModel, Probe]:
  """Imports the network in a file, and reads or makes its probe."""
  path, epsilon = arguments.file, arguments.batch_norm_epsilon
  if path is None or arguments.weights:
    raise JaxkdError(
      "Give FILE, or --torch=my_models:net, with or without --weights=FILE."
    )
  if epsilon is not None and not 0 < epsilon < 1:
    raise JaxkdError(
      f"--batch_norm_epsilon={epsilon} must be between 0 and 1, e.g. 1e-3."
    )
  loaded = imported.load(
    path,
    arguments.model,
    _spec(arguments),
    outputs=arguments.outputs or "logits",
    output=arguments.output,
    flatten=arguments.flatten,
    epsilon=epsilon,
    prefix=arguments.prefix,
  )
  return loaded, _probe(arguments, loaded)


def _summary(
  arguments: argparse.Namespace,
  loaded: ImportedModel,
  probe: Probe,
  difference: float,
) -> list[str]:
  size, tensors = "parameters inside", "inside the artefact"
  if not loaded.artefact:
    count = models.count_parameters(loaded.classifier.variables)
    notes = "; ".join(loaded.notes)
    all_used = "" if "left out" in notes else ", all used"
    size = f"{count:,} parameters"
    tensors = f"{loaded.tensors}{all_used}{'; ' * bool(notes)}{notes}"
  limit = probes.tolerance(probe)
  checked = (
    f"largest difference {difference:.2g}, allowed {limit:.2g}"
    if _probe_source(arguments)
    else "NONE: the network is not verified"
  )
  return [
    f"network  {loaded.architecture}, {size}",
    f"tensors  {tensors}",
    f"probe    {checked}",
    f"written  {arguments.out}",
    "next     python -m jaxkd.main --config=configs/cake.py"
    f"{_recipe(loaded.spec)} --config.teacher.checkpoint={arguments.out} "
    "--config.dataset=none",
  ]


def _recipe(spec: DataSpec) -> str:
  """Returns what the next command has to add for inputs that are not 32x32."""
  if len(spec.shape) != 3:
    return ":dataset=two_moons"
  return "" if spec.shape[:2] == (32, 32) else f" --config.student.model={ANY}"


def _spec(arguments: argparse.Namespace) -> DataSpec | None:
  """Returns the spec of the inputs from the flags, or None if none is given.

  A PyTorch module itself says how many classes it has; without the flag they
  are 2 here.
  """
  flags = ["image_shape", "num_classes", "mean", "std"]
  values = {flag: getattr(arguments, flag) for flag in flags}
  if arguments.torch:
    values["num_classes"] = arguments.num_classes or 2
  missing = [flag for flag in flags if values[flag] is None]
  if len(missing) == len(flags):
    return None
  if missing:
    path = arguments.weights or arguments.file
    stored = imported.stored_normaliser(path) if path else None
    hint = (
      "--mean=0 --std=1 if the network does not normalise images in [0, 1]."
    )
    if stored:
      hint = f"those of the normaliser in {path} are {stored.flags}"
    raise JaxkdError(
      f"Give {' and '.join(f'--{flag}' for flag in missing)} too; {hint}"
    )
  shape, classes, mean, std = values.values()
  channels = shape[-1]
  mean, std = (v * channels if len(v) == 1 else v for v in (mean, std))
  path = arguments.weights or arguments.file
  name = path.stem if path else arguments.torch.partition(":")[2]
  name = re.sub(r"[^\w.-]", "_", name).lstrip(".")[:100]
  spec = DataSpec(name or "user", shape, classes, mean, std)
  data_spec.check_spec(spec, "These flags")
  return spec


def _probe(arguments: argparse.Namespace, loaded: ImportedModel) -> Probe:
  """Reads the owner's probe, or makes one of the network's answers."""
  if arguments.probe:
    kind = arguments.outputs
    probe = probes.load(arguments.probe, loaded.spec, arguments.layout, kind)
    if kind != "sigmoid":
      return probe
    # Near 0 and 1 a float32 sigmoid does not say its logit exactly.
    answers = probes.answer(loaded.classifier, probe.images)
    same = mismatch.sigmoid_difference(answers, probe.logits)
    return probe._replace(logits=answers) if same <= probes.TOLERANCE else probe
  if not arguments.unchecked:
    raise JaxkdError(
      "A network is imported only with a probe: give --probe=FILE (see "
      "--help), or --unchecked."
    )
  images = bundle.probe_images(loaded.spec)
  probe = Probe(images, probes.answer(loaded.classifier, images))
  soft = loaded.artefact and arguments.outputs == "probabilities"
  if soft and not mismatch.are_log_probabilities(probe.logits):
    raise JaxkdError(
      "--output_kind=probabilities, but the answers of the artefact are not: "
      "they do not sum to 1; set --output_kind=logits."
    )
  return probe


if __name__ == "__main__":
  main()
