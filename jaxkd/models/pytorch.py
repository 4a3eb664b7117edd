"""Classifiers from PyTorch modules, which the extra `torch` converts.

PyTorch is imported by `from_torch` alone, so that nothing else needs it.
"""

import importlib
from importlib import metadata
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from jaxkd.models.adapters import make_reader
from jaxkd.models.apply_functions import Normaliser
from jaxkd.types import Classifier, JaxkdError

if TYPE_CHECKING:
  import torch

NEEDED = "torch 2.12 and torchax 0.0.13"


def from_torch(
  module: "torch.nn.Module",
  *,
  mean: tuple[float, ...] | None = None,
  std: tuple[float, ...] | None = None,
  name: str | None = None,
  image_shape: tuple[int, int, int] | None = None,
  output: str | int = "",
  output_kind: str = "",
) -> Classifier:
  """Creates a classifier from a PyTorch module, of which it makes a copy.

  The copy is float32 and always in evaluation mode. `torchax` translates its
  operations whenever JAX traces the classifier, so the classifier is a JAX
  function of its variables: `params`, the parameters of the module by name, and
  `buffers`. The inputs of `BatchNorm` layers are visible to methods that need
  them.

  Before it is returned, its logits and the gradient of its inputs are compared
  with those of the module on random images.

  Args:
    module: takes normalised images `[B, C, H, W]` and returns logits `[B, K]`.
    mean: mean per channel, in pixel space; without it images are not
      normalised.
    std: standard deviation per channel, in pixel space.
    name: for messages and reports; by default the name of the module's class.
    image_shape: `[H, W, C]` of the images of the comparison. By default they
      have a usual size that the module takes.
    output: as in `from_linen`.
    output_kind: as in `from_linen`.

  Raises:
    JaxkdError: if PyTorch or torchax is missing or has another version; if only
      one of mean and std is given; if the module does not take such images,
      does not return logits, or can't be translated; or if the logits differ
      by more than 1e-4 of the largest, or the gradient by more than 1e-3.
  """
  conversion, comparison = import_conversion()
  network = conversion.convert(
    module,
    Normaliser.of(mean, std),
    make_reader(output, output_kind),
    name or type(module).__name__,
  )
  if image_shape is None:
    image_shape = conversion.find_image_shape(network)
  comparison.compare(network, image_shape)
  return network


def answer(network: Classifier, images: np.ndarray) -> np.ndarray:
  """Computes in PyTorch the logits `[N, K]` of a classifier's module.

  Args:
    network: from `from_torch`.
    images: `[N, H, W, C]` in [0, 1].

  Raises:
    JaxkdError: if the module does not take such images.
  """
  _, comparison = import_conversion()
  return comparison.answer(network, images)


def import_conversion() -> tuple[ModuleType, ModuleType]:
  """Imports `torch_conversion` and `torch_comparison`.

  Raises:
    JaxkdError: if PyTorch or torchax is missing or has another version.
  """
  try:
    importlib.import_module("torchax")
  # Where torch lacks a name, torchax raises AttributeError.
  except (ImportError, AttributeError) as error:
    installed = " and ".join(map(_installed, ("torch", "torchax")))
    raise JaxkdError(
      f"PyTorch modules need {NEEDED}, and here are {installed}: "
      "pip install 'jaxkd[torch]'."
    ) from error
  return (
    importlib.import_module("jaxkd.models.torch_conversion"),
    importlib.import_module("jaxkd.models.torch_comparison"),
  )


def _installed(package: str) -> str:
  try:
    return f"{package} {metadata.version(package)}"
  except metadata.PackageNotFoundError:
    return f"no {package}"
