"""Which channels are kept."""

import numpy as np

from jaxkd.narrowing.choice import Reader, choose


def reader(inputs, matrix):
  """A layer that reads one number of each channel."""
  inputs = inputs - inputs.mean(0)
  gram = inputs.T @ inputs / len(inputs)
  return Reader(gram[:, None, :, None], matrix[:, None])


def test_the_channel_that_explains_most_is_kept():
  rng = np.random.default_rng(0)
  inputs = rng.normal(size=(1000, 4)) * [1.0, 3.0, 0.0, 2.0]
  matrix = np.ones((4, 1))
  assert choose([reader(inputs, matrix)], 1).tolist() == [1]
  assert choose([reader(inputs, matrix)], 3).tolist() == [0, 1, 3]
  # A channel that is not read does not count, however large it is.
  matrix = np.array([[1.0], [0.0], [1.0], [1.0]])
  assert choose([reader(inputs, matrix)], 2).tolist() == [0, 3]


def test_what_is_explained_already_does_not_count():
  rng = np.random.default_rng(0)
  first, second = rng.normal(size=(2, 1000))
  inputs = np.stack([3 * first, 2.9 * first, second], 1)
  assert choose([reader(inputs, np.eye(3))], 2).tolist() == [0, 2]


def test_readers_count_by_their_share():
  rng = np.random.default_rng(0)
  inputs = rng.normal(size=(1000, 2)) * [1.0, 2.0]
  loud = reader(100 * inputs, np.array([[0.7], [0.3]]))
  quiet = reader(inputs, np.array([[0.0], [1.0]]))
  assert choose([loud], 1).tolist() == [0]
  assert choose([loud, quiet], 1).tolist() == [1]


def test_many_channels_are_chosen_some_at_a_time():
  rng = np.random.default_rng(0)
  inputs = rng.normal(size=(500, 100))
  kept = choose([reader(inputs, np.eye(100))], 70)
  assert len(set(kept.tolist())) == 70
  assert kept.tolist() == sorted(kept)
