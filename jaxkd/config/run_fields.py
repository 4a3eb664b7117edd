"""The fields that every config of a run has are declared here.

A method declares its own, see `jaxkd.config.synthesis_fields`.
"""

from jaxkd.config.fields import (
  COUNT,
  NOT_NEGATIVE,
  POSITIVE,
  SHARE,
  Block,
  Field,
  Interval,
)
from jaxkd.config.network_fields import STUDENT
from jaxkd.config.teacher_fields import TEACHER

QUERIES = Block(
  "queries",
  "What a black box may be asked; counts are images.",
  (
    Field(
      "budget",
      int,
      0,
      "Images that it may be asked about in all.",
      NOT_NEGATIVE,
    ),
    Field("price_per_1000", float, 0.0, "Price of 1,000 images.", NOT_NEGATIVE),
    Field(
      "max_in_flight", int, 4, "Requests that are under way at once.", COUNT
    ),
    Field("images_per_request", int, 64, "Most images in a request.", COUNT),
    Field(
      "bytes_per_request", int, 1_000_000, "Most bytes of a request.", COUNT
    ),
    Field(
      "deadline_s",
      float,
      120.0,
      "Seconds for which a request is repeated until it is answered.",
      POSITIVE,
    ),
    Field(
      "max_unanswered",
      int,
      3,
      "Requests in a row that may be billed without an answer.",
      COUNT,
    ),
    Field(
      "ask_again",
      bool,
      False,
      "Whether images with answers that were not valid are asked about again.",
    ),
    Field(
      "idempotency_key",
      bool,
      False,
      "Whether requests carry the header Idempotency-Key, the same on retries.",
    ),
    Field(
      "evaluate",
      bool,
      False,
      "Whether a paid teacher is asked about test images, out of the budget.",
    ),
    Field(
      "eval_at",
      tuple[float, ...],
      (),
      "Shares of the budget, without the queries for the test images, at "
      "which the student is evaluated in between.",
      SHARE,
      formerly="marks",
    ),
  ),
)
ADAPTATION = Block(
  "adaptation",
  "How a white-box method is adapted to labels, see "
  "jaxkd.synthesis.label_only; all but the name are of zeroth.",
  (
    Field(
      "name",
      str,
      "",
      "Name of the adaptation; '' is none.",
      ("", "frozen", "surrogate", "zeroth"),
    ),
    Field(
      "num_directions", int, 1, "M, finite differences of an image.", COUNT
    ),
    Field(
      "student_steps",
      int,
      5,
      "Updates of the student for one of the generator.",
      COUNT,
    ),
  ),
)
METHOD = Field(
  "method", str, ..., "Name of a method, or its dotted path; --list prints all."
)
OBJECTIVE = Field(
  "objective", str, "", "Name of a method whose objective the student takes."
)
RUN = Block(
  "",
  "A run.",
  (
    METHOD,
    Field(
      "dataset",
      str,
      ...,
      "Name of a data set, a path, or none; --list prints all.",
    ),
    Field(
      "image_size",
      int,
      0,
      "Side that images are resized to, in pixels; 0 leaves them.",
      NOT_NEGATIVE,
    ),
    Field(
      "background",
      str,
      "",
      "Colour on which transparent images are put, as white or #ffffff.",
    ),
    Field(
      "seed", int, 0, "Seed of all random numbers.", Interval(0, 2**32 - 1)
    ),
    Field(
      "other_dataset",
      str,
      "",
      "Real images that are not the teacher's: a data set, a folder, a photo.",
      formerly="images",
    ),
    Field(
      "compute_dtype",
      str,
      "float32",
      "Type that networks compute in; weights and pixels are float32.",
      ("float32", "bfloat16"),
    ),
    TEACHER,
    STUDENT,
    QUERIES,
    ADAPTATION,
    OBJECTIVE,
    Field(
      "tensorboard", bool, False, "Whether TensorBoard events are written."
    ),
    Block(
      "profile",
      "A trace of the first steps.",
      (
        Field(
          "steps",
          int,
          0,
          "Rounds and epochs of each stage that are traced.",
          NOT_NEGATIVE,
        ),
      ),
    ),
  ),
)
