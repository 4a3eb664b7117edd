"""What the student is shown again."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxkd.synthesis import replay
from jaxkd.training import sample_store as stores
from jaxkd.types import Networks, Samples

KEY = jax.random.key(0)


def test_views_of_all_that_is_there():
  samples = Samples(
    jnp.arange(1.0, 7)[:, None, None, None] * jnp.ones((6, 4, 4, 1)),
    jnp.arange(6),
    jnp.arange(6) % 3,
  )
  store = stores.insert(stores.init(10, samples), samples)
  phase = replay.phase(5, 64, ("crop",))
  assert (phase.repeats, phase.student_steps, phase.store) == (5, 1, False)
  assert phase.queries
  state, shown, _ = phase.ask("as it was", Networks(None, None, store), KEY)
  assert state == "as it was"
  np.testing.assert_array_equal(shown.targets, shown.labels % 3)
  result, labels = np.asarray(shown.images), np.asarray(shown.labels)
  assert set(labels) == set(range(6))
  for image, label in zip(result, labels, strict=True):
    assert set(np.unique(image)) <= {0.0, label + 1.0}
  assert (result == 0).any()  # cropped
