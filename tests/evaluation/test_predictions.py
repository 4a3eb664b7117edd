"""A network answers many images in chunks as it does all at once."""

import jax
import numpy as np
from point_rounds import classifier, noise
import pytest

from jaxkd.evaluation import predictions

IMAGES = noise(jax.random.key(0), 10).images


@pytest.mark.parametrize("chunk", [3, 5, 20])
def test_log_probabilities_do_not_depend_on_the_chunk(monkeypatch, chunk):
  network = classifier(0)
  expected = jax.nn.log_softmax(network(IMAGES).logits)
  monkeypatch.setattr(predictions, "CHUNK_SIZE", chunk)
  np.testing.assert_allclose(
    predictions.log_probs(network, IMAGES), expected, atol=1e-6
  )
