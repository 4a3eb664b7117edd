"""Takes a student, or the images that it was trained on, out of a run.

python -m jaxkd.export student --workdir=runs/DIR --out=DIR
python -m jaxkd.export onnx --student=DIR --out=student.onnx
python -m jaxkd.export images --workdir=runs/DIR --out=DIR --format=npz
python -m jaxkd.export predict --student=DIR FOLDER

Exit status: 0 done, 1 some images could not be read, 2 wrong input.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
import sys

from jaxkd.errors import JaxkdError, fail


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="python -m jaxkd.export",
    description="Takes a student, or its images, out of a run.",
  )
  commands = parser.add_subparsers(dest="command", required=True)
  student = commands.add_parser(
    "student", help="a bundle: safetensors, JSON, probe, StableHLO"
  )
  source = student.add_mutually_exclusive_group(required=True)
  _add_workdir(source)
  source.add_argument(
    "--checkpoint", type=Path, metavar="FILE", help="student.safetensors"
  )
  _add_out(student, "DIR")
  onnx = commands.add_parser(
    "onnx",
    help="ONNX; needs jax2onnx and onnxruntime, see jaxkd/export/onnx.py",
  )
  _add_student(onnx)
  _add_out(onnx, "FILE")
  images = commands.add_parser("images", help="the synthetic set")
  _add_workdir(images, required=True)
  _add_out(images, "DIR")
  images.add_argument(
    "--format", default="png", metavar="FORMAT", help="png, npz or tfds"
  )
  images.add_argument(
    "--count", type=int, default=0, metavar="N", help="a random N of them"
  )
  predict = commands.add_parser("predict", help="labels for images")
  _add_student(predict)
  predict.add_argument("source", type=Path, metavar="FOLDER or IMAGE")
  predict.add_argument(
    "--out", type=Path, default=Path("predictions.csv"), metavar="FILE"
  )
  predict.add_argument(
    "--top", type=int, default=1, metavar="N", help="classes per image"
  )
  return parser


def _add_workdir(parser, **options) -> None:
  parser.add_argument(
    "--workdir", type=Path, metavar="DIR", help="of a run", **options
  )


def _add_student(parser) -> None:
  parser.add_argument(
    "--student",
    type=Path,
    metavar="DIR",
    required=True,
    help="a bundle of `student`",
  )


def _add_out(parser, metavar: str) -> None:
  parser.add_argument("--out", type=Path, metavar=metavar, required=True)


def _student(arguments: argparse.Namespace) -> int:
  from jaxkd.export.student import export_checkpoint, export_run

  if arguments.checkpoint:
    export_checkpoint(arguments.checkpoint, arguments.out)
  else:
    export_run(arguments.workdir, arguments.out)
  print(f"wrote {arguments.out}")
  return 0


def _onnx(arguments: argparse.Namespace) -> int:
  from jaxkd.export.onnx import export_onnx

  difference = export_onnx(arguments.student, arguments.out)
  print(f"wrote {arguments.out}; logits differ by at most {difference:.2g}")
  return 0


def _images(arguments: argparse.Namespace) -> int:
  from jaxkd.export.images import export_images

  count = export_images(
    arguments.workdir, arguments.out, arguments.format, arguments.count
  )
  print(f"wrote {count} images to {arguments.out}")
  return 0


def _predict(arguments: argparse.Namespace) -> int:
  from jaxkd.export.prediction import predict

  tally = predict(
    arguments.student, arguments.source, arguments.out, arguments.top
  )
  for words, count in tally.converted.items():
    print(f"converted {count} from {words}")
  print(f"wrote {arguments.out}: {tally.labelled} images labelled")
  if not tally.unreadable:
    return 0
  print(f"jaxkd: {tally.unreadable} images left out", file=sys.stderr)
  return 1


COMMANDS = {
  "student": _student,
  "onnx": _onnx,
  "images": _images,
  "predict": _predict,
}


def main(argv: Sequence[str] | None = None) -> int:
  """Runs one command; a mistake ends the process with status 2."""
  arguments = _parser().parse_args(argv)
  try:
    return COMMANDS[arguments.command](arguments)
  except JaxkdError as error:
    fail(str(error))


if __name__ == "__main__":
  sys.exit(main())
