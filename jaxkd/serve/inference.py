"""Inference for requests, from a body to the payload of its answer."""

import functools
import math
import re
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxkd.config import ACCESS_LEVELS, checks
from jaxkd.data import to_float
from jaxkd.runtime.files import Json
from jaxkd.serve import tensors
from jaxkd.serve.metering import TokenBucket
from jaxkd.serve.tensors import RequestError
from jaxkd.teachers.oracles import restrict_output
from jaxkd.types import Array, Classifier, DataSpec, JaxkdError

CHUNK = 256  # images that the network runs at once
WARM_UP = (1, 64)  # batch sizes that are compiled at once; others on demand
VERSION = "1"


class ServerConfig(NamedTuple):
  """The answers that a server gives, its limits and its price.

  Attributes:
    name: the model's name in urls.
    access: `label`, `top_k`, `probs` or `logits`.
    top_k: the number of classes whose probabilities `top_k` shows; the
      remaining probability is spread evenly over the other classes.
    decimals: the decimals that scores are rounded to; None keeps them all.
    price_per_1000: the price of 1000 images.
    rate_limit: images per second, in bursts of up to a second's number; 0 is
      no limit.
    max_body_bytes: the limit of a request's bytes; a larger one is refused.
    token_env: the environment variable with the bearer token that clients must
      send, except to `/v2/health`; empty for no token.
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
  """Answers requests with a classifier; thread-safe.

  Raises:
    JaxkdError: for values that are not allowed, or inputs that are not images.
  """

  def __init__(
    self, classifier: Classifier, spec: DataSpec, config: ServerConfig
  ):
    _check(spec, config)
    self._classifier, self._spec, self._config = classifier, spec, config
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
    # In float64, rounded decimals are short in JSON: 0.1 and not 0.10000000149.
    answers = answers.astype(np.float64)
    if self._config.decimals is None:
      return answers
    return answers.round(self._config.decimals)

  def _run(self, images: np.ndarray) -> np.ndarray:
    count = len(images)
    size = 1 << (count - 1).bit_length()  # few shapes, so few compilations
    padding = [(0, size - count)] + [(0, 0)] * (images.ndim - 1)
    answers = _answers(
      self._classifier,
      np.pad(images, padding),
      self._config.access,
      self._config.top_k,
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


@functools.partial(jax.jit, static_argnames=("access", "top_k"))
def _answers(
  classifier: Classifier, images: Array, access: str, top_k: int
) -> Array:
  logits = classifier(images).logits.astype(jnp.float32)
  output = restrict_output(logits, access, top_k)
  return jnp.exp(output) if access in ("top_k", "probs") else output


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
  checks.choice("access", config.access, ACCESS_LEVELS[:-1])
  if not 0 < config.top_k < spec.num_classes:
    raise JaxkdError(
      f"top_k={config.top_k}: choose 1 to {spec.num_classes - 1} of the "
      f"{spec.num_classes} classes; for all of them set access=probs."
    )
  checks.positive(max_body_bytes=config.max_body_bytes)
  for field in ("decimals", "price_per_1000", "rate_limit"):
    value = getattr(config, field)
    if value is not None and not 0 <= value < math.inf:
      raise JaxkdError(f"{field}={value}: it must be 0 or more.")
