"""Inference for requests, from a body to the payload of its answer."""

import functools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np

from jaxkd.config import checks
from jaxkd.data import to_float
from jaxkd.defenses import AnswerDefense
from jaxkd.runtime.files import Json
from jaxkd.serve import answers as served_answers, tensors
from jaxkd.serve.answers import ServerConfig
from jaxkd.serve.metering import TokenBucket
from jaxkd.serve.tensors import RequestError
from jaxkd.types import Array, Classifier, DataSpec, JaxkdError

CHUNK = 256  # images that the network runs at once
WARM_UP = (1, 64)  # batch sizes that are compiled at once; others on demand
VERSION = "1"


class InferenceService:
  """Answers requests with a classifier; thread-safe.

  Raises:
    JaxkdError: for values that are not allowed, or inputs that are not images.
  """

  def __init__(
    self, classifier: Classifier, spec: DataSpec, config: ServerConfig
  ):
    _check(spec, config)
    self._classifier, self._spec, self._config = classifier, spec, config
    self._defenses = served_answers.chain(config, spec)
    rate = config.rate_limit
    self._bucket = TokenBucket(rate) if rate else None
    self._output = {"label": "label", "logits": "logits"}.get(
      config.access, "probs"
    )
    self._datatype = "INT64" if config.access == "label" else "FP32"
    for count in WARM_UP:
      self._run(np.zeros((count, *spec.shape), np.float32))

  def metadata(self) -> dict[str, Json]:
    """Returns the model's metadata in the v2 protocol."""
    labels = self._config.access == "label"
    return {
      "name": self._config.name,
      "versions": [VERSION],
      "platform": "jax",
      "inputs": [
        {
          "name": tensors.INPUT,
          "datatype": "UINT8",
          "shape": [-1, *self._spec.shape],
        }
      ],
      "outputs": [
        {
          "name": self._output,
          "datatype": self._datatype,
          "shape": [-1] if labels else [-1, self._spec.num_classes],
        }
      ],
    }

  def infer(self, body: bytes) -> tuple[dict[str, Json], int]:
    """Answers a v2 request; returns the answer and its number of images.

    Raises:
      RequestError: if the request is not valid or exceeds the rate limit.
    """
    request = tensors.parse(body)
    identity = request.get("id", "")
    if not isinstance(identity, str):
      raise RequestError("id must be a string.")
    images = tensors.images_v2(request, self._spec.shape)
    count = self._num_classes(request)
    answers, datatype = self._answer(images), self._datatype
    if count:
      if answers.ndim == 1:  # a label gets the score 1
        answers = np.eye(self._spec.num_classes)[answers]
      answers, datatype = tensors.rank_classes(answers, count), "BYTES"
    output = {
      "name": self._output,
      "datatype": datatype,
      "shape": list(answers.shape),
      "data": answers.ravel().tolist(),
    }
    answer = {
      "model_name": self._config.name,
      "model_version": VERSION,
      "id": identity,
      "outputs": [output],
    }
    return answer, len(images)

  def predict(self, body: bytes) -> tuple[dict[str, Json], int]:
    """Answers a V1 request; returns the answer and its number of images.

    Raises:
      RequestError: if the request is not valid or exceeds the rate limit.
    """
    images = tensors.images_v1(tensors.parse(body), self._spec.shape)
    return {"predictions": self._answer(images).tolist()}, len(images)

  def _answer(self, images: np.ndarray) -> np.ndarray:
    wait = self._bucket.take(len(images)) if self._bucket else 0.0
    if wait:
      seconds = str(math.ceil(wait))
      raise RequestError(
        f"The limit is {self._config.rate_limit:g} images per second; try "
        f"again in {seconds} s.",
        429,
        {"Retry-After": seconds},
      )
    chunks = range(0, len(images), CHUNK)
    answers = np.concatenate([
      self._run(to_float(images[start : start + CHUNK])) for start in chunks
    ])  # fmt: skip
    if self._config.access == "label":
      return answers.astype(np.int64)
    if self._config.access == "logits" and self._config.decimals is not None:
      return answers.astype(np.float64).round(self._config.decimals)
    return served_answers.shortened(answers)

  def _run(self, images: np.ndarray) -> np.ndarray:
    count = len(images)
    size = 1 << (count - 1).bit_length()  # few shapes, so few compilations
    padding = [(0, size - count)] + [(0, 0)] * (images.ndim - 1)
    answers = _answers(
      self._classifier,
      np.pad(images, padding),
      self._config.access,
      self._defenses,
    )
    return np.asarray(answers)[:count]

  def _num_classes(self, request: dict[str, Json]) -> int:
    """Returns how many classes the answer names; 0 for a tensor of numbers."""
    default = [{"name": self._output}]
    output = tensors.get_single(
      request.get("outputs") or default, "outputs", self._output
    )
    parameters = output.get("parameters") or {}
    if not isinstance(parameters, dict):
      raise RequestError("parameters of an output must be a JSON object.")
    if "classification" not in parameters:
      return 0
    count = parameters["classification"]
    limit = {"label": 1, "top_k": self._config.top_k}.get(
      self._config.access, self._spec.num_classes
    )
    if type(count) is not int or not 1 <= count <= limit:
      raise RequestError(f"classification must be a number from 1 to {limit}.")
    return count


@functools.partial(jax.jit, static_argnames=("access", "defenses"))
def _answers(
  classifier: Classifier,
  images: Array,
  access: str,
  defenses: tuple[AnswerDefense, ...],
) -> Array:
  logits = classifier(images).logits.astype(jnp.float32)
  if access == "logits":
    return logits
  probs = served_answers.changed(defenses, logits, images)
  return probs.argmax(-1) if access == "label" else probs


def _check(spec: DataSpec, config: ServerConfig) -> None:
  if len(spec.shape) != 3:
    raise JaxkdError(
      f"The data set {spec.name} has inputs of shape {spec.shape}; only images "
      "[H, W, C] can be served."
    )
  if not re.fullmatch(r"[\w.-]+", config.name, re.ASCII):
    raise JaxkdError(
      f"name={config.name!r}: it is part of the url; use letters, digits, '_', "
      "'.' and '-' only."
    )
  checks.positive(max_body_bytes=config.max_body_bytes)
  for field in ("price_per_1000", "rate_limit"):
    value = getattr(config, field)
    if not 0 <= value < math.inf:
      raise JaxkdError(f"{field}={value}: it must be 0 or more.")
