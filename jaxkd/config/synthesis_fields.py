"""Fields that several methods have in `synthesis` or `hyper` are declared here.

A method declares its own beside its `build`, in `FIELDS` and `HYPER`.
"""

from jaxkd.config.fields import (
  COUNT,
  NOT_NEGATIVE,
  OPEN_UNIT,
  POSITIVE,
  UNIT,
  Block,
  Field,
)

NUM_ROUNDS = Field("num_rounds", int, ..., "Rounds of the method.", COUNT)
PAID_ROUNDS = Field(
  "num_rounds",
  int,
  0,
  "Rounds of the method; 0: as many as the budget pays for.",
  NOT_NEGATIVE,
)
BATCH_SIZE = Field("batch_size", int, ..., "B, images in an update.", COUNT)
NUM_STEPS = Field("num_steps", int, ..., "T, updates of an image.", COUNT)
STEP_SIZE = Field("step_size", float, ..., "Learning rate of Adam.", POSITIVE)
CAPACITY = Field(
  "capacity", int, ..., "Samples that are kept, the latest ones.", COUNT
)
STUDENT_BATCH_SIZE = Field(
  "student_batch_size", int, ..., "Images in an update of the student.", COUNT
)
STUDENT_STEPS = Field(
  "student_steps",
  int,
  ...,
  "n_S, updates of the student that follow those of the generator.",
  COUNT,
)
LATENTS = Field(
  "latents",
  int,
  0,
  "Z, numbers that an image is made from; 0: as published.",
  NOT_NEGATIVE,
)
WIDTH = Field(
  "width",
  int,
  0,
  "Channels of the generator's first map; 0: as published.",
  NOT_NEGATIVE,
)
GENERATOR = (
  Field(
    "generator",
    str,
    ...,
    "Name of a generator in jaxkd.models.generators.registry.",
  ),
  LATENTS,
  WIDTH,
)
FINITE_DIFFERENCES = (
  Field(
    "num_directions", int, ..., "M, finite differences of an image.", COUNT
  ),
  Field(
    "radius",
    float,
    ...,
    "Their length, in pre-activations of the generator.",
    POSITIVE,
  ),
)

TEMPERATURE = Field(
  "temperature", float, ..., "Softens both networks' answers.", POSITIVE
)
ALPHA = Field("alpha", float, ..., "Weight of the teacher's answer.", UNIT)
MULTIPLIER = Field(
  "multiplier", float, ..., "Factor of the divergence.", POSITIVE
)
LABEL_FLOOR = Field(
  "label_floor",
  float,
  ...,
  "Share of a one-hot answer that is spread over all classes.",
  OPEN_UNIT,
)


def weights_of(terms: tuple[str, ...]) -> Block:
  """Returns the block `weights`, with a number for each term of the loss."""
  return Block(
    "weights",
    "Weights of the terms of the images' loss.",
    tuple(Field(t, float, ..., f"Weight of the term {t}.") for t in terms),
  )
