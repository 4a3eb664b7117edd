"""Early stopping at the epoch whose accuracy is nearest to a target."""

import json
from pathlib import Path

from jaxkd.evaluation import accuracy as evaluate
from jaxkd.runtime import processes
from jaxkd.runtime.files import write_json
from jaxkd.serialization import weights
from jaxkd.types import Classifier, DataSpec, Samples


class TargetAccuracyCheckpoint:
  """Keeps the network of the epoch that is nearest to a target from above.

  If no epoch reaches the target, it keeps that of the highest accuracy; of
  equal ones, the earliest. The candidate is in a file, so a training that was
  resumed, and may repeat an epoch, ends with the same network.

  Args:
    target: accuracy, a fraction.
    path: of the candidate; its rank is in a JSON file of the same name.
    held_out: images and labels that the training does not use.
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
    self._rank = path.with_suffix(".json")

  def update(self, network: Classifier, epoch: int) -> None:
    """Keeps the network of this epoch if it is the nearest so far."""
    scores = evaluate.evaluate(
      network, self._held_out.images, self._held_out.labels
    )
    accuracy = scores["accuracy"]
    rank = [accuracy < self._target, abs(accuracy - self._target), epoch]
    better = self._rank.exists() and json.loads(self._rank.read_text()) <= rank
    if processes.broadcast(better):
      return
    # If the process is killed between the two, the epoch is repeated.
    weights.save(self._path, network, self._spec, self._model)
    write_json(self._rank, rank)

  def network(self) -> Classifier:
    """Returns the nearest network so far."""
    return weights.load_classifier(self._path, self._model)[0]
