"""A request's images are read from its JSON, or the request is refused with an
error that says what is wrong.
"""

import json

import numpy as np
import pytest
from served_network import SPEC, images, tensor

from jaxkd.serve import tensors
from jaxkd.serve.tensors import RequestError

IMAGES = images(2)
GOOD = tensor(IMAGES)
FLOATS = tensor(np.zeros((1, *SPEC.shape)), "FP32")


def changed(body, **changes):
  return body | {"inputs": [body["inputs"][0] | changes]}


def read_v2(body):
  return tensors.images_v2(tensors.parse(json.dumps(body).encode()), SPEC.shape)


def read_v1(body):
  return tensors.images_v1(tensors.parse(json.dumps(body).encode()), SPEC.shape)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_is_no_json_is_refused(body):
  with pytest.raises(RequestError, match="not JSON"):
    tensors.parse(body)


def test_json_that_is_no_object_is_refused():
  with pytest.raises(RequestError, match="JSON object"):
    tensors.parse(b"[]")


@pytest.mark.parametrize("nested", [False, True])
def test_v2_takes_8_bits_and_floats_flat_and_nested(nested):
  floats = (IMAGES / np.float32(255)).astype(np.float32)
  for pixels, datatype in ((IMAGES, "UINT8"), (floats, "FP32")):
    data = pixels if nested else pixels.ravel()
    result = read_v2(tensor(pixels, datatype, data=data.tolist()))
    assert result.dtype == pixels.dtype
    np.testing.assert_array_equal(result, pixels)


def test_v1_tells_8_bits_from_floats_by_their_numbers():
  result = read_v1({"instances": IMAGES.tolist()})
  assert result.dtype == np.uint8
  np.testing.assert_array_equal(result, IMAGES)
  result = read_v1({"instances": (IMAGES > 99).astype(float).tolist()})
  assert result.dtype == np.float32
  np.testing.assert_array_equal(result, IMAGES > 99)


@pytest.mark.parametrize(
  ("body", "message"),
  [
    ({}, "one tensor"),
    ({"inputs": GOOD["inputs"] * 2}, "one tensor"),
    (changed(GOOD, name="image"), "'images'"),
    (changed(GOOD, datatype="INT32"), "UINT8 or FP32"),
    (changed(GOOD, datatype=[]), "UINT8 or FP32"),
    (changed(GOOD, shape=[2, 12]), r"\['n', 4, 3, 1\]"),
    (changed(GOOD, shape=[0, 4, 3, 1]), "with n at least 1"),
    (changed(GOOD, shape=[-1, 4, 3, 1]), "with n at least 1"),
    (changed(GOOD, shape=[2.0, 4, 3, 1]), "with n at least 1"),
    (changed(GOOD, shape=[10**30, 4, 3, 1]), "data has shape"),
    (changed(GOOD, shape=[3, 4, 3, 1]), "flat with 36 numbers"),
    (changed(GOOD, data=[1] * 23), "flat with 24 numbers"),
    (changed(GOOD, data=None), "data must be a list"),
    (changed(GOOD, data=[]), "data must be a list"),
    (changed(GOOD, data=["1"] * 24), "numbers only"),
    (changed(GOOD, data=[None] * 24), "numbers only"),
    (changed(GOOD, data=[10**30] * 24), "numbers only"),
    (changed(GOOD, data=[10**400, 0.5]), "data must"),
    (changed(GOOD, data=[[1, 2], [3]]), "equal length"),
    (changed(GOOD, data=[0.5] * 24), "whole numbers"),
    (changed(GOOD, data=[256] * 24), "0 to 255"),
    (changed(GOOD, data=[-1] * 24), "0 to 255"),
    (changed(FLOATS, data=[1.5] * 12), "0 to 1"),
    (changed(FLOATS, data=[float("nan")] * 12), "0 to 1"),
  ],
)
def test_a_v2_tensor_of_another_form_is_refused(body, message):
  with pytest.raises(RequestError, match=message):
    read_v2(body)


@pytest.mark.parametrize(
  ("body", "message"),
  [
    ({}, "instances must be a list"),
    ({"instances": [{"b64": "AA=="}]}, "numbers only"),
    ({"instances": [[[[0]] * 4] * 3]}, r"\['n', 4, 3, 1\]"),
    ({"instances": [[[[0.5], [0], [256]]] * 4]}, "0 to 1"),
  ],
)
def test_v1_instances_of_another_form_are_refused(body, message):
  with pytest.raises(RequestError, match=message):
    read_v1(body)


def test_classes_are_ranked_by_score_and_equal_ones_by_index():
  scores = np.array([[0.25, 0.5, 0.25], [0.1, 0.1, 0.8]])
  assert tensors.rank_classes(scores, 2).tolist() == [
    ["0.5:1", "0.25:0"],
    ["0.8:2", "0.1:0"],
  ]
