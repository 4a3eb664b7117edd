"""The fields of the block `teacher` are declared, with those of a defence."""

from ml_collections import ConfigDict

from jaxkd.config.fields import (
  COUNT,
  FRACTION,
  NOT_NEGATIVE,
  POSITIVE,
  Block,
  Field,
  Interval,
)
from jaxkd.config.network_fields import NETWORK

# Kinds of access to a teacher, from the least to the most.
ACCESS_LEVELS = ("label", "top_k", "probs", "logits", "white_box")

# What a network's output is.
OUTPUT_KINDS = ("logits", "probabilities", "sigmoid")


def output_index(name: str, count: int) -> int | None:
  """Returns which of several outputs an index names, from the end if it is
  negative; None for a name, or if there are fewer.

  >>> output_index("1", 3), output_index("-1", 3), output_index("3", 3)
  (1, 2, None)
  """
  if not name.removeprefix("-").isdecimal() or not -count <= int(name) < count:
    return None
  return int(name) % count


TEMPLATE = Block(
  "template",
  "Requests and replies of teacher.protocol=template.",
  (
    Field(
      "body",
      str,
      "raw",
      "What is sent: raw, or a text with {{image_b64}} in it.",
    ),
    Field(
      "header",
      str,
      "Authorization",
      "Header of the token; any other name carries the token alone.",
    ),
    Field("content_type", str, "image/png", "Content type of a request."),
    Field(
      "datatype",
      str,
      "FP32",
      "Type of the pixels in protocol=v1.",
      ("UINT8", "FP32"),
    ),
    Field("response", str, "label", "Path to the answer in the reply."),
    Field(
      "labels", tuple[str, ...], (), "Names of the classes, in their order."
    ),
  ),
)
INPUT = Block(
  "input",
  "The input of protocol=v2 where the server's metadata lack it, and of v1.",
  (
    Field("name", str, "", "Its name; '' is that in the metadata."),
    Field(
      "datatype",
      str,
      "",
      "Its type: UINT8 gets pixels of 0 to 255, FP32 of 0 to 1.",
      ("", "UINT8", "FP32", "FP64"),
    ),
    Field(
      "shape",
      tuple[int, ...],
      (),
      "Its shape without the batch, as (28, 28, 1), (1, 28, 28) or (784,).",
    ),
  ),
)
DEFENSE = Block(
  "defense",
  "What is done to the teacher before it is published, see jaxkd.defenses.",
  (
    Field(
      "name",
      str,
      "",
      "Name of a defence (--list prints all), or its dotted path; '' is none.",
    ),
    Field(
      "omega",
      float,
      0.04,
      "Weight of the distance to the normal teacher; .04 is CIFAR-10's.",
      NOT_NEGATIVE,
    ),
    Field(
      "temperature",
      float,
      4.0,
      "Softens both teachers in that distance; 4 is CIFAR-10's.",
      POSITIVE,
    ),
    Field(
      "index",
      int,
      2,
      "Member of the sequence that scm publishes; 1 is the nasty teacher.",
      Interval(2),
    ),
    Field(
      "target_accuracy",
      float,
      0.0,
      "Accuracy at which nasty_early_stop stops; 0: that of the scm defence.",
      FRACTION,
    ),
  ),
)
TEACHER = Block(
  "teacher",
  "The network that is copied.",
  (
    *NETWORK,
    Field(
      "epochs",
      int,
      ...,
      "Epochs of its training, where it is trained here.",
      COUNT,
    ),
    Field(
      "validation_fraction",
      float,
      0.0,
      "Share of the training images that is held out, to choose an epoch by.",
      FRACTION,
      formerly="holdout",
    ),
    Field(
      "checkpoint",
      str,
      "",
      "Weights of an earlier run, or a folder of jaxkd.import_teacher.",
    ),
    Field(
      "factory",
      str,
      "",
      "Function that returns a jaxkd.Classifier, as module:function.",
      formerly="network",
    ),
    DEFENSE,
    Field(
      "access",
      str,
      "white_box",
      "What an answer tells.",
      ACCESS_LEVELS,
    ),
    Field(
      "top_k", int, 1, "Classes whose probabilities access=top_k tells.", COUNT
    ),
    Field(
      "logit_std",
      float,
      0.0,
      "Standard deviation to which a white box's logits on procedural images "
      "are scaled for the method, and the student's back; 0: they stay.",
      NOT_NEGATIVE,
    ),
    Field("url", str, "", "Address of a service that answers."),
    Field(
      "protocol",
      str,
      "v2",
      "Protocol of the service.",
      ("v2", "v1", "template"),
    ),
    Field(
      "model_name", str, "", "Name of the model on the server, in protocol=v2."
    ),
    Field("token_env", str, "", "Environment variable that holds the token."),
    Field(
      "authorization", str, "", "Who allowed the queries; the report prints it."
    ),
    TEMPLATE,
    Field(
      "headers",
      tuple[str, ...],
      (),
      "Further headers, each as 'Name: value', 'Name: env:VARIABLE' or 'Name: "
      "file:PATH'.",
    ),
    INPUT,
    Field(
      "output",
      str,
      "",
      "Name or index of the output, where there are several; of protocol=v1 a "
      "path in a prediction; '' is the one that fits.",
    ),
    Field(
      "output_kind",
      str,
      "",
      "What that output is; sigmoid: one number, the probability of the second "
      "of two classes; '' is what teacher.access says, or logits.",
      ("", *OUTPUT_KINDS),
    ),
    Field("replay", str, "", "Ledger of an earlier run, which answers again."),
    Field(
      "callable",
      str,
      "",
      "Function that answers uint8 images [N, H, W, C], as module:function.",
    ),
  ),
)
INTERFACES = ("url", "replay", "callable")


def behind_interface(block: ConfigDict) -> bool:
  """Returns whether the teacher of `config.teacher` is not a network here."""
  return any(block[name] for name in INTERFACES)
