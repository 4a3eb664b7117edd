"""Updates of the student on what the store has gathered so far."""

import jax

from jaxkd.data import augmentation, to_float
from jaxkd.training import sample_store as stores
from jaxkd.types import Array, Networks, Phase


def phase(steps: int, batch_size: int, views: tuple[str, ...]) -> Phase:
  """`steps` updates, each on random views of images that the teacher answers.

  The images of a batch are drawn independently of each other from the whole
  store, old and new alike.

  Args:
    steps: of the student, in a round.
    batch_size: images in one.
    views: names in `jaxkd.data.augmentation.AUGMENTATIONS`, in order.
  """

  def look_again(state, nets: Networks, key: Array):
    draw_key, view_key = jax.random.split(key)
    samples = stores.sample(nets.store, draw_key, batch_size)
    images = augmentation.apply(views, view_key, to_float(samples.images))
    return state, samples._replace(images=images), {}

  return Phase(look_again, repeats=steps, student_steps=1, store=False)
