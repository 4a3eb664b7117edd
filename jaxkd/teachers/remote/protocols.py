"""The protocols of remote classifiers: encode images, decode answers.

They are pure functions of bytes; `jaxkd.teachers.remote.http` sends them. Each
protocol has `paths` to read before the first query, `check` for the replies to
them, `encode`, `size` and `decode`, and `max_images` that one request takes.
"""

import base64
from collections.abc import Sequence
import functools
import json
import math
from typing import NamedTuple, Self

from ml_collections import ConfigDict
import numpy as np

from jaxkd.data.pixels import to_png
from jaxkd.runtime.files import Json
from jaxkd.teachers.answers import CheckedAnswers
from jaxkd.teachers.remote.codec import (
  TEXTS,
  UNLIMITED,
  Request,
  ResponseSpec,
  get_path,
  parse,
  text_bytes,
)
from jaxkd.teachers.remote.open_inference import V2
from jaxkd.teachers.remote.replies import (
  KEYS,
  check_error,
  find_answers,
  read_prediction,
)
from jaxkd.teachers.remote.tensors import InputTensor, layout
from jaxkd.types import DataSpec, JaxkdError

MARK = "{{image_b64}}"  # where a template's body takes the image


class V1(NamedTuple):
  """The predict protocol of TensorFlow Serving, KServe, Vertex AI and MLflow.

  `{"instances": [...]}` sent to the url gives `{"predictions": [...]}`, or one
  of the other forms in `jaxkd.teachers.remote.replies`.

  Attributes:
    shape: the shape of an image as it is sent.
    response: the answers that are expected.
    datatype: `FP32` sends pixels of 0 to 1, `UINT8` of 0 to 255.
    axes: the axes of `(N, H, W, C)` in the order in which they are sent.
    output: the dotted path to the answer in a prediction; empty takes the one
      that fits.
  """

  shape: tuple[int, ...]
  response: ResponseSpec
  datatype: str
  axes: tuple[int, ...] = (0, 1, 2, 3)
  output: str = ""

  max_images = UNLIMITED
  paths = optional_paths = ()

  def check(self, replies: Sequence[bytes]) -> Self:
    """Returns the protocol itself, because it reads no metadata."""
    del replies
    return self

  def encode(self, images: np.ndarray) -> Request:
    """Encodes uint8 `images [N, H, W, C]` as a request."""
    nested, text = _nested(self.shape), TEXTS[self.datatype].__getitem__
    instances = ",".join(
      nested % tuple(map(text, image.tobytes()))
      for image in images.transpose(self.axes)
    )
    body = f'{{"instances": [{instances}]}}'
    return Request("", {"Content-Type": "application/json"}, body.encode())

  def size(self, images: np.ndarray) -> int:
    """Counts the bytes of the request's body."""
    brackets = len(_nested(self.shape)) - 2 * math.prod(self.shape)
    frame = len('{"instances": []}') - 1 + len(images) * (brackets + 1)
    return frame + text_bytes(images, self.datatype)

  def decode(self, body: bytes, count: int) -> CheckedAnswers:
    """Decodes a reply to labels `[N]` or scores `[N, K]`.

    Raises:
      JaxkdError: if it does not hold `count` answers.
    """
    answers = find_answers(parse(body), count, self.response)
    return self.response.convert(
      answers,
      count,
      lambda value: read_prediction(value, self.response, self.output),
    )


