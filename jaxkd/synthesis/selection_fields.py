"""Fields of the block `synthesis.selection`, and a type for their values."""

from typing import NamedTuple

from jaxkd.config.fields import COUNT, NOT_NEGATIVE, POSITIVE, Block, Field
from jaxkd.synthesis import selection

SELECTION = Block(
  "selection",
  "How the images that are asked about are selected.",
  (
    Field(
      "criterion",
      str,
      "margin",
      "Rule that selects images in a class; none takes new ones at random.",
      selection.CRITERIA,
    ),
    Field(
      "critic",
      str,
      "students",
      "Whose answers count; those of a teacher that is a white box are free.",
      ("students", "teacher"),
    ),
    Field(
      "candidates",
      float,
      2.0,
      "New candidates for each image that is asked about.",
      COUNT,
    ),
    Field(
      "mutations",
      float,
      2.0,
      "Mutations of earlier images, for each that is asked about.",
      NOT_NEGATIVE,
    ),
    Field("members", int, 2, "Students that select.", COUNT),
    Field(
      "visits",
      int,
      150_000,
      "Images in all updates of a member in a round, which set its epochs.",
      COUNT,
    ),
    Field("min_epochs", int, 3, "Least epochs of a member.", COUNT),
    Field("max_epochs", int, 15, "Most epochs of a member.", COUNT),
    Field("batch_size", int, 32, "Images in an update of a member.", COUNT),
    Field(
      "learning_rate", float, 0.03, "Peak of a member's one-cycle.", POSITIVE
    ),
    Field(
      "weight_decay", float, 5e-3, "Weight decay of a member.", NOT_NEGATIVE
    ),
  ),
)


class SelectionConfig(NamedTuple):
  """The fields of the block `selection`."""

  criterion: str
  critic: str
  candidates: float
  mutations: float
  members: int
  visits: int
  min_epochs: int
  max_epochs: int
  batch_size: int
  learning_rate: float
  weight_decay: float
