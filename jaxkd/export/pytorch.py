"""Export of a user's PyTorch module as an artefact that needs only JAX."""

from pathlib import Path

from jaxkd.export.stablehlo import serialize
from jaxkd.models import pytorch
from jaxkd.serialization import bundle, data_spec, mismatch
from jaxkd.serialization.imported import ImportedModel
from jaxkd.serialization.model_card import ARTEFACT
from jaxkd.serialization.probe import Probe
from jaxkd.serialization.pytorch import modules
from jaxkd.types import DataSpec, JaxkdError


def export_module(
  function: str, weights: Path | None, spec: DataSpec, outputs: str
) -> tuple[ImportedModel, Probe]:
  """Calls a user's function and exports the PyTorch module that it returns.

  Args:
    function: `module:function`, without arguments.
    weights: safetensors file that is loaded into the module; None for none.
    spec: spec of the inputs; the module says the number of classes.
    outputs: what the module returns, `logits` or `probabilities`.

  Returns:
    The artefact, with the classifier that it is, and a probe with the module's
    own answers.

  Raises:
    JaxkdError: if the function fails or returns something else, if the weights
      do not fit, if `jaxkd.from_torch` refuses the module, or if its outputs
      are not such.
  """
  network = pytorch.from_torch(
    modules.load(function, weights),
    mean=spec.mean,
    std=spec.std,
    name=function,
    image_shape=spec.shape,
  )
  images = bundle.probe_images(spec)
  answers = pytorch.answer(network, images)
  if mismatch.are_probabilities(answers) != (outputs == "probabilities"):
    raise JaxkdError(
      f"--outputs={outputs}, but the answers of {function} are "
      f"{'' if outputs == 'logits' else 'no '}probabilities; set the other."
    )
  if outputs == "probabilities":
    answers = mismatch.to_logits(answers)
  spec = spec._replace(num_classes=answers.shape[1])
  data_spec.check_spec(spec, function)
  artefact = serialize(network, spec, show_batch_norms=True)
  classifier = bundle.artefact_classifier(artefact, spec, outputs)
  model = ImportedModel(classifier, spec, ARTEFACT, artefact=artefact)
  return model, Probe(images, answers)
