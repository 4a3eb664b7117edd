"""Replies and errors in the forms of the servers that people run.

Each has labels, probabilities and logits for two images of classes 2 and 0 out
of four, one sigmoid output, and errors, as its documentation and the reports of
its users show them.
"""

import json

from ml_collections import ConfigDict
import numpy as np
import pytest

from jaxkd.config import fields
from jaxkd.config.teacher_fields import TEACHER
from jaxkd.errors import JaxkdError
from jaxkd.teachers.remote import outcomes, protocols
from jaxkd.types import DataSpec

PROBS = [[0.1, 0.2, 0.6, 0.1], [0.7, 0.1, 0.1, 0.1]]
LOGITS = (np.log(PROBS) + 3).tolist()
LABELS = [2, 0]
SIGMOIDS = [0.9, 0.2]
CLASSES = ("cat", "dog", "fox", "owl")


def tensor(name, values, datatype, **more):
  values = np.array(values)
  return {
    "name": name,
    "datatype": datatype,
    "shape": list(values.shape),
    **more,
    "data": values.ravel().tolist(),
  }


def triton(values, datatype):
  return {
    "model_name": "net",
    "model_version": "1",
    "parameters": {"sequence_id": 0, "sequence_start": False},
    "outputs": [tensor("fc6_1", values, datatype)],
  }


def kserve_v2(values, datatype):
  output = tensor("output-0", values, datatype, parameters=None)
  return {
    "model_name": "net",
    "model_version": None,
    "id": "7d0b",
    "parameters": None,
    "outputs": [output],
  }


def mlserver(values, datatype):
  # As its runtime of scikit-learn replies, whose metadata name no output.
  name = "predict" if datatype == "INT64" else "predict_proba"
  if datatype == "INT64":
    values = np.array(values)[:, None]
  output = tensor(name, values, datatype, parameters={"content_type": "np"})
  return {
    "model_name": "net",
    "model_version": "v0.1.0",
    "id": "1",
    "outputs": [output],
  }


def vertex(values):
  return {
    "predictions": values,
    "deployedModelId": "123",
    "model": "projects/1/locations/us-central1/models/2",
    "modelDisplayName": "net",
    "modelVersionId": "1",
  }


V2 = {"triton": triton, "kserve v2": kserve_v2, "mlserver": mlserver}
# What each makes of a list with one value for each image.
V1 = {
  "kserve v1": lambda values: {"predictions": values},
  "tf serving": lambda values: {"predictions": values},
  "tf serving, columns": lambda values: {"outputs": values},
  "tf serving, two outputs": lambda values: {
    "predictions": [{"dense": v, "features": [0.5] * 7} for v in values]
  },
  "torchserve": lambda values: {
    "predictions": [
      dict(zip(CLASSES, v, strict=True)) if np.size(v) == 4 else v
      for v in values
    ]
  },
  "mlflow": lambda values: {"predictions": values},
  "mlflow, a data frame": lambda values: {
    "predictions": [
      dict(zip("0123", v, strict=True)) if np.size(v) == 4 else {"score": v}
      for v in values
    ]
  },
  "bentoml": lambda values: values,
  "vertex": vertex,
}


def protocol_of(access, classes=4, protocol="v1", labels=(), kind=""):
  block = {
    "access": access,
    "protocol": protocol,
    "model_name": "net",
    "output_kind": kind,
    "template": {"labels": labels},
  }
  spec = DataSpec("toy", (2, 3, 1), classes, (0.5,), (0.5,))
  return protocols.build(spec, ConfigDict(fields.filled(TEACHER, block)))


def decode(protocol, reply):
  answers = protocol.decode(json.dumps(reply).encode(), 2)
  for reason in answers.wrong.values():
    raise JaxkdError(reason)
  return answers.values


def check_all(read):
  """Checks labels and scores, which `read` gives by access and values."""
  np.testing.assert_array_equal(read("label", LABELS), LABELS)
  np.testing.assert_array_equal(read("label", PROBS), LABELS)
  np.testing.assert_array_equal(read("label", LOGITS), LABELS)
  np.testing.assert_allclose(read("probs", PROBS), np.log(PROBS), rtol=1e-5)
  np.testing.assert_allclose(read("logits", LOGITS), LOGITS, rtol=1e-5)
  converted = read("probs", LOGITS, kind="logits")
  np.testing.assert_allclose(converted, np.log(PROBS), atol=1e-5)


@pytest.mark.parametrize("server", V2)
def test_v2(server):
  metadata = {"inputs": [{"name": "x", "datatype": "UINT8", "shape": []}]}
  replies = [b"{}", json.dumps(metadata).encode(), b"{}"]

  def read(access, values, classes=4, **options):
    protocol = protocol_of(access, classes, "v2", **options).check(replies)
    integers = all(isinstance(v, int) for v in values)
    return decode(protocol, V2[server](values, "INT64" if integers else "FP32"))

  check_all(read)
  column = [[value] for value in SIGMOIDS]
  assert read("label", column, 2).tolist() == [1, 0]
  probs = np.exp(read("probs", column, 2))
  np.testing.assert_allclose(probs[:, 1], SIGMOIDS, rtol=1e-5)