class Template(NamedTuple):
  """A protocol for interfaces that take one PNG a request and answer in JSON.

  Attributes:
    response: the answers that are expected.
    body: `raw` for the PNG itself, or a text with `{{image_b64}}` in it.
    content_type: the media type of the body.
    answer_path: the dotted path to the answer, such as `predictions.0.tagName`;
      empty if the reply is the answer.
  """

  response: ResponseSpec
  body: str
  content_type: str
  answer_path: str

  max_images = 1
  paths = optional_paths = ()

  def check(self, replies: Sequence[bytes]) -> Self:
    """Returns the protocol itself, because it reads no metadata."""
    del replies
    return self

  def encode(self, images: np.ndarray) -> Request:
    """Encodes uint8 `images [1, H, W, C]` as a request."""
    body = to_png(images[0])
    if self.body != "raw":
      text = base64.b64encode(body).decode()
      body = self.body.replace(MARK, text).encode()
    return Request("", {"Content-Type": self.content_type}, body)

  def size(self, images: np.ndarray) -> int:
    """Counts the bytes of the request's body."""
    return len(self.encode(images).body)

  def decode(self, body: bytes, count: int) -> CheckedAnswers:
    """Decodes a reply to labels `[1]` or scores `[1, K]`.

    Raises:
      JaxkdError: if it does not hold an answer.
    """
    reply = parse(body)
    check_error(reply)

    def read(reply: Json) -> Json:
      path = self.answer_path
      answer = get_path(reply, path, "teacher.template.response")
      return read_prediction(answer, self.response)

    return self.response.convert([reply], count, read)


def build(spec: DataSpec, teacher: ConfigDict) -> V2 | V1 | Template:
  """Builds the protocol that a config's `teacher` block describes.

  Raises:
    JaxkdError: for a value that is not allowed, or that the data set does not
      fit.
  """
  if len(spec.shape) != 3:
    raise JaxkdError(
      f"The data set {spec.name} has inputs of shape {list(spec.shape)}; only "
      "images [H, W, C] can be sent."
    )
  names = tuple(teacher.template.labels)
  if names and (len(names), len(set(names))) != (spec.num_classes,) * 2:
    raise JaxkdError(
      f"teacher.template.labels has {len(names)} names, {len(set(names))} of "
      f"them different, but {spec.name} has {spec.num_classes} classes."
    )
  kind = teacher.output_kind
  response = ResponseSpec(teacher.access, spec.num_classes, names, kind)
  if teacher.protocol == "v2":
    return _v2(spec, teacher, response)
  if teacher.access not in KEYS:
    raise JaxkdError(
      f"teacher.access={teacher.access} does not go with teacher.protocol="
      f"{teacher.protocol}; choose access {', '.join(KEYS)}, or protocol v2."
    )
  if teacher.protocol == "v1":
    datatype = teacher.input.datatype or teacher.template.datatype
    axes, sizes = layout(teacher.input.shape or spec.shape, spec.shape)
    return V1(sizes, response, datatype, axes, teacher.output)
  return _template(spec, teacher.template, response)


def _v2(spec: DataSpec, teacher: ConfigDict, response: ResponseSpec) -> V2:
  if not teacher.model_name:
    raise JaxkdError(
      "teacher.model_name is empty; set the model's name on the server, which "
      "teacher.protocol=v2 needs."
    )
  top_k = {"label": 1, "top_k": teacher.top_k}.get(teacher.access, 0)
  block = teacher.input
  return V2(
    teacher.model_name,
    spec.shape,
    response,
    top_k,
    output_name=teacher.output,
    declared=InputTensor(block.name, block.datatype, tuple(block.shape)),
  )


def _template(
  spec: DataSpec, template: ConfigDict, response: ResponseSpec
) -> Template:
  if template.body != "raw" and MARK not in template.body:
    raise JaxkdError(
      f"teacher.template.body={template.body!r}: choose raw, or a text that "
      f"has {MARK} in the place of the image."
    )
  if spec.shape[-1] not in (1, 3):
    raise JaxkdError(
      f"teacher.protocol=template sends PNG files, which have 1 or 3 channels; "
      f"{spec.name} has {spec.shape[-1]}."
    )
  return Template(
    response, template.body, template.content_type, template.response
  )


@functools.cache
def _nested(shape: tuple[int, ...]) -> str:
  """Returns the JSON of one image, with `%s` for every pixel."""
  zeros = np.zeros(shape, int).tolist()
  return json.dumps(zeros, separators=(",", ":")).replace("0", "%s")
