"""The network of this package that a PyTorch module is, if it is one.

Its layers have forms that are fast on the CPU, and its weights can be trained,
neither of which holds for a module that is exported whole.
"""

from collections.abc import Mapping

import numpy as np

from jaxkd import models
from jaxkd.serialization import mismatch, probe as probes
from jaxkd.serialization.imported import ImportedModel
from jaxkd.serialization.probe import Probe
from jaxkd.serialization.pytorch.names import names_of
from jaxkd.serialization.pytorch.tensor_names import without_wrappers
from jaxkd.serialization.pytorch.weights import convert
from jaxkd.types import DataSpec, JaxkdError


def find(
  tensors: Mapping[str, np.ndarray], spec: DataSpec, probe: Probe, library: str
) -> ImportedModel | None:
  """Finds the network whose tensors have these names and shapes, and which
  answers the probe.

  Args:
    tensors: the state dict of a module.
    spec: spec of the inputs.
    probe: images, and the module's own logits.
    library: name of the package that the module is from; of equal networks that
      of this name is preferred.

  Returns:
    The network; None if there is none, or if the probe proves nothing.
  """
  if probes.doubts(probe):
    return None
  layers = {
    name.rpartition(".")[0] for name in without_wrappers(dict(tensors))
  } - {""}
  for name in candidates(layers, spec, library):
    try:
      converted = convert(name, spec, tensors)
    except JaxkdError:  # other shapes, or more tensors
      continue
    network = models.from_linen(
      models.create(name, spec),
      converted.variables,
      mean=spec.mean,
      std=spec.std,
      name=name,
    )
    answers = probes.answer(network, probe.images)
    if mismatch.difference(answers, probe.logits) <= probes.tolerance(probe):
      notes = (*converted.notes, f"the layers are those of {name} here")
      return ImportedModel(network, spec, name, converted.used, notes=notes)
  return None


def candidates(layers: set[str], spec: DataSpec, library: str) -> list[str]:
  """Returns the names of networks that have all of these layers, those with the
  fewest others first.
  """
  others = {}
  for name in models.names():
    try:
      schemes = names_of(models.create(name, spec)).schemes
    except JaxkdError:  # not for images of this size
      continue
    counts = [
      len(scheme.layers)
      for scheme in schemes
      if layers <= set(scheme.layers.values())
    ]
    if layers and counts:
      others[name] = min(counts)
  return sorted(
    others, key=lambda name: (others[name], not name.startswith(library), name)
  )