@pytest.mark.parametrize("server", V1)
def test_v1(server):
  names = CLASSES if server == "torchserve" else ()

  def read(access, values, classes=4, **options):
    labels = names if classes == 4 else ()
    protocol = protocol_of(access, classes, labels=labels, **options)
    return decode(protocol, V1[server](values))

  check_all(read)
  for values in SIGMOIDS, [[value] for value in SIGMOIDS]:
    assert read("label", values, 2).tolist() == [1, 0]
    probs = np.exp(read("probs", values, 2))
    np.testing.assert_allclose(probs[:, 1], SIGMOIDS, rtol=1e-5)


def in_vertex(code, message, status):
  return {"error": {"code": code, "message": message, "status": status}}


def in_torchserve(code, kind, message):
  return {"code": code, "type": kind, "message": message}


@pytest.mark.parametrize(
  ("status", "reply", "row"),
  [
    # Triton
    (400, {"error": "Request for unknown model: 'net' is not found"}, "other"),
    (400, {"error": "unknown model: 'net' has no available versions"}, "busy"),
    (400, {"error": "batch-size must be <= 8 for 'net'"}, "too_large"),
    (400, {"error": "unexpected shape for input 'x', expected [1]"}, "other"),
    (503, {"error": "Exceeds maximum queue size"}, "busy"),
    (500, {"error": "PyTorch execute failure: CUDA error"}, "failed"),
    # KServe
    (404, {"error": "Model with name net does not exist."}, "refused"),
    (503, {"error": "Model with name net is not ready."}, "busy"),
    (400, {"error": 'Expected "instances" to be a list'}, "other"),
    # MLServer
    (400, {"error": "Model net with version v1 is not ready yet."}, "busy"),
    (404, {"error": "Model net not found"}, "refused"),
    (400, {"error": "builtins.ValueError: X has 6 features"}, "other"),
    (422, {"detail": [{"loc": ["inputs"], "msg": "field required"}]}, "other"),
    # TensorFlow Serving
    (400, {"error": "Task size 64 is larger than maximum input batch size 32"},
     "too_large"),
    (404, {"error": "Servable not found for request: Latest(net)"}, "refused"),
    (400, {"error": "Failed to process element: 0 of 'instances' list."},
     "other"),
    # TorchServe
    (503, in_torchserve(503, "ServiceUnavailableException",
                        'Model "net" has no worker to serve inference'),
     "busy"),
    (404, in_torchserve(404, "ModelNotFoundException", "Model not found: net"),
     "refused"),
    (500, in_torchserve(500, "InternalServerException", "Worker died."),
     "failed"),
    (507, in_torchserve(507, "InternalServerException", "out of memory"),
     "failed"),
    # MLflow
    (400, {"error_code": "BAD_REQUEST", "message": "Failed to predict data"},
     "other"),
    # BentoML
    (429, {"error": "Too many requests"}, "busy"),
    (400, {"error": "Invalid input: expected 4 dimensions"}, "other"),
    (500, {"error": "An unexpected error has occurred"}, "failed"),
    # Vertex
    (429, in_vertex(429, "Quota exceeded for online_prediction_requests",
                    "RESOURCE_EXHAUSTED"), "busy"),
    (400, in_vertex(400, "Request payload size exceeds the limit: 1572864 "
                    "bytes.", "INVALID_ARGUMENT"), "too_large"),
    (403, in_vertex(403, "Permission 'aiplatform.endpoints.predict' denied",
                    "PERMISSION_DENIED"), "refused"),
    (503, in_vertex(503, "Took too long to respond", "UNAVAILABLE"), "busy"),
    (504, in_vertex(504, "Deadline exceeded", "DEADLINE_EXCEEDED"), "failed"),
  ],
)  # fmt: skip
def test_errors(status, reply, row):
  name = outcomes.of_status(status, json.dumps(reply)).name
  assert name.removeprefix("says_") == row


@pytest.mark.parametrize("server", ["triton", "tf serving", "bentoml"])
def test_a_class_that_is_none_and_scores_of_another_length(server):
  """What the server counts as an answer may still be none."""
  for access, values in (("label", [9, 0]), ("probs", [[0.5, 0.5]] * 2)):
    protocol, form = protocol_of(access), V1.get(server)
    if form is None:
      replies = [b"{}", b'{"inputs": [{"name": "x", "datatype": "FP32"}]}', b""]
      protocol = protocol_of(access, 4, "v2").check(replies)
      reply = triton(values, "INT64" if access == "label" else "FP32")
    else:
      reply = form(values)
    with pytest.raises(JaxkdError, match=r"the class 9|answers of shape \[2\]"):
      decode(protocol, reply)
