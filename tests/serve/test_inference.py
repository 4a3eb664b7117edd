"""The service answers with what its access gives, of every form of an image
the same, and refuses values and requests that are not allowed.
"""

import json

import numpy as np
import pytest
from served_network import (
  SPEC,
  classified,
  images,
  linear,
  logits,
  probs,
  tensor,
)

from jaxkd.serve.inference import InferenceService, ServerConfig
from jaxkd.serve.tensors import RequestError
from jaxkd.types import DataSpec, JaxkdError

PIXELS = images(6)


def make_service(**fields):
  return InferenceService(linear(), SPEC, ServerConfig(**fields))


@pytest.fixture(scope="module")
def service():
  return make_service()


def infer(service, body):
  """The numbers of the answer to a v2 request, and their description."""
  answer, count = service.infer(json.dumps(body).encode())
  assert count == body["inputs"][0]["shape"][0]
  (output,) = answer["outputs"]
  return np.array(output["data"]).reshape(output["shape"]), output


def predict(service, pixels):
  answer, count = service.predict(json.dumps({"instances": pixels}).encode())
  assert count == len(pixels)
  return answer["predictions"]


@pytest.mark.parametrize("count", [1, 3, 64, 300])  # 300 is more than a chunk
def test_probabilities_are_the_networks_in_order(service, count):
  pixels = images(count)
  answers, output = infer(service, tensor(pixels))
  np.testing.assert_allclose(answers, probs(pixels), rtol=2e-6, atol=1e-7)
  assert output["datatype"] == "FP32"


def test_all_forms_of_an_image_get_the_same_answer(service):
  floats = (PIXELS / np.float32(255)).astype(np.float32)
  expected, _ = infer(service, tensor(PIXELS))
  for body in (
    tensor(PIXELS, data=PIXELS.tolist()),
    tensor(floats, "FP32"),
    tensor(floats, "FP32", data=floats.tolist()),
  ):
    np.testing.assert_array_equal(infer(service, body)[0], expected)
  for instances in (PIXELS.tolist(), floats.tolist()):
    np.testing.assert_array_equal(predict(service, instances), expected)


def test_v1_takes_integers_for_8_bits_and_floats_for_pixels(service):
  ones = np.ones((1, *SPEC.shape), int)
  dark = predict(service, ones.tolist())
  white = predict(service, (ones * 1.0).tolist())
  np.testing.assert_allclose(dark, probs(ones), rtol=1e-5)
  np.testing.assert_allclose(white, probs(255 * ones), rtol=1e-5)


def test_label_access_gives_labels_only():
  service = make_service(access="label")
  labels, output = infer(service, tensor(PIXELS))
  assert output["datatype"] == "INT64"
  assert output["shape"] == [6]
  np.testing.assert_array_equal(labels, logits(PIXELS).argmax(-1))
  assert predict(service, PIXELS.tolist()) == labels.tolist()
  assert service.metadata()["outputs"] == [
    {"name": "label", "datatype": "INT64", "shape": [-1]}
  ]
  strings, _ = infer(service, classified(PIXELS, 1, "label"))
  assert strings.tolist() == [[f"1:{label}"] for label in labels]
  with pytest.raises(RequestError, match="1 to 1"):
    infer(service, classified(PIXELS, 2, "label"))


def test_logits_access_gives_logits():
  answers, output = infer(make_service(access="logits"), tensor(PIXELS))
  assert output["name"] == "logits"
  np.testing.assert_allclose(answers, logits(PIXELS), rtol=1e-5, atol=1e-5)


def test_top_k_access_gives_the_likeliest_and_spreads_the_rest():
  service = make_service(access="top_k", top_k=2)
  answers, _ = infer(service, tensor(PIXELS))
  expected = probs(PIXELS)
  likeliest = np.argsort(-expected)[:, :2]
  np.testing.assert_allclose(
    np.take_along_axis(answers, likeliest, 1),
    np.take_along_axis(expected, likeliest, 1),
    rtol=1e-5,
  )
  assert all(len(np.unique(row.round(9))) <= 3 for row in answers)
  np.testing.assert_allclose(answers.sum(-1), 1, rtol=1e-5)
  with pytest.raises(RequestError, match="1 to 2"):
    infer(service, classified(PIXELS, 3))


def test_scores_are_rounded_to_the_decimals_and_stay_short_in_json():
  _, output = infer(make_service(decimals=1), tensor(PIXELS))
  assert set(output["data"]) <= {n / 10 for n in range(11)}


def test_classification_gives_the_likeliest_first(service):
  strings, output = infer(service, classified(PIXELS, 3))
  assert output["datatype"] == "BYTES"
  assert output["shape"] == [6, 3]
  expected = probs(PIXELS)
  for row, likely in zip(strings, expected, strict=True):
    scores, labels = zip(*(string.split(":") for string in row), strict=True)
    assert [int(n) for n in labels] == np.argsort(-likely)[:3].tolist()
    np.testing.assert_allclose(
      [float(score) for score in scores], np.sort(likely)[::-1][:3], rtol=1e-5
    )


GOOD = tensor(PIXELS)


@pytest.mark.parametrize(
  ("body", "message"),
  [
    (GOOD | {"outputs": [{"name": "logits"}]}, "'probs'"),
    (GOOD | {"outputs": "probs"}, "one tensor"),
    (classified(PIXELS, 0), "1 to 5"),
    (classified(PIXELS, 6), "1 to 5"),
    (classified(PIXELS, "2"), "1 to 5"),
    (classified(PIXELS, True), "1 to 5"),
    (
      GOOD | {"outputs": [{"name": "probs", "parameters": [1]}]},
      "JSON object",
    ),
    (GOOD | {"id": 7}, "id must be"),
  ],
)
def test_a_request_for_another_output_is_refused(service, body, message):
  with pytest.raises(RequestError, match=message):
    infer(service, body)


def test_the_rate_limit_says_when_to_come_back():
  service = make_service(rate_limit=10)
  infer(service, tensor(images(300)))
  with pytest.raises(RequestError, match="10 images per second") as error:
    infer(service, GOOD)
  assert error.value.status == 429
  assert 10 < int(error.value.headers["Retry-After"]) <= 30


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"access": "lable"}, "Did you mean label"),
    ({"access": "white_box"}, "Choose one of label"),
    ({"access": "top_k", "top_k": 5}, "top_k=5"),
    ({"name": "a/b"}, "name='a/b'"),
    ({"decimals": -1}, "decimals=-1"),
    ({"rate_limit": float("nan")}, "rate_limit=nan"),
    ({"max_body_bytes": 0}, "max_body_bytes=0"),
  ],
)
def test_values_that_are_not_allowed_are_named(fields, message):
  with pytest.raises(JaxkdError, match=message):
    make_service(**fields)


def test_inputs_that_are_no_images_are_refused():
  points = DataSpec("two_moons", (2,), 2, (0.0,), (1.0,))
  with pytest.raises(JaxkdError, match="only images"):
    InferenceService(linear(), points, ServerConfig())
