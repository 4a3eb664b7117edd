"""Of all epochs the one is kept whose accuracy comes nearest to a target."""

from types import SimpleNamespace

from blobs import SPEC, blobs, initial_network
from network_weights import weights
import numpy as np
import pytest

from jaxkd.training import target_accuracy
from jaxkd.training.target_accuracy import TargetAccuracyCheckpoint
from jaxkd.types import Samples


@pytest.fixture
def kept_epoch(tmp_path, monkeypatch):
  """Passes epochs with given accuracies; returns which one was kept."""
  networks = [initial_network(seed) for seed in range(4)]
  path = tmp_path / ".nasty.candidate.safetensors"

  def kept_epoch(target, accuracies, epochs=None):
    checkpoint = TargetAccuracyCheckpoint(
      target, path, Samples(*blobs(4)), SPEC, "mlp"
    )
    for epoch in epochs or range(1, len(accuracies) + 1):
      result = {"accuracy": accuracies[epoch - 1]}
      monkeypatch.setattr(
        target_accuracy,
        "evaluate",
        SimpleNamespace(evaluate=lambda *_, result=result: result),
      )
      checkpoint.update(networks[epoch - 1], epoch)
    kept = weights(checkpoint.network())[0]
    equal = [np.array_equal(kept, weights(each)[0]) for each in networks]
    return equal.index(True) + 1

  return kept_epoch


@pytest.mark.parametrize(
  ("target", "accuracies", "kept"),
  [
    (0.7, [0.5, 0.9, 0.71, 0.8], 3),  # from above
    (0.7, [0.69, 0.9], 2),  # one above beats a nearer one below
    (0.7, [0.1, 0.6, 0.3], 2),  # none above: the best
    (0.7, [0.5, 0.8, 0.8], 2),  # of equal ones the earliest
    (0.7, [0.6, 0.6], 1),
    (0.7, [0.8, 0.7, 0.7], 2),  # at the target counts as above
  ],
)
def test_the_nearest_from_above_is_kept(kept_epoch, target, accuracies, kept):
  assert kept_epoch(target, accuracies) == kept


@pytest.mark.parametrize("passed", [1, 2, 3])
def test_the_choice_outlives_an_interruption(kept_epoch, passed):
  accuracies = [0.9, 0.75, 0.75, 0.8]
  kept_epoch(0.7, accuracies, range(1, passed + 1))
  # The last checkpoint lay before: epochs are passed again.
  assert kept_epoch(0.7, accuracies, range(max(passed - 1, 1), 5)) == 2
