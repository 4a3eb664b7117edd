"""Between a request's body and the payload of its answer; knows no HTTP but
the status of a refusal.
"""

import functools
import math
import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxkd.config import checks
from jaxkd.data import to_float
from jaxkd.serve import tensors
from jaxkd.serve.metering import TokenBucket
from jaxkd.serve.tensors import RequestError
from jaxkd.teachers.oracles import restrict_output
from jaxkd.types import ACCESS_LEVELS, Array, Classifier, DataSpec, JaxkdError

CHUNK = 256  # images that the network runs at once
WARM_UP = (1, 64)  # images; other sizes are compiled when they first come
VERSION = "1"


class ServerConfig(NamedTuple):
  """What the interface shows, takes and charges.

  Attributes:
    name: of the model, in the addresses.
    access: `label`, `top_k`, `probs` or `logits`.
    top_k: classes that `top_k` tells the probabilities of; what they leave is
      spread evenly over the others.
    decimals: that scores are rounded to; None leaves them as they are.
    price_per_1000: images.
    rate_limit: images per second, in bursts of a second's worth; 0 is none.
    max_body_bytes: of a request; a larger one is refused, and read no further.
    token_env: environment variable with the bearer token that clients must
      send to anything but `/v2/health`; empty for none.
  """

  name: str = "teacher"
  access: str = "probs"
  top_k: int = 1
  decimals: int | None = None
  price_per_1000: float = 0.0
  rate_limit: float = 0.0
  max_body_bytes: int = 2**24
  token_env: str = ""


class InferenceService:
  """Answers requests with a classifier, warmed up; thread-safe.

  Raises:
    JaxkdError: for settings that can't be, or inputs that are no images.
  """

  def __init__(
    self, classifier: Classifier, spec: DataSpec, settings: ServerConfig
  ):
    _check(spec, settings)
    self._classifier, self._spec, self._settings = classifier, spec, settings
    rate = settings.rate_limit
    self._bucket = TokenBucket(rate) if rate else None
    self._output = {"label": "label", "logits": "logits"}.get(
      settings.access, "probs"
    )
    self._datatype = "INT64" if settings.access == "label" else "FP32"
    for count in WARM_UP:
      self._run(np.zeros((count, *spec.shape), np.float32))

  def metadata(self) -> dict[str, Any]:
    """Of the model, in v2."""
    labels = self._settings.access == "label"
    return {
      "name": self._settings.name,
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

  def infer(self, body: bytes) -> tuple[dict[str, Any], int]:
    """v2: the answer and its number of images.

    Raises:
      Refusal: for a request that is wrong, or came too soon.
    """
    asked = tensors.parse(body)
    identity = asked.get("id", "")
    if not isinstance(identity, str):
      raise RequestError("id must be a string.")
    images = tensors.images_v2(asked, self._spec.shape)
    count = self._classification(asked)
    answers, datatype = self._answer(images), self._datatype
    if count:
      if answers.ndim == 1:  # labels, whose score says nothing
        answers = np.eye(self._spec.num_classes)[answers]
      answers, datatype = tensors.ranked(answers, count), "BYTES"
    output = {
      "name": self._output,
      "datatype": datatype,
      "shape": list(answers.shape),
      "data": answers.ravel().tolist(),
    }
    answer = {
      "model_name": self._settings.name,
      "model_version": VERSION,
      "id": identity,
      "outputs": [output],
    }
    return answer, len(images)

  def predict(self, body: bytes) -> tuple[dict[str, Any], int]:
    """V1: the answer and its number of images.

    Raises:
      Refusal: see `infer`.
    """
    images = tensors.images_v1(tensors.parse(body), self._spec.shape)
    return {"predictions": self._answer(images).tolist()}, len(images)

  def _answer(self, images: np.ndarray) -> np.ndarray:
    wait = self._bucket.take(len(images)) if self._bucket else 0.0
    if wait:
      seconds = str(math.ceil(wait))
      raise RequestError(
        f"More than {self._settings.rate_limit:g} images per second; try again "
        f"in {seconds} s.",
        429,
        {"Retry-After": seconds},
      )
    chunks = range(0, len(images), CHUNK)
    answers = np.concatenate([
      self._run(to_float(images[start : start + CHUNK])) for start in chunks
    ])  # fmt: skip
    if self._settings.access == "label":
      return answers.astype(np.int64)
    answers = answers.astype(np.float64)  # where 0.1 is written as 0.1
    if self._settings.decimals is None:
      return answers
    return answers.round(self._settings.decimals)

  def _run(self, images: np.ndarray) -> np.ndarray:
    count = len(images)
    size = 1 << (count - 1).bit_length()  # few shapes, few compilations
    padding = [(0, size - count)] + [(0, 0)] * (images.ndim - 1)
    answers = _answers(
      self._classifier,
      np.pad(images, padding),
      self._settings.access,
      self._settings.top_k,
    )
    return np.asarray(answers)[:count]

  def _classification(self, asked: dict[str, Any]) -> int:
    """How many classes the answer names; 0 for a tensor of numbers."""
    wanted = tensors.only(
      asked.get("outputs") or [{"name": self._output}], "outputs", self._output
    )
    parameters = wanted.get("parameters") or {}
    if not isinstance(parameters, dict):
      raise RequestError("parameters of an output must be a JSON object.")
    if "classification" not in parameters:
      return 0
    count = parameters["classification"]
    most = {"label": 1, "top_k": self._settings.top_k}.get(
      self._settings.access, self._spec.num_classes
    )
    if type(count) is not int or not 1 <= count <= most:
      raise RequestError(f"classification must be a number from 1 to {most}.")
    return count


@functools.partial(jax.jit, static_argnames=("access", "top_k"))
def _answers(
  classifier: Classifier, images: Array, access: str, top_k: int
) -> Array:
  logits = classifier(images).logits.astype(jnp.float32)
  told = restrict_output(logits, access, top_k)
  return jnp.exp(told) if access in ("top_k", "probs") else told


def _check(spec: DataSpec, settings: ServerConfig) -> None:
  if len(spec.shape) != 3:
    raise JaxkdError(
      f"{spec.name} has inputs of shape {spec.shape}; only images [H, W, C] "
      "are served."
    )
  if not re.fullmatch(r"[\w.-]+", settings.name, re.ASCII):
    raise JaxkdError(
      f"name={settings.name!r}: it is part of the address; choose letters, "
      "digits, '_', '.' and '-'."
    )
  checks.choice("access", settings.access, ACCESS_LEVELS[:-1])
  if not 0 < settings.top_k < spec.num_classes:
    raise JaxkdError(
      f"top_k={settings.top_k}: choose 1 to {spec.num_classes - 1} of the "
      f"{spec.num_classes} classes; for all of them set access=probs."
    )
  checks.positive(max_body_bytes=settings.max_body_bytes)
  for field in ("decimals", "price_per_1000", "rate_limit"):
    value = getattr(settings, field)
    if value is not None and not 0 <= value < math.inf:
      raise JaxkdError(f"{field}={value}: it must be 0 or more.")
