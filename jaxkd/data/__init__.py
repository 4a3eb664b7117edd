"""Data sets: inside the package, prepared for TFDS or by TFDS, and users' own.

A data-free method needs a `spec` only. `load` reads a named set for training a
teacher and for evaluation, and never opens a network connection; the command
`python -m jaxkd.data prepare NAME` writes a full set where `load` finds it.
`find` also takes the name of a set that TFDS has prepared, the path of a user's
data, or `none`.

    array_cache.py   decoded sets in the user's cache
    augmentation.py  random crops, flips, rotations
    builder.py       writes official files for TFDS
    class_folders.py finds the images of users' folders, by split and class
    class_order.py   the order of classes, which is that of the teacher
    downloads.py     downloads official files
    embedded.py      the two sets inside the package
    formats.py       reads users' data: folders of images, .npz, IDX files
    imagenet_subset.py  twelve classes of ImageNet
    image_arrays.py  arrays of images in .npz and IDX files, headers first
    label_tables.py  folders of images with tables of labels
    labelled_files.py  image files out of which a set is prepared
    labels.py        hard labels and class counts of samples
    loading.py       `load`, with a cache of decoded arrays
    parsers.py       reads the official files of MNIST, CIFAR and SVHN
    named_images.py  images by the names that tables have for them
    other_images.py  images without labels
    pictures.py      image files: turned, transparent, of 16 bits
    pixels.py        float and 8-bit pixels, PNG, alpha, resizing
    prepared.py      finds prepared sets by their names
    registry.py      the table of named sets
    resolve.py       `find` and `describe`
    shapes.py        the size and the channels that images are converted to
    table_cells.py   the cells of tables in text files
    table_columns.py which columns are those of images, labels and splits
    tfds_info.py     what a set of TFDS says about itself
    tfds_sets.py     loads any image classification set of TFDS
    tiny_imagenet.py the archive of Tiny-ImageNet
    user_data.py     resizes users' data to the teacher's inputs
"""

from jaxkd.data.loading import load, train_size
from jaxkd.data.pixels import to_float
from jaxkd.data.registry import (
  DATASETS,
  Dataset,
  DatasetSummary,
  names,
  spec,
)
from jaxkd.data.resolve import describe, find, summary_of

__all__ = [
  "DATASETS",
  "Dataset",
  "DatasetSummary",
  "describe",
  "find",
  "load",
  "names",
  "spec",
  "summary_of",
  "to_float",
  "train_size",
]
