"""Open Inference Protocol v2 over JSON: KServe, Triton, MLServer."""

from collections.abc import Sequence
import json
import math
from typing import Any, NamedTuple, Self

import numpy as np

from jaxkd.config import checks
from jaxkd.errors import JaxkdError
from jaxkd.teachers.remote.codec import (
  TEXTS,
  UNLIMITED,
  Request,
  ResponseSpec,
  get_path,
  log_probs,
  parse,
  text_bytes,
)

_FLOATS = ("FP16", "BF16", "FP32", "FP64")
_INTEGERS = ("INT8", "INT16", "INT32", "INT64")
_INTEGERS += tuple(f"U{name}" for name in _INTEGERS)


class V2(NamedTuple):
  """One model of a server; `check` fills in what only the server knows.

  UINT8 inputs get 0 to 255, FP32 inputs 0 to 1.

  Attributes:
    model: its name; `NAME/versions/V` for one version.
    shape: of an image, `(H, W, C)`.
    expected: of the answers.
    top_k: classes that are asked for by Triton's classification extension,
      where the server has it; 0 asks for numbers.
    most: images that one request takes.
    input_name: of the tensor that takes the images.
    datatype: likewise.
    axes: the tensor's axes, from `(N, H, W, C)`.
    sizes: of the tensor's axes behind the first.
    output_name: of the tensor that is asked for.
  """

  model: str
  shape: tuple[int, ...]
  expected: ResponseSpec
  top_k: int = 0
  most: int = UNLIMITED
  input_name: str = ""
  datatype: str = ""
  axes: tuple[int, ...] = ()
  sizes: tuple[int, ...] = ()
  output_name: str = ""

  @property
  def paths(self) -> tuple[str, ...]:
    """What is read before the first query."""
    return (f"v2/models/{self.model}/ready", f"v2/models/{self.model}", "v2")

  def check(self, replies: Sequence[bytes]) -> Self:
    """The protocol for this server, from its replies to `paths`.

    Raises:
      JaxkdError: if inputs, outputs or classes do not fit.
    """
    metadata, server = (parse(reply) for reply in replies[1:])
    try:
      return self._fill(metadata, server)
    except JaxkdError:
      raise
    except (AttributeError, KeyError, TypeError, ValueError):
      raise JaxkdError(
        f"The server describes {self.model} in another way than v2; check "
        "teacher.url and teacher.protocol."
      ) from None

  def _fill(self, metadata: dict[str, Any], server: dict[str, Any]) -> Self:
    found = get_path(metadata, "inputs")
    if len(found) != 1:
      raise JaxkdError(
        f"The model {self.model} has {len(found)} inputs, not 1."
      )
    datatype, (batch, *sizes) = (
      get_path(found, "0.datatype"),
      get_path(found, "0.shape"),
    )
    checks.choice("datatype of the model's input", datatype, TEXTS)
    if batch not in (-1, 1):
      raise JaxkdError(
        f"The model {self.model} takes exactly {batch} images a request; serve "
        "it with a batch axis of -1."
      )
    axes, sizes = _layout(sizes, self.shape)
    output = _output(get_path(metadata, "outputs"), self.expected)
    return self._replace(
      top_k=self._classes(output, server.get("extensions", ())),
      most=UNLIMITED if batch == -1 else 1,
      input_name=get_path(found, "0.name"),
      datatype=datatype,
      axes=axes,
      sizes=sizes,
      output_name=output["name"],
    )

  def _classes(self, output: dict[str, Any], extensions: list[str]) -> int:
    """Classes to ask for by classification."""
    if output["datatype"] in _FLOATS and "classification" in extensions:
      return self.top_k
    if self.expected.access == "top_k":
      raise JaxkdError(
        "teacher.access=top_k needs Triton's classification extension, which "
        "the server does not have; choose label, probs or logits."
      )
    return 0

  def encode(self, images: np.ndarray) -> Request:
    """A request from uint8 `[N, H, W, C]`."""
    pixels = images.transpose(self.axes).tobytes()
    data = ",".join(map(TEXTS[self.datatype].__getitem__, pixels))
    return Request(
      f"v2/models/{self.model}/infer",
      {"Content-Type": "application/json"},
      self._body(len(images), data).encode(),
    )

  def size(self, images: np.ndarray) -> int:
    """Bytes of the body."""
    between = len(self._body(len(images), "").encode()) + images.size - 1
    return between + text_bytes(images, self.datatype)

  def _body(self, count: int, data: str) -> str:
    tensor = {
      "name": self.input_name,
      "shape": [count, *self.sizes],
      "datatype": self.datatype,
    }
    output: dict[str, Any] = {"name": self.output_name}
    if self.top_k:
      output["parameters"] = {"classification": self.top_k}
    return (
      f'{{"inputs": [{json.dumps(tensor)[:-1]}, "data": [{data}]}}], '
      f'"outputs": [{json.dumps(output)}]}}'
    )

  def decode(self, body: bytes, count: int) -> np.ndarray:
    """Labels `[N]` or scores `[N, K]`."""
    outputs = get_path(parse(body), "outputs")
    for output in outputs if isinstance(outputs, list) else ():
      if isinstance(output, dict) and output.get("name") == self.output_name:
        break
    else:
      raise JaxkdError(f"a reply without the output {self.output_name!r}.")
    shape = get_path(output, "shape")
    try:
      array = np.asarray(get_path(output, "data")).reshape(shape)
    except (TypeError, ValueError):
      raise JaxkdError(
        f"an output {self.output_name!r} without its shape {shape}."
      ) from None
    if not self.top_k:
      return self.expected.read(array.tolist(), count)
    if array.shape != (count, self.top_k):
      raise JaxkdError(
        f"answers of shape {list(array.shape)}; {count} images and "
        f"{self.top_k} classes were asked for."
      )
    return self._classification(array)

  def _classification(self, texts: np.ndarray) -> np.ndarray:
    """Labels, or log-probabilities: what is untold is spread evenly."""
    pairs = np.array([[_pair(text) for text in row] for row in texts.tolist()])
    values, classes = pairs[..., 0], pairs[..., 1]
    if self.expected.access == "label":
      return self.expected.labels(classes[:, 0])
    self.expected.check_classes(classes)
    classes = classes.astype(np.int32)
    told = np.zeros((len(texts), self.expected.num_classes), bool)
    np.put_along_axis(told, classes, True, -1)
    if (told.sum(-1) != self.top_k).any():
      raise JaxkdError("the same class twice for one image.")
    untold = np.maximum(1 - values.sum(-1), 0)
    others = untold / (self.expected.num_classes - self.top_k)
    probs = np.repeat(others[:, None], self.expected.num_classes, 1)
    np.put_along_axis(probs, classes, values, -1)
    return log_probs(probs)


