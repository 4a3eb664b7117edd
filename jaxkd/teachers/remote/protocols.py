"""What servers of classifiers speak: a body from images, answers from a reply.

Pure functions of bytes, which `jaxkd.teachers.remote.http` carries. Each
protocol has `paths` to read before the first query, `check` of what they reply,
`encode`, `size`, `decode`, and `most`, the images that one request takes.
"""

import base64
from collections.abc import Sequence
import functools
import json
import math
from typing import Any, NamedTuple, Self

import numpy as np

from jaxkd.config import checks
from jaxkd.data.pixels import to_png
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
from jaxkd.types import DataSpec, JaxkdError

PROTOCOLS = ("v2", "v1", "template")
MARK = "{{image_b64}}"
# Where a prediction that is an object has what we want, best first.
_KEYS = {
  "label": ("label", "classes", "probabilities", "scores", "logits"),
  "probs": ("probabilities", "scores"),
  "logits": ("logits", "scores"),
}


class V1(NamedTuple):
  """Predict: TensorFlow Serving, KServe, Vertex AI, MLflow.

  `{"instances": [...]}` to the url itself gives `{"predictions": [...]}`.

  Attributes:
    shape: of an image, `(H, W, C)`.
    expected: of the answers.
    datatype: `FP32` sends pixels of 0 to 1, `UINT8` of 0 to 255.
  """

  shape: tuple[int, ...]
  expected: ResponseSpec
  datatype: str

  most = UNLIMITED
  paths = ()

  def check(self, replies: Sequence[bytes]) -> Self:
    """Nothing was read."""
    del replies
    return self

  def encode(self, images: np.ndarray) -> Request:
    """A request from uint8 `[N, H, W, C]`."""
    nested, text = _nested(self.shape), TEXTS[self.datatype].__getitem__
    instances = ",".join(
      nested % tuple(map(text, image.tobytes())) for image in images
    )
    body = f'{{"instances": [{instances}]}}'
    return Request("", {"Content-Type": "application/json"}, body.encode())

  def size(self, images: np.ndarray) -> int:
    """Bytes of the body."""
    brackets = len(_nested(self.shape)) - 2 * math.prod(self.shape)
    between = len('{"instances": []}') - 1 + len(images) * (brackets + 1)
    return between + text_bytes(images, self.datatype)

  def decode(self, body: bytes, count: int) -> np.ndarray:
    """Labels `[N]` or scores `[N, K]`."""
    predictions = get_path(parse(body), "predictions")
    if isinstance(predictions, list):
      predictions = [self._value(prediction) for prediction in predictions]
    return self.expected.read(predictions, count)

  def _value(self, prediction: Any) -> Any:
    if not isinstance(prediction, dict):
      return prediction
    keys = _KEYS[self.expected.access]
    for key in keys:
      if key in prediction:
        return prediction[key]
    raise JaxkdError(
      f"a prediction with {', '.join(prediction)}; teacher.access="
      f"{self.expected.access} needs one of {', '.join(keys)}."
    )


class Template(NamedTuple):
  """Any interface that takes one PNG a request and answers in JSON.

  Attributes:
    expected: of the answers.
    body: `raw` for the PNG itself, or a text with `{{image_b64}}` in it.
    content_type: of the body.
    response: dotted path to the answer, e.g. `predictions.0.tagName`; empty
      for all of it.
  """

  expected: ResponseSpec
  body: str
  content_type: str
  response: str

  most = 1
  paths = ()

  def check(self, replies: Sequence[bytes]) -> Self:
    """Nothing was read."""
    del replies
    return self

  def encode(self, images: np.ndarray) -> Request:
    """A request from uint8 `[1, H, W, C]`."""
    body = to_png(images[0])
    if self.body != "raw":
      text = base64.b64encode(body).decode()
      body = self.body.replace(MARK, text).encode()
    return Request("", {"Content-Type": self.content_type}, body)

  def size(self, images: np.ndarray) -> int:
    """Bytes of the body."""
    return len(self.encode(images).body)

  def decode(self, body: bytes, count: int) -> np.ndarray:
    """Labels `[1]` or scores `[1, K]`."""
    return self.expected.read([get_path(parse(body), self.response)], count)


def build(spec: DataSpec, teacher) -> V2 | V1 | Template:
  """The protocol of a config's `teacher` block.

  Raises:
    JaxkdError: naming the field.
  """
  checks.choice("teacher.protocol", teacher.protocol, PROTOCOLS)
  if len(spec.shape) != 3:
    raise JaxkdError(
      f"{spec.name} has inputs of shape {list(spec.shape)}; only images "
      "[H, W, C] can be sent."
    )
  names = tuple(teacher.template.labels)
  if names and (len(names), len(set(names))) != (spec.num_classes,) * 2:
    raise JaxkdError(
      f"teacher.template.labels has {len(names)} names, {len(set(names))} of "
      f"them different; {spec.name} has {spec.num_classes} classes."
    )
  expected = ResponseSpec(teacher.access, spec.num_classes, names)
  if teacher.protocol == "v2":
    return _v2(spec, teacher, expected)
  if teacher.access not in _KEYS:
    raise JaxkdError(
      f"teacher.access={teacher.access} is not for teacher.protocol="
      f"{teacher.protocol}; choose {', '.join(_KEYS)}, or v2."
    )
  if teacher.protocol == "v1":
    datatype = teacher.template.get("datatype", "FP32")
    checks.choice("teacher.template.datatype", datatype, TEXTS)
    return V1(spec.shape, expected, datatype)
  return _template(spec, teacher.template, expected)


def _v2(spec: DataSpec, teacher, expected: ResponseSpec) -> V2:
  if not teacher.model_name:
    raise JaxkdError(
      "teacher.model_name is empty; v2 needs the model's name on the server."
    )
  top_k = {"label": 1, "top_k": teacher.top_k}.get(teacher.access, 0)
  return V2(teacher.model_name, spec.shape, expected, top_k)


def _template(spec: DataSpec, template, expected: ResponseSpec) -> Template:
  if template.body != "raw" and MARK not in template.body:
    raise JaxkdError(
      f"teacher.template.body={template.body!r}: choose raw, or a text with "
      f"{MARK} where the image goes."
    )
  if spec.shape[-1] not in (1, 3):
    raise JaxkdError(
      f"teacher.protocol=template sends PNG files, which have 1 or 3 channels; "
      f"{spec.name} has {spec.shape[-1]}."
    )
  return Template(
    expected, template.body, template.content_type, template.response
  )


@functools.cache
def _nested(shape: tuple[int, ...]) -> str:
  """Brackets of one image, with `%s` for every pixel."""
  zeros = np.zeros(shape, int).tolist()
  return json.dumps(zeros, separators=(",", ":")).replace("0", "%s")
