"""The Open Inference Protocol v2 over JSON: KServe, Triton and MLServer."""

from collections.abc import Sequence
import json
import math
from typing import NamedTuple, Self

import numpy as np

from jaxkd.config import checks
from jaxkd.errors import JaxkdError
from jaxkd.runtime.files import Json
from jaxkd.teachers.answers import CheckedAnswers
from jaxkd.teachers.remote import codec, tensors
from jaxkd.teachers.remote.codec import Request, ResponseSpec
from jaxkd.teachers.remote.replies import check_error
from jaxkd.teachers.remote.transport import NotServed, OutcomeUnknown


class V2(NamedTuple):
  """The v2 protocol for one model; `check` completes it from the metadata.

  UINT8 inputs get pixels of 0 to 255, FP32 and FP64 inputs 0 to 1.

  Attributes:
    model: the model's name; `NAME/versions/V` for one version.
    shape: the shape of an image, `(H, W, C)`.
    response: the answers that are expected.
    top_k: the number of classes to ask for by Triton's classification
      extension, where the server has it; 0 asks for numbers.
    max_images: the number of images that one request takes.
    input_name: the name of the input tensor.
    datatype: the datatype of the input tensor, `UINT8` or `FP32`.
    axes: the axes of `(N, H, W, C)` in the input tensor's order.
    sizes: the sizes of the input tensor's axes behind the first.
    output_name: the name of the output tensor to ask for; empty chooses one.
    declared: what the config says about the input tensor.
  """

  model: str
  shape: tuple[int, ...]
  response: ResponseSpec
  top_k: int = 0
  max_images: int = codec.UNLIMITED
  input_name: str = ""
  datatype: str = ""
  axes: tuple[int, ...] = ()
  sizes: tuple[int, ...] = ()
  output_name: str = ""
  declared: tensors.InputTensor = tensors.InputTensor()

  @property
  def paths(self) -> tuple[str, ...]:
    """The paths that are read before the first query."""
    return (f"v2/models/{self.model}/ready", f"v2/models/{self.model}", "v2")

  @property
  def optional_paths(self) -> tuple[str, ...]:
    """The paths among these to which a server may have no reply."""
    return self.paths if self.declared.name else self.paths[::2]

  def check(self, replies: Sequence[bytes]) -> Self:
    """Returns the protocol completed from the replies to `paths`.

    Raises:
      NotServed: if the model is not ready yet.
      JaxkdError: if inputs, outputs or classes do not fit.
    """
    ready, metadata, server = map(_object, replies)
    if str(ready.get("ready")).lower() == "false":
      raise NotServed(f"the model {self.model} is not ready")
    if not metadata and not self.declared.name:
      raise JaxkdError(
        f"The server has no metadata of {self.model}: check teacher.url, "
        "teacher.model_name and teacher.protocol; if they are right, "
        f"{tensors.DECLARE}."
      )
    try:
      return self._fill(metadata, server)
    except JaxkdError:
      raise
    except (AttributeError, KeyError, TypeError, ValueError):
      raise JaxkdError(
        f"The server's metadata of {self.model} do not follow v2: check "
        f"teacher.url and teacher.protocol; if they are right, "
        f"{tensors.DECLARE}."
      ) from None

  def _fill(self, metadata: dict[str, Json], server: dict[str, Json]) -> Self:
    tensor = tensors.choose_input(metadata, self.declared, self.model)
    name = self.declared.name or tensor["name"]
    datatype = self.declared.datatype or tensor["datatype"]
    checks.choice("teacher.input.datatype", datatype, codec.TEXTS)
    shape = tensor.get("shape") or (-1, *self.shape)
    if self.declared.shape:
      shape = (-1, *self.declared.shape)
    batch, *sizes = map(int, shape)
    if batch not in (-1, 1):
      raise JaxkdError(
        f"The model {self.model} takes inputs of shape {list(shape)}, so "
        f"exactly {batch} images in a request; serve it with a first axis of "
        "-1, or set teacher.input.shape, the shape of one image, if it takes "
        "any number."
      )
    axes, sizes = tensors.layout(sizes, self.shape)
    outputs = tensors.objects(metadata.get("outputs"))
    output = tensors.choose_output(outputs, self.response, self.output_name)
    return self._replace(
      top_k=self._num_classes_to_ask(output, server.get("extensions", ())),
      max_images=codec.UNLIMITED if batch == -1 else 1,
      input_name=name,
      datatype=datatype,
      axes=axes,
      sizes=sizes,
      output_name=output.get("name", ""),
    )

  def _num_classes_to_ask(
    self, output: dict[str, Json], extensions: list[str]
  ) -> int:
    """Returns the number of classes to ask the extension for."""
    floats = output.get("datatype") in tensors.FLOATS
    # Of two classes with one number, the extension would rank that number.
    single = (output.get("shape") or [])[1:] in ([1], [])
    if floats and not single and "classification" in extensions:
      return self.top_k
    if self.response.access == "top_k":
      raise JaxkdError(
        "teacher.access=top_k needs Triton's classification extension, which "
        "the server does not have; choose label, probs or logits."
      )
    return 0

  def encode(self, images: np.ndarray) -> Request:
    """Encodes uint8 `images [N, H, W, C]` as a request."""
    pixels = images.transpose(self.axes).tobytes()
    data = ",".join(map(codec.TEXTS[self.datatype].__getitem__, pixels))
    return Request(
      f"v2/models/{self.model}/infer",
      {"Content-Type": "application/json"},
      self._body(len(images), data).encode(),
    )

  def size(self, images: np.ndarray) -> int:
    """Counts the bytes of the request's body."""
    frame = len(self._body(len(images), "").encode()) + images.size - 1
    return frame + codec.text_bytes(images, self.datatype)

  def _body(self, count: int, data: str) -> str:
    tensor = {
      "name": self.input_name,
      "shape": [count, *self.sizes],
      "datatype": self.datatype,
    }
    text = f'{{"inputs": [{json.dumps(tensor)[:-1]}, "data": [{data}]}}]'
    if not self.output_name:
      return f"{text}}}"
    output: dict[str, Json] = {"name": self.output_name}
    if self.top_k:
      output["parameters"] = {"classification": self.top_k}
    return f'{text}, "outputs": [{json.dumps(output)}]}}'

  def decode(self, body: bytes, count: int) -> CheckedAnswers:
    """Decodes a reply to labels `[N]` or scores `[N, K]`.

    Raises:
      JaxkdError: if it does not hold `count` answers.
    """
    reply = codec.parse(body)
    check_error(reply)
    output = self._find_output(codec.get_path(reply, "outputs"))
    data = codec.get_path(output, "data")
    shape = output.get("shape")
    try:
      sizes = [int(size) for size in shape] if shape else np.shape(data)
      array = np.asarray(data).reshape(sizes)
    except (TypeError, ValueError):
      raise JaxkdError(
        f"The reply's output {output.get('name')!r} does not have its shape "
        f"{shape}."
      ) from None
    if not self.top_k:
      return self.response.convert(array.tolist(), count)
    if array.shape != (count, self.top_k):
      raise JaxkdError(
        f"The reply holds answers of shape {list(array.shape)}; {count} images "
        f"and {self.top_k} classes were asked for."
      )
    return self.response.convert(
      array.tolist(), count, self._decode_classification
    )

  def _find_output(self, outputs: Json) -> dict[str, Json]:
    outputs = tensors.objects(outputs)
    for output in outputs:
      if output.get("name") == self.output_name:
        return output
    if self.output_name or not outputs:
      names = ", ".join(str(output.get("name")) for output in outputs)
      raise JaxkdError(
        f"The reply has no output {self.output_name!r}; it has "
        f"{names or 'none'}. Set teacher.output to the one that is the answer."
      )
    if len(outputs) == 1:
      return outputs[0]
    return tensors.choose_output(outputs, self.response)

  def _decode_classification(self, texts: list[Json]) -> int | list[float]:
    """Returns the label or the probabilities `[K]` of one image."""
    pairs = [_pair(text) for text in texts]
    classes = [self.response.check_class(index) for _, index in pairs]
    if self.response.access == "label":
      return classes[0]
    if len(set(classes)) != self.top_k:
      raise JaxkdError("The reply holds the same class twice for one image.")
    # The remaining probability is spread evenly, as `restrict_output` does.
    values = np.array([value for value, _ in pairs])
    num_others = self.response.num_classes - self.top_k
    others = max(1 - values.sum(), 0) / num_others
    probs = np.full(self.response.num_classes, others)
    probs[classes] = values
    return probs.tolist()


def _object(reply: bytes) -> dict[str, Json]:
  """Returns the object that a reply holds; empty if it holds something else."""
  try:
    value = codec.parse(reply)
  except (OutcomeUnknown, JaxkdError):
    return {}
  return value if isinstance(value, dict) else {}


def _pair(text: Json) -> tuple[float, float]:
  """Parses `score:class` or `score:class:name` to a score and a class."""
  try:
    score, index = map(float, text.split(":")[:2])
  except (AttributeError, ValueError):
    raise JaxkdError(
      f"The reply holds {text!r} where score:class was expected."
    ) from None
  if not (math.isfinite(score) and math.isfinite(index)):
    raise JaxkdError(f"The reply holds {text!r}, which is not finite.")
  return score, index
