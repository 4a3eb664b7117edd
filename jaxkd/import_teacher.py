"""Brings a trained classifier in, as a bundle that `teacher.checkpoint` takes.

python -m jaxkd.import_teacher net.safetensors --model=resnet18 \
  --image_shape=32,32,3 --num_classes=10 --mean=0.5 --std=0.5 \
  --probe=probe.safetensors --out=teacher
"""

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
import hashlib
from pathlib import Path
import re
import sys

from jaxkd import __version__, models
from jaxkd.serialization import (
  bundle,
  imported,
  mismatch,
  model_card,
  probe as probes,
  weights,
)
from jaxkd.serialization.imported import ImportedModel
from jaxkd.serialization.model_card import ModelCard
from jaxkd.serialization.probe import Probe
from jaxkd.types import DataSpec, JaxkdError

_FILE_HELP = """\
safetensors with PyTorch's names or written by jaxkd, or a .stablehlo artefact
of jax.export; pickles (.pt, .pth, ...) are refused with the lines that convert
them"""
_PROBE_HELP = """\
safetensors file with `images` [N, C, H, W] or [N, H, W, C] in [0, 1], before
the normaliser, and `logits` [N, K], what your network says of them"""
_EPSILON_HELP = """\
of your network's BatchNorm, if it is not 1e-5 (Keras has 1e-3)"""


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="python -m jaxkd.import_teacher",
    description="Brings a trained classifier in.",
    formatter_class=argparse.RawTextHelpFormatter,
  )
  add = parser.add_argument
  add("file", metavar="FILE", type=Path, help=_FILE_HELP)
  add("--out", metavar="DIR", required=True, help="folder to make")
  add("--model", default="", help="network of the zoo, e.g. resnet18")
  add("--image_shape", metavar="H,W,C", type=_integers, help="e.g. 32,32,3")
  add("--num_classes", metavar="K", type=int)
  for name in ("mean", "std"):
    add(
      f"--{name}",
      metavar="X,...",
      type=_floats,
      help=f"{name} of your normaliser, of pixels in [0, 1]",
    )
  add("--probe", metavar="FILE", type=Path, help=_PROBE_HELP)
  add("--layout", default="", choices=("nhwc", "nchw"), help="of the probe")
  add(
    "--unchecked",
    action="store_true",
    help="do without a probe: nothing shows that the network is right",
  )
  add("--class_names", metavar="FILE", type=Path, help="a text, a line each")
  add(
    "--outputs",
    default="logits",
    choices=model_card.OUTPUTS,
    help="what your network gives, and the probe has",
  )
  add(
    "--flatten",
    default="chw",
    choices=("chw", "hwc"),
    help="order in which maps become a vector; PyTorch's is chw",
  )
  add("--batch_norm_epsilon", metavar="X", type=float, help=_EPSILON_HELP)
  return parser


def _integers(text: str) -> tuple[int, ...]:
  return tuple(int(part) for part in text.split(","))


def _floats(text: str) -> tuple[float, ...]:
  return tuple(float(part) for part in text.split(","))


def main(argv: Sequence[str] | None = None) -> None:
  """Imports one file; a mistake ends the process with status 2."""
  arguments = _parser().parse_args(argv)
  try:
    for line in _import(arguments):
      print(line)
  except JaxkdError as error:
    print(f"jaxkd: {error}", file=sys.stderr)
    sys.exit(2)


def _import(arguments: argparse.Namespace) -> list[str]:
  """Writes the bundle; returns what there is to say."""
  spec = _spec(arguments)
  path, epsilon = arguments.file, arguments.batch_norm_epsilon
  if epsilon is not None and not 0 < epsilon < 1:
    raise JaxkdError(f"--batch_norm_epsilon={epsilon}: it is small, e.g. 1e-3.")
  found = imported.load(
    path,
    arguments.model,
    spec,
    outputs=arguments.outputs,
    flatten=arguments.flatten,
    epsilon=epsilon,
  )
  probe = _probe(arguments, found)
  off = probes.check(found.classifier, probe, f"The network in {path}")
  with open(path, "rb") as file:
    source = hashlib.file_digest(file, "sha256").hexdigest()
  is_artefact = found.architecture == model_card.ARTEFACT
  card = ModelCard(
    found.architecture,
    found.spec,
    _class_names(arguments.class_names),
    # A network of the zoo gives what the owner's softmax was taken of.
    arguments.outputs if is_artefact else "logits",
    f"sha256:{source}",
    {
      "file": path.name,
      "probe": "given" if arguments.probe else "unchecked: own answers",
      "largest_difference": off if arguments.probe else None,
      "outputs": arguments.outputs,
      "flatten": arguments.flatten,
      "batch_norm_epsilon": epsilon,
      "jaxkd": __version__,
      "date": datetime.now(UTC).isoformat(timespec="seconds"),
    },
  )
  model_card.check(card, str(path))
  bundle.write(
    arguments.out, "teacher", found.classifier, card, probe, found.artefact
  )
  return _summary(arguments, found, probe, off)


