"""The epoch of a training whose network is taken, if it is not the last."""

import json
from pathlib import Path

from jaxkd.evaluation import accuracy as evaluate
from jaxkd.runtime import processes
from jaxkd.runtime.files import write_json
from jaxkd.serialization import weights
from jaxkd.types import Classifier, DataSpec, Samples


class TargetAccuracyCheckpoint:
  """Keeps the epoch whose accuracy comes nearest to a target from above.

  If none reaches the target, the best. Of equal ones the earliest counts, and
  the candidate lies in a file, so a training that is stopped and resumed, which
  may show an epoch again, ends with the same network.

  Args:
    target: accuracy, a fraction.
    path: of the candidate; a file of the same name beside it says how good it
      is.
    held_out: images and labels to judge on, which the training does not see.
    spec: of the inputs.
    model: name that `jaxkd.models.init` takes.
  """

  def __init__(
    self,
    target: float,
    path: Path,
    held_out: Samples,
    spec: DataSpec,
    model: str,
  ):
    self._target, self._path = target, path
    self._held_out, self._spec, self._model = held_out, spec, model
    self._note = path.with_suffix(".json")

  def look(self, network: Classifier, epoch: int) -> None:
    """Keeps the network of this epoch if it is the nearest so far."""
    judged = evaluate.evaluate(
      network, self._held_out.images, self._held_out.labels
    )
    accuracy = judged["accuracy"]
    rank = [accuracy < self._target, abs(accuracy - self._target), epoch]
    held = self._note.exists() and json.loads(self._note.read_text()) <= rank
    if processes.broadcast(held):
      return
    # Killed between the two, the same epoch is shown and written again.
    weights.save(self._path, network, self._spec, self._model)
    write_json(self._note, rank)

  def network(self) -> Classifier:
    """The nearest of all."""
    return weights.load_classifier(self._path, self._model)[0]
