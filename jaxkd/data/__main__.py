"""The command that lists data sets and prepares them.

python -m jaxkd.data list
python -m jaxkd.data prepare cifar10
python -m jaxkd.data prepare fashion_mnist --from=FOLDER
"""

import argparse
from collections.abc import Sequence

from jaxkd.data.builder import prepare
from jaxkd.data.prepared import names, prepared_dir
from jaxkd.data.registry import DATASETS
from jaxkd.runtime.files import errors_end_command

_FROM_HELP = """\
folder with the official files; without it they are downloaded.
mnist, fashion_mnist: the four IDX files, gzipped or plain
  (Debian's package dataset-fashion-mnist puts them into
  /usr/share/datasets/fashion-mnist);
cifar10: cifar-10-python.tar.gz; cifar100: cifar-100-python.tar.gz;
svhn_cropped: train_32x32.mat and test_32x32.mat;
tiny_imagenet: tiny-imagenet-200.zip, or its folder;
imagenet12: ImageNet, or twelve class folders of it, in train and val"""
_CLASSES_HELP = """\
of imagenet12: a text file with the name of a class folder, as n01440764, in
each line; without it train must have twelve folders"""


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="python -m jaxkd.data", description="Lists and prepares data sets."
  )
  commands = parser.add_subparsers(dest="command", required=True)
  listing = commands.add_parser(
    "list", help="show all data sets and which of them are prepared"
  )
  preparing = commands.add_parser(
    "prepare",
    help="write a full data set where jaxkd and TFDS find it",
    formatter_class=argparse.RawTextHelpFormatter,
  )
  preparing.add_argument("name", metavar="NAME")
  preparing.add_argument(
    "--from", dest="folder", metavar="FOLDER", help=_FROM_HELP
  )
  preparing.add_argument("--classes", metavar="FILE", help=_CLASSES_HELP)
  for command in (listing, preparing):
    command.add_argument(
      "--data_dir",
      metavar="DIR",
      help="TFDS folder (default: $TFDS_DATA_DIR or ~/tensorflow_datasets)",
    )
  return parser


def _list(data_dir: str | None) -> None:
  for name, info in DATASETS.items():
    if not info.version:
      state = "embedded"
    else:
      state = "prepared" if prepared_dir(name, data_dir) else "not prepared"
    shape = "x".join(str(n) for n in info.spec.shape)
    print(
      f"{name:14}{shape:9}{info.spec.num_classes:4} classes  {state:14}"
      f"{info.origin}"
    )
  others = [name for name in names(data_dir) if name not in DATASETS]
  for name in others:
    print(f"{name}: prepared by TFDS")


def main(argv: Sequence[str] | None = None) -> None:
  """Runs one command; mistaken arguments end the process with status 2."""
  arguments = _parser().parse_args(argv)
  with errors_end_command():
    if arguments.command == "list":
      _list(arguments.data_dir)
    else:
      prepare(
        arguments.name,
        arguments.folder,
        classes=arguments.classes,
        data_dir=arguments.data_dir,
        report=lambda line: print(line, flush=True),
      )


if __name__ == "__main__":
  main()
