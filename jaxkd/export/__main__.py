"""The command that exports a run's student or images, and draws images.

python -m jaxkd.export student --workdir=runs/DIR --out=DIR
python -m jaxkd.export onnx --student=DIR --out=student.onnx
python -m jaxkd.export images --workdir=runs/DIR --out=DIR --format=npz
python -m jaxkd.export predict --student=DIR FOLDER
python -m jaxkd.export source --name=strokes --count=64 --out=sheet.png

Exit status: 0 for success, 1 if some images could not be read, 2 for wrong
input.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
import sys

from jaxkd.runtime import buckets
from jaxkd.runtime.files import errors_end_command, user_path

TFDS_LINES = """\
import tensorflow_datasets as tfds
builder = tfds.builder_from_directory("{folder}/synthetic/1.0.0")
images = builder.as_data_source("train")  # images[0]["image"], ["label"]"""


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="python -m jaxkd.export",
    description="Exports a run's student or its synthetic images.",
  )
  commands = parser.add_subparsers(dest="command", required=True)
  student = commands.add_parser(
    "student", help="writes a bundle: safetensors, JSON, probe, StableHLO"
  )
  source = student.add_mutually_exclusive_group(required=True)
  _add_workdir(source)
  source.add_argument(
    "--checkpoint", type=user_path, metavar="FILE", help="student.safetensors"
  )
  _add_out(student, "DIR")
  _add_model(student)
  onnx = commands.add_parser(
    "onnx",
    help="writes ONNX; needs jax2onnx and onnxruntime (jaxkd/export/onnx.py)",
  )
  _add_student(onnx)
  _add_out(onnx, "FILE")
  _add_model(onnx)
  images = commands.add_parser("images", help="writes the synthetic images")
  _add_workdir(images, required=True)
  _add_out(images, "DIR")
  images.add_argument(
    "--format", default="png", metavar="FORMAT", help="png, npz or tfds"
  )
  images.add_argument(
    "--count",
    type=int,
    default=0,
    metavar="N",
    help="number, drawn at random; 0 for all",
  )
  _add_model(images)
  predict = commands.add_parser("predict", help="labels images")
  _add_student(predict)
  predict.add_argument("source", type=user_path, metavar="FOLDER or IMAGE")
  predict.add_argument(
    "--out", type=user_path, default=Path("predictions.csv"), metavar="FILE"
  )
  predict.add_argument(
    "--top", type=int, default=1, metavar="N", help="classes for each image"
  )
  predict.add_argument(
    "--background",
    default="",
    metavar="COLOUR",
    help="on which transparent images are put, as white or #ffffff",
  )
  _add_model(predict)
  sheet = commands.add_parser(
    "source", help="draws a sheet of a source's images"
  )
  sheet.add_argument(
    "--name",
    required=True,
    metavar="SOURCE",
    help="a source of jaxkd.synthesis.procedural, or mixture",
  )
  _add_out(sheet, "FILE")
  for option, default in {
    "count": 64,
    "size": 32,
    "channels": 1,
    "seed": 0,
  }.items():
    sheet.add_argument(
      f"--{option}",
      type=int,
      default=default,
      metavar="N",
      help=f"{default} by default",
    )
  return parser


def _add_workdir(parser, **options) -> None:
  parser.add_argument(
    "--workdir",
    metavar="DIR",
    help="folder of a run; also s3:// or gs://",
    **options,
  )


def _add_student(parser) -> None:
  parser.add_argument(
    "--student",
    type=user_path,
    metavar="DIR",
    required=True,
    help="folder that `student` wrote",
  )


def _add_out(parser, metavar: str) -> None:
  parser.add_argument("--out", type=user_path, metavar=metavar, required=True)


def _add_model(parser) -> None:
  parser.add_argument(
    "--model",
    default="",
    metavar="MODULE:FUNCTION",
    help="the function that builds the network, if it is your own",
  )


# Each command imports its modules itself, because JAX takes seconds to import
# and `--help` and wrong arguments don't need it.


def _student(arguments: argparse.Namespace) -> int:
  from jaxkd.export.student import export_checkpoint, export_run

  if arguments.checkpoint:
    export_checkpoint(arguments.checkpoint, arguments.out, arguments.model)
  else:
    with buckets.opened(arguments.workdir) as folder:
      buckets.fetch(folder)
      export_run(folder, arguments.out, arguments.model)
  print(f"The bundle is in {arguments.out}.")
  return 0


def _onnx(arguments: argparse.Namespace) -> int:
  from jaxkd.export.onnx import export_onnx

  difference = export_onnx(arguments.student, arguments.out, arguments.model)
  print(
    f"The network is in {arguments.out}; its logits differ from the student's "
    f"by at most {difference:.2g}."
  )
  return 0


def _images(arguments: argparse.Namespace) -> int:
  from jaxkd.export.images import export_images

  with buckets.opened(arguments.workdir) as folder:
    buckets.fetch(folder)
    count = export_images(
      folder,
      arguments.out,
      arguments.format,
      arguments.count,
      arguments.model,
    )
  print(f"{count} images are in {arguments.out}.")
  if arguments.format == "tfds":
    print(
      "Read them in Python, without TensorFlow (as_dataset can't read the "
      f"format):\n{TFDS_LINES.format(folder=str(arguments.out))}"
    )
  return 0


def _predict(arguments: argparse.Namespace) -> int:
  from jaxkd.export.prediction import predict

  summary = predict(
    arguments.student,
    arguments.source,
    arguments.out,
    arguments.top,
    arguments.model,
    arguments.background,
  )
  for conversion, count in summary.converted.items():
    print(f"{count} images were converted from {conversion}.")
  print(f"The labels of {summary.labelled} images are in {arguments.out}.")
  if not summary.unreadable:
    return 0
  print(
    f"jaxkd: {summary.unreadable} images could not be read and have no label.",
    file=sys.stderr,
  )
  return 1


def _source(arguments: argparse.Namespace) -> int:
  from jaxkd.export.source import export_source

  export_source(
    arguments.name,
    arguments.count,
    arguments.out,
    arguments.size,
    arguments.channels,
    arguments.seed,
  )
  print(f"{arguments.count} images are in {arguments.out}.")
  return 0


COMMANDS = {
  "student": _student,
  "onnx": _onnx,
  "images": _images,
  "predict": _predict,
  "source": _source,
}


def main(argv: Sequence[str] | None = None) -> int:
  """Runs one command; wrong input ends the process with status 2."""
  arguments = _parser().parse_args(argv)
  with errors_end_command():
    return COMMANDS[arguments.command](arguments)


if __name__ == "__main__":
  sys.exit(main())
