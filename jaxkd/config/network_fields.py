"""The fields of networks, optimizers and the block `student` are declared."""

from jaxkd.config.fields import (
  COUNT,
  FRACTION,
  NOT_NEGATIVE,
  POSITIVE,
  Block,
  Field,
)

OPTIMIZER = Block(
  "optimizer",
  "How a network is trained, see jaxkd.training.optimisers.",
  (
    Field("name", str, ..., "Kind of optimizer.", ("sgd", "adam")),
    Field("learning_rate", float, ..., "Peak of the learning rate.", POSITIVE),
    Field(
      "schedule",
      str,
      "constant",
      "Course of the learning rate.",
      ("constant", "one_cycle", "multistep", "cosine"),
    ),
    Field(
      "momentum",
      float,
      0.9,
      "Momentum of sgd; with one_cycle it has a cycle of its own.",
      FRACTION,
    ),
    Field(
      "weight_decay",
      float,
      0.0,
      "Factor of the weights that are added to their gradient.",
      NOT_NEGATIVE,
    ),
    Field(
      "milestones",
      tuple[float, ...],
      (),
      "Epochs from which multistep multiplies the learning rate by factor.",
      NOT_NEGATIVE,
    ),
    Field("factor", float, 0.1, "What multistep multiplies by.", POSITIVE),
    Field(
      "clip_norm",
      float,
      0.0,
      "Largest norm of the gradient; 0: no limit.",
      NOT_NEGATIVE,
    ),
  ),
)
NETWORK = (
  Field(
    "model",
    str,
    ...,
    "Name of a network (--list prints all), or module:function of your own.",
  ),
  Field(
    "augment",
    tuple[str, ...],
    (),
    "Augmentations of the training images, in order.",
  ),
  Field("batch_size", int, ..., "Images in an update.", COUNT),
  Field(
    "batch_norm",
    str,
    "per_device",
    "Whether batch statistics are those of a device, averaged afterwards, or "
    "of the whole batch; identical on one device.",
    ("per_device", "synchronized"),
  ),
  OPTIMIZER,
)
STUDENT = Block(
  "student",
  "The network that is trained on the answers.",
  (
    *NETWORK,
    Field(
      "start",
      str,
      "random",
      "Weights before it is trained: random, or the teacher's for fewer "
      "channels (teacher), which needs a white box and a student that is its "
      "network with fewer; auto: the teacher's where that is so.",
      ("random", "teacher", "auto"),
    ),
    Field(
      "epochs",
      int,
      ...,
      "Passes over all samples once they are made; 0: it learns in the rounds.",
      NOT_NEGATIVE,
    ),
    OPTIMIZER._replace(
      name="round_optimizer",
      meaning="How it is trained in the rounds, by the methods that do so.",
      required=False,
    ),
    Field(
      "seeds",
      int,
      1,
      "Number of students, which differ in their initial weights.",
      COUNT,
    ),
    Field(
      "at_once",
      int,
      0,
      "Students that train together; 0: as many as memory allows.",
      NOT_NEGATIVE,
    ),
    Field(
      "validation_fraction",
      float,
      0.01,
      "Share of the samples that is held out of training, to measure it.",
      FRACTION,
      formerly="holdout",
    ),
  ),
)