def _pair(text: Any) -> tuple[float, float]:
  """Score and class from `score:class` or `score:class:name`."""
  try:
    score, index = map(float, text.split(":")[:2])
  except (AttributeError, ValueError):
    raise JaxkdError(f"{text!r}; expected score:class.") from None
  if not (math.isfinite(score) and math.isfinite(index)):
    raise JaxkdError(f"{text!r} is not finite.")
  return score, index


def _layout(
  sizes: Sequence[int], shape: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
  """The axes of `(N, H, W, C)` in the server's order, and their sizes."""
  height, width, channels = shape
  for axes, wanted in (
    ((0, 1, 2, 3), shape),
    ((0, 3, 1, 2), (channels, height, width)),
    ((0, 1, 2, 3), (math.prod(shape),)),
  ):
    if len(wanted) == len(sizes) and all(
      size in (-1, want) for size, want in zip(sizes, wanted, strict=True)
    ):
      return axes, wanted
  raise JaxkdError(
    f"The model takes inputs of shape {list(sizes)}, the images have "
    f"{list(shape)}; set dataset or image_size."
  )


def _output(outputs: list[dict[str, Any]], expected: ResponseSpec) -> dict:
  """The output that fits the access; of several the one named after it."""
  fitting = []
  for output in outputs:
    datatype, sizes = (
      get_path(output, "datatype"),
      get_path(output, "shape")[1:],
    )
    scores = datatype in _FLOATS and sizes in ([expected.num_classes], [-1])
    labels = datatype in _INTEGERS and sizes in ([], [1])
    if scores or (labels and expected.access == "label"):
      fitting.append(output)
  if not fitting:
    found = ", ".join(
      f"{o['name']} {o['datatype']} {o['shape']}" for o in outputs
    )
    raise JaxkdError(
      f"No output fits teacher.access={expected.access} and "
      f"{expected.num_classes} classes; the model has {found}."
    )
  stem = expected.access.rstrip("s")
  return min(fitting, key=lambda output: stem not in output["name"])