def _summary(
  arguments: argparse.Namespace, found: ImportedModel, probe: Probe, off: float
) -> list[str]:
  size, tensors = "parameters inside", "inside the artefact"
  if not found.artefact:
    count = models.count_parameters(found.classifier.variables)
    size, tensors = f"{count:,} parameters", f"{found.tensors}, all used"
  checked = (
    f"largest difference {off:.2g}, allowed {probes.tolerance(probe):.2g}"
    if arguments.probe
    else "NONE: nothing shows that this network is right"
  )
  return [
    f"network  {found.architecture}, {size}",
    f"tensors  {tensors}",
    f"probe    {checked}",
    f"written  {arguments.out}",
    "next     python -m jaxkd.main --config=configs/cake.py "
    f"--config.teacher.checkpoint={arguments.out} --config.dataset=none",
  ]


def _spec(arguments: argparse.Namespace) -> DataSpec | None:
  """What the flags say of the inputs; None if they say nothing."""
  flags = ("image_shape", "num_classes", "mean", "std")
  values = [getattr(arguments, flag) for flag in flags]
  missing = [
    flag for flag, value in zip(flags, values, strict=True) if value is None
  ]
  if len(missing) == len(flags):
    return None
  if missing:
    raise JaxkdError(
      f"Say {' and '.join(f'--{flag}' for flag in missing)} too; --mean=0 "
      "--std=1 if the network takes images in [0, 1] as they are."
    )
  shape, classes, mean, std = values
  channels = shape[-1]
  mean, std = (v * channels if len(v) == 1 else v for v in (mean, std))
  name = re.sub(r"[^\w.-]", "_", arguments.file.stem).lstrip(".")[:100]
  spec = DataSpec(name or "own", shape, classes, mean, std)
  weights.check_spec(spec, "These flags")
  return spec


def _class_names(path: Path | None) -> tuple[str, ...]:
  if path is None:
    return ()
  try:
    if path.stat().st_size > model_card.MOST_BYTES:
      raise JaxkdError(f"{path} is too long for a list of names.")
    lines = path.read_text(encoding="utf-8").splitlines()
  except (OSError, UnicodeDecodeError) as error:
    raise JaxkdError(f"{path} can't be read: {error}.") from error
  return tuple(line.strip() for line in lines if line.strip())


def _probe(arguments: argparse.Namespace, found: ImportedModel) -> Probe:
  """The owner's probe, or our own answers; always with logits."""
  probabilities = arguments.outputs == "probabilities"
  if arguments.probe is None and not arguments.unchecked:
    raise JaxkdError(
      "Nothing is believed without a probe: say --probe=FILE (--help says what "
      "is in it), or --unchecked."
    )
  if arguments.probe is None:
    images = bundle.probe_images(found.spec)
    probe = Probe(images, probes.answer(found.classifier, images))
    if found.artefact and probabilities:
      _expect(mismatch.are_log_probabilities(probe.logits), "the artefact's")
    return probe
  probe = probes.load(arguments.probe, found.spec, arguments.layout)
  if not probabilities:
    return probe
  _expect(mismatch.are_probabilities(probe.logits), "the probe's")
  return probe._replace(logits=mismatch.logarithm(probe.logits))


def _expect(right: bool, whose: str) -> None:
  if not right:
    raise JaxkdError(
      f"--outputs=probabilities, but {whose} answers are none: they do not sum "
      "to 1; say --outputs=logits."
    )


if __name__ == "__main__":
  main()
