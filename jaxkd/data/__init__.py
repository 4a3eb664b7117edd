"""Data sets: two that come with the package, five that TFDS keeps on disk.

A data-free method needs only `spec`. `load` serves teachers and evaluation; it
never opens a network connection. `python -m jaxkd.data prepare NAME` puts a
full set where `load` finds it. `find` also takes a path of your own, or none.
"""

from jaxkd.data.loading import load
from jaxkd.data.pixels import to_float
from jaxkd.data.registry import DATASETS, Dataset, names, spec, train_size
from jaxkd.data.resolve import describe, find

__all__ = [
  "DATASETS",
  "Dataset",
  "describe",
  "find",
  "load",
  "names",
  "spec",
  "to_float",
  "train_size",
]
