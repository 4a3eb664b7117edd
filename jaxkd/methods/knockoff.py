"""Knockoff Nets: other people's images, labelled by the teacher.

Orekondy, Schiele and Fritz, "Knockoff Nets: Stealing Functionality of Black-Box
Models", CVPR 2019: an adversary asks about images of another set, in random
order or in one that is learned. Here they come from `other_dataset`, which
names a data set, or a folder of images without labels; students that were
trained on the answers so far may select among them and mutations of them, see
`jaxkd.synthesis.candidate_images`. With `source="photo"` it names one image
file, of which crops are drawn (`jaxkd.synthesis.photo_crops`, after Asano and
Saeed, ICLR 2023).

Its loss is that of `jaxkd.methods.procedural`. The paper asks for
probabilities; labels are possible as well.
"""

import jax
import jax.numpy as jnp

from jaxkd.config import checks
from jaxkd.config.fields import Field
from jaxkd.data.pixels import to_eight_bit
from jaxkd.synthesis import (
  candidate_images,
  photo_crops,
  selection as selections,
)
from jaxkd.synthesis.selection_fields import SelectionConfig
from jaxkd.types import (
  Array,
  DataSpec,
  JaxkdError,
  Method,
  MethodInfo,
  Networks,
)

INFO = MethodInfo(
  access="label",
  source="other people's images",
  critic="student, which selects",
  objective="cross entropy on labels, KL on probabilities",
)

FIELDS = (
  *candidate_images.FIELDS,
  Field(
    "source",
    str,
    "images",
    "Images of other_dataset, or crops of the one photo that it names.",
    ("images", "photo"),
  ),
)
HYPER = candidate_images.HYPER


def build(
  spec: DataSpec,
  *,
  hyper: dict[str, float],
  budget: int,
  num_images: int,
  num_rounds: int,
  batch_size: int,
  source: str,
  selection: dict[str, str | float | int],
  answers: str,
) -> Method:
  """Builds the method for images like `spec`.

  Args:
    spec: of the inputs.
    hyper: `temperature`, which counts where the teacher gives probabilities.
    budget: queries that may be spent.
    num_images: images that there are.
    The others are declared in `FIELDS`.

  Raises:
    JaxkdError: if the budget does not pay for one round, or if there are fewer
      images than are asked about.
  """
  select = SelectionConfig(**selection)
  rounds = checks.rounds_within(budget, batch_size, num_rounds)
  if source == "images" and batch_size > num_images:
    raise JaxkdError(
      f"synthesis.batch_size={batch_size}: other_dataset has {num_images} "
      "images, fewer than a round asks about; give the config a smaller "
      "budget, which sizes the rounds: configs/knockoff.py:budget=..."
    )
  mutates = select.criterion != "none" and select.mutations
  if source == "images" and not mutates and rounds * batch_size > num_images:
    raise JaxkdError(
      f"other_dataset has {num_images} images, and {rounds} rounds of "
      f"synthesis.batch_size={batch_size} ask about {rounds * batch_size}; "
      "lower queries.budget or synthesis.num_rounds, or set "
      "synthesis.selection.mutations above 0 with a criterion other than none."
    )

  def draw_images(nets: Networks, key: Array, count: int) -> Array:
    images = to_eight_bit(nets.data.images)
    priority = jax.random.uniform(key, (len(images),))
    if nets.store is not None:  # those that were not asked about come first
      new = selections.is_new(
        images, nets.store.samples.images, nets.store.inserted
      )
      priority = jnp.where(new, priority, 1 + priority)
    order = jnp.argsort(priority)
    return images[order[jnp.arange(count) % len(images)]]

  def draw_crops(nets: Networks, key: Array, count: int) -> Array:
    return photo_crops.crops(key, nets.data.images[0], count, spec.shape)

  return candidate_images.candidate_method(
    spec,
    draw_images if source == "images" else draw_crops,
    rounds=rounds,
    batch_size=batch_size,
    select=select,
    answers=answers,
    hyper=hyper,
    real_source="other" if source == "images" else "photo",
  )
