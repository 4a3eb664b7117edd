"""Updates of the student on what the store has gathered so far."""

import jax

from jaxkd import store as stores
from jaxkd.data import to_float
from jaxkd.synthesis import augment
from jaxkd.types import Array, Nets, Phase


def phase(steps: int, batch_size: int, views: tuple[str, ...]) -> Phase:
  """`steps` updates, each on random views of images that the teacher answers.

  The images of a batch are drawn independently of each other from the whole
  store, old and new alike.

  Args:
    steps: of the student, in a round.
    batch_size: images in one.
    views: names in `jaxkd.synthesis.augment.AUGMENTATIONS`, in order.
  """

  def look_again(state, nets: Nets, key: Array):
    draw_key, view_key = jax.random.split(key)
    samples = stores.draw(nets.store, draw_key, batch_size)
    images = augment.apply(views, view_key, to_float(samples.images))
    return state, samples._replace(images=images), {}

  return Phase(look_again, repeats=steps, student_steps=1, keep=False)
