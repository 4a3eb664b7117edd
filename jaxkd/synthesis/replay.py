"""Replay: updates of the student on all samples that the store holds."""

import jax

from jaxkd.data import augmentation, to_float
from jaxkd.training import sample_store as stores
from jaxkd.types import Array, Networks, Phase


def phase(steps: int, batch_size: int, views: tuple[str, ...]) -> Phase:
  """Returns a phase of updates on random views that the teacher answers.

  The images of a batch are drawn independently of each other from the whole
  store, so old and new ones are as likely.

  Args:
    steps: of the student, in a round.
    batch_size: images in one.
    views: names in `jaxkd.data.augmentation.AUGMENTATIONS`, in order.
  """

  def sample_for_replay(state, nets: Networks, key: Array):
    draw_key, view_key = jax.random.split(key)
    samples = stores.sample(nets.store, draw_key, batch_size)
    images = augmentation.apply(views, view_key, to_float(samples.images))
    return state, samples._replace(images=images), {}

  return Phase(sample_for_replay, repeats=steps, student_steps=1, store=False)
