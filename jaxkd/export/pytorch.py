"""A user's PyTorch module as a network that needs only JAX."""

from pathlib import Path

import numpy as np

from jaxkd.export.stablehlo import serialize
from jaxkd.models import pytorch
from jaxkd.serialization import bundle, data_spec, mismatch
from jaxkd.serialization.imported import ImportedModel
from jaxkd.serialization.model_card import ARTEFACT
from jaxkd.serialization.probe import Probe
from jaxkd.serialization.pytorch import known_networks, modules
from jaxkd.types import DataSpec, JaxkdError


def export_module(
  function: str,
  weights: Path | None,
  spec: DataSpec,
  *,
  output: str,
  output_kind: str,
) -> tuple[ImportedModel, Probe]:
  """Calls a user's function and converts the PyTorch module that it returns.

  A module that is a network of this package becomes that network; another one
  is exported as an artefact.

  Args:
    function: `module:function`, without arguments.
    weights: safetensors file that is loaded into the module; None for none.
    spec: spec of the inputs; the module says the number of classes.
    output: as in `jaxkd.from_torch`.
    output_kind: as in `jaxkd.from_torch`.

  Returns:
    The network, which gives logits, and a probe with the module's own answers.

  Raises:
    JaxkdError: if the function fails or returns something else, if the weights
      do not fit, if `jaxkd.from_torch` refuses the module, or if its outputs
      are not such.
  """
  network = pytorch.from_torch(
    modules.load(function, weights, spec),
    mean=spec.mean,
    std=spec.std,
    name=function,
    image_shape=spec.shape,
    output=output,
    output_kind=output_kind,
  )
  images = bundle.probe_images(spec)
  answers = pytorch.answer(network, images)
  if output_kind == "logits" and mismatch.are_probabilities(answers):
    raise JaxkdError(
      f"The answers of {function} are probabilities; set "
      "--output_kind=probabilities."
    )
  one_number = answers.shape[1] == 2 and not answers[:, 0].any()
  if output_kind == "logits" and one_number and _are_shares(answers[:, 1]):
    raise JaxkdError(
      f"The answers of {function} are one number between 0 and 1 for an image; "
      "set --output_kind=sigmoid if it is the probability of the second class."
    )
  if output_kind == "probabilities" and not mismatch.are_log_probabilities(
    answers
  ):
    raise JaxkdError(
      f"--output_kind=probabilities, but the answers of {function} do not sum "
      "to 1; set --output_kind=logits."
    )
  spec = spec._replace(num_classes=answers.shape[1])
  data_spec.check_spec(spec, function)
  probe = Probe(images, answers)
  if not output and output_kind == "logits":
    module = network.apply.module
    tensors = {name: t.numpy() for name, t in module.state_dict().items()}
    library = type(module).__module__.partition(".")[0]
    known = known_networks.find(tensors, spec, probe, library)
    if known:
      return known, probe
  artefact = serialize(network, spec, show_batch_norms=True)
  classifier = bundle.artefact_classifier(artefact, spec, "logits")
  model = ImportedModel(classifier, spec, ARTEFACT, artefact=artefact)
  return model, probe


def _are_shares(numbers: np.ndarray) -> bool:
  """Returns whether all numbers are between 0 and 1, and not all equal."""
  return bool(
    (numbers >= 0).all() and (numbers <= 1).all() and np.ptp(numbers) > 0
  )
