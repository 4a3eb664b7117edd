"""The flags of the command, and what they say of the inputs."""

import argparse
import re

from jaxkd.config.teacher_fields import OUTPUT_KINDS
from jaxkd.data.pixels import MODES
from jaxkd.runtime.files import user_path
from jaxkd.serialization import data_spec, imported
from jaxkd.types import DataSpec, JaxkdError

_FILE_HELP = """\
safetensors with PyTorch's names or written by jaxkd, the .index.json or folder
of several, or a network that jax.export wrote (.stablehlo); pickles (.pt, .pth,
...) are refused with the lines that convert them"""
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
name or index of that output, if an exported network or PyTorch module has
several"""
_NAMES_HELP = """\
one name per line, or JSON: a list, or an object of numbers and names"""
_TORCH_HELP = """\
module:function of yours, without arguments, that returns a PyTorch module; in
place of FILE. PyTorch itself is the probe (pip install 'jaxkd[torch]')"""
_EPSILON_HELP = """\
epsilon of your network's BatchNorm, if it is not 1e-5 (Keras has 1e-3)"""


def make_parser() -> argparse.ArgumentParser:
  """Returns the parser of the command line."""
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
  return tuple(int(part) for part in re.split("[,x]", text))


def _floats(text: str) -> tuple[float, ...]:
  return tuple(float(part) for part in text.split(","))


def spec_of(arguments: argparse.Namespace) -> DataSpec | None:
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
  if len(shape) == 3 and shape[0] in MODES and shape[-1] not in MODES:
    given, right = (
      ",".join(map(str, s)) for s in (shape, shape[1:] + shape[:1])
    )
    raise JaxkdError(
      f"--image_shape={given} has the channels first; give H,W,C: "
      f"--image_shape={right}"
    )
  channels = shape[-1]
  mean, std = (v * channels if len(v) == 1 else v for v in (mean, std))
  path = arguments.weights or arguments.file
  name = path.stem if path else arguments.torch.partition(":")[2]
  name = re.sub(r"[^\w.-]", "_", name).lstrip(".")[:100]
  spec = DataSpec(name or "user", shape, classes, mean, std)
  data_spec.check_spec(spec, "These flags")
  return spec
