"""Tests of the requests and replies of the three protocols."""

import base64
import io
import json

from fake_server import NAMES
from ml_collections import ConfigDict
import numpy as np
from PIL import Image
import pytest

from jaxkd.config import fields as declarations
from jaxkd.config.teacher_fields import TEACHER
from jaxkd.errors import JaxkdError
from jaxkd.teachers.remote import protocols
from jaxkd.teachers.remote.codec import ResponseSpec, parse
from jaxkd.teachers.remote.probabilities import FLOOR
from jaxkd.teachers.remote.transport import NotServed, OutcomeUnknown
from jaxkd.types import DataSpec


def spec_of(shape=(2, 3, 1), classes=4):
  return DataSpec("toy", shape, classes, (0.5,), (0.5,))


def teacher_block(**fields):
  given = {"access": "probs", "model_name": "net", "top_k": 2, **fields}
  return ConfigDict(declarations.filled(TEACHER, given))


def model(
  shape=(-1, 2, 3, 1), datatype="UINT8", outputs=(("y", "FP32", [-1, 4]),)
):
  return {
    "inputs": [{"name": "x", "datatype": datatype, "shape": list(shape)}],
    "outputs": [
      {"name": name, "datatype": kind, "shape": sizes}
      for name, kind, sizes in outputs
    ],
  }


def checked(metadata=None, extensions=(), spec=None, **fields):
  protocol = protocols.build(spec or spec_of(), teacher_block(**fields))
  replies = ({"ready": True}, metadata or model(), {"extensions": extensions})
  return protocol.check([json.dumps(reply).encode() for reply in replies])


def checked_answers(answers):
  """The values, if all of them are valid."""
  for reason in answers.wrong.values():
    raise JaxkdError(reason)
  return answers.values


def decode(protocol, body, count):
  return checked_answers(protocol.decode(body, count))


def reply_of(data, shape=None, name="y"):
  shape = shape or list(np.shape(data))
  output = {"name": name, "shape": shape, "data": np.ravel(data).tolist()}
  return json.dumps({"outputs": [output]}).encode()


def some_images(count=5, shape=(2, 3, 1)):
  return np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)


def test_float_pixels_give_the_8_bits_back():
  spec, images = spec_of((16, 16, 1)), np.arange(256, dtype=np.uint8)
  protocol = checked(model((-1, 16, 16, 1), "FP32"), spec=spec)
  body = json.loads(protocol.encode(images.reshape(1, 16, 16, 1)).body)
  sent = np.array(body["inputs"][0]["data"], np.float32)
  np.testing.assert_array_equal(sent, images.astype(np.float32) / 255)


@pytest.mark.parametrize(
  ("sizes", "axes"),
  [
    ((2, 3, 5), None),
    ((-1, -1, 5), None),
    ((5, 2, 3), (0, 3, 1, 2)),
    ((30,), None),
  ],
)
def test_v2_takes_its_layout_from_the_metadata(sizes, axes):
  images = some_images(shape=(2, 3, 5))
  protocol = checked(model((-1, *sizes)), spec=spec_of((2, 3, 5)))
  path, headers, body = protocol.encode(images)
  assert path == "v2/models/net/infer"
  assert headers == {"Content-Type": "application/json"}
  tensor = json.loads(body)["inputs"][0]
  expected = images.transpose(axes) if axes else images
  assert tensor["shape"][0] == 5
  assert -1 not in tensor["shape"]
  np.testing.assert_array_equal(tensor["data"], expected.ravel())


@pytest.mark.parametrize(
  ("metadata", "message"),
  [
    (model((-1, 9, 9, 1)), r"\[9, 9, 1\].*image_size"),
    (model((8, 2, 3, 1)), "exactly 8 images"),
    (model(datatype="INT32"), "input.datatype 'INT32'.*UINT8"),
    (model(outputs=[("y", "FP32", [-1, 7])]), "4 classes.*y FP32"),
    (
      model(outputs=[("y", "INT64", [-1])]),
      "No output fits teacher.access=probs",
    ),
    (
      {"inputs": [], "outputs": []},
      "set teacher.input.name and teacher.input.datatype .*teacher.output",
    ),
    ({"inputs": [{"datatype": "FP32", "shape": []}]}, "set teacher.input.name"),
    ({"what": 1}, "set teacher.input.name"),
    ({"inputs": 3}, "set teacher.input.name"),
    ({"inputs": {"x": 1}}, "set teacher.input.name"),
    (
      {"inputs": [{"name": "x", "datatype": "UINT8", "shape": [-1, "a"]}]},
      "do not follow v2",
    ),
    (model((2, 3, 1)), "exactly 2 images.*teacher.input.shape"),
    ({"inputs": [{"name": "a"}, {"name": "b"}]}, "2 inputs"),
  ],
)
def test_v2_refuses_a_model_that_does_not_fit(metadata, message):
  with pytest.raises(JaxkdError, match=message):
    checked(metadata)


def test_v2_chooses_the_output_by_the_access():
  outputs = [
    ("class", "INT64", [-1]),
    ("logits", "FP32", [-1, 4]),
    ("probabilities", "FP32", [-1, 4]),
    ("label", "INT64", [-1]),
  ]
  for access, name in {
    "label": "label",
    "logits": "logits",
    "probs": "probabilities",
  }.items():
    assert checked(model(outputs=outputs), access=access).output_name == name


def test_v2_sends_one_image_where_the_batch_is_one():
  assert checked(model((1, 2, 3, 1))).max_images == 1
  assert checked().max_images > 1000


def test_v2_answers_by_access():
  scores = [[0.1, 0.2, 0.7, 0.0], [1.0, 0.0, 0.0, 0.0]]
  decoded = decode(checked(), reply_of(scores), 2)
  np.testing.assert_allclose(
    decoded, np.log(np.maximum(scores, FLOOR)), rtol=1e-6
  )
  decoded = decode(checked(access="logits"), reply_of(scores), 2)
  np.testing.assert_array_equal(decoded, np.float32(scores))
  decoded = decode(checked(access="label"), reply_of(scores), 2)
  np.testing.assert_array_equal(decoded, [2, 0])
  labels = checked(model(outputs=[("y", "INT64", [-1, 1])]), access="label")
  for shape in ([2], [2, 1]):
    decoded = decode(labels, reply_of([3, 1], shape), 2)
    np.testing.assert_array_equal(decoded, [3, 1])
    assert decoded.dtype == np.int32


@pytest.mark.parametrize(
  ("body", "message"),
  [
    (reply_of([[0.5, 0.5, 0, 0]]), "1 answers to 2 images"),
    (reply_of([[0.5, 0.5, 0]] * 2), r"\[3\]; the data set has 4 classes"),
    (
      reply_of([[0.55, 0.6, 0, 0]] * 2),
      "not probab.*differs from 1 by 0.15",
    ),
    (reply_of([[1.5, -0.5, 0, 0]] * 2), "not probabilities"),
    (reply_of([[float("nan"), 0, 0, 1]] * 2), "NaN"),
    (reply_of([[float("inf"), 0, 0, 1]] * 2), "NaN or infinite"),
    (reply_of([[1e39, 0, 0, 1]] * 2), "infinite"),
    (reply_of([[True, False, False, False]] * 2), "not numbers"),
    (reply_of([1, 2]), "teacher.access=label"),
    (reply_of([[1, 0, 0, 0]] * 2, [2, 5]), "its shape"),
    (reply_of([[1, 0, 0, 0]] * 2, name="z"), "has no output 'y'"),
    (b'{"outputs": 3}', "has no output"),
    (b'{"error": "no"}', "is an error: .*no"),
    (b'{"answers": []}', "has no outputs: 'outputs' is missing in .*answers"),
    (b"<html>", "not JSON"),
    (b"[" * 100_000 + b"]", "nested too deeply"),
  ],
)
def test_wrong_answers_are_errors(body, message):
  with pytest.raises(JaxkdError, match=message):
    decode(checked(), body, 2)


@pytest.mark.parametrize("labels", [[4, 0], [-1, 0], [0.5, 0]])
def test_labels_out_of_range_are_errors(labels):
  protocol = checked(model(outputs=[("y", "INT64", [-1])]), access="label")
  with pytest.raises(JaxkdError, match="the class .*0 to 3"):
    decode(protocol, reply_of(labels), 2)


def test_a_reply_cut_anywhere_counts_as_lost_or_wrong():
  body = reply_of([[0.5, 0.5, 0.0, 0.0]])
  lost = 0
  for length in range(1, len(body)):
    with pytest.raises((OutcomeUnknown, JaxkdError)) as error:
      parse(body[:length])
    lost += isinstance(error.value, OutcomeUnknown)
  assert lost == len(body) - 1


def test_triton_classification():
  protocol = checked(access="top_k", extensions=["classification"])
  outputs = json.loads(protocol.encode(some_images(2)).body)["outputs"]
  assert outputs == [{"name": "y", "parameters": {"classification": 2}}]
  texts = [["0.6:3:cat", "0.3:1"], ["0.5:0", "0.5:2:a:b"]]
  decoded = decode(protocol, reply_of(texts), 2)
  expected = [[0.05, 0.3, 0.05, 0.6], [0.5, FLOOR, 0.5, FLOOR]]
  np.testing.assert_allclose(decoded, np.log(expected), rtol=1e-5)
  label = checked(access="label", extensions=["classification"])
  assert label.top_k == 1
  np.testing.assert_array_equal(
    decode(label, reply_of([["9.5:3"], ["7:1:cat"]]), 2), [3, 1]
  )


@pytest.mark.parametrize(
  ("data", "message"),
  [
    ([["0.6:3", "0.3:3"]], "same class twice"),
    ([["0.6:4", "0.3:3"]], "the class 4"),
    ([["0.6:1", "cat"]], "'cat' where score:class"),
    ([["nan:1", "0.1:2"]], "not finite"),
    ([["7.1:1", "3:2"]], "not probabilities"),
    ([["0.6:1"]], r"\[1, 1\]; 1 images and 2 classes"),
    ([[0.6, 0.3]], "score:class was expected"),
  ],
)
def test_wrong_classifications_are_errors(data, message):
  protocol = checked(access="top_k", extensions=["classification"])
  with pytest.raises(JaxkdError, match=message):
    decode(protocol, reply_of(data), 1)


def test_top_k_needs_the_extension():
  with pytest.raises(JaxkdError, match="classification extension"):
    checked(access="top_k")
  with pytest.raises(JaxkdError, match="access=top_k does not go with"):
    protocols.build(spec_of(), teacher_block(protocol="v1", access="top_k"))


def test_v1_sends_nested_pixels():
  images = some_images()
  for datatype, scale in {"FP32": 255, "UINT8": 1}.items():
    block = teacher_block(protocol="v1", template={"datatype": datatype})
    path, _, body = protocols.build(spec_of(), block).encode(images)
    sent = np.array(json.loads(body)["instances"], np.float32)
    assert path == ""
    np.testing.assert_array_equal(sent, np.float32(images) / np.float32(scale))


@pytest.mark.parametrize(
  ("access", "predictions", "expected"),
  [
    ("label", [3, 0], [3, 0]),
    ("label", [[0, 0, 0.9, 0.1], [1, 0, 0, 0]], [2, 0]),
    ("label", [{"label": 1, "scores": [0] * 4}] * 2, [1, 1]),
    ("label", [{"classes": 2}, {"classes": 0}], [2, 0]),
    ("label", ["name2", "name0"], [2, 0]),
    ("logits", [{"logits": [3, 0, 0, -9]}] * 2, [[3, 0, 0, -9]] * 2),
    (
      "probs",
      [{"classes": 2, "probabilities": [0.25] * 4}] * 2,
      np.log([[0.25] * 4] * 2),
    ),
  ],
)
def test_v1_answers(access, predictions, expected):
  labels = NAMES[:4] if isinstance(predictions[0], str) else ()
  block = teacher_block(
    protocol="v1", access=access, template={"labels": labels}
  )
  body = json.dumps({"predictions": predictions}).encode()
  decoded = decode(protocols.build(spec_of(), block), body, 2)
  np.testing.assert_allclose(decoded, expected, rtol=1e-6)


@pytest.mark.parametrize(
  ("predictions", "message"),
  [
    ([{"score": 1}], "a prediction with score; .*none fits; .*teacher.output"),
    ([{"a": [1] * 4, "b": [2] * 4}], "a and b fit; set teacher.output"),
    ({"a": 1}, "no predictions; it has a"),
    ({}, "no predictions"),
    ([[0.5, 0.5], [1]], "2 answers to 1"),
    (["cat"], "teacher.template.labels"),
    ([None], "not numbers"),
    ([[[1], [2, 3]]], "different lengths"),
  ],
)
def test_wrong_predictions_are_errors(predictions, message):
  protocol = protocols.build(spec_of(), teacher_block(protocol="v1"))
  with pytest.raises(JaxkdError, match=message):
    decode(protocol, json.dumps({"predictions": predictions}).encode(), 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_template_sends_the_very_pixels(channels):
  shape = (2, 3, channels)
  image = some_images(1, shape)
  block = teacher_block(protocol="template", access="label")
  path, headers, raw = protocols.build(spec_of(shape), block).encode(image)
  assert (path, headers) == ("", {"Content-Type": "image/png"})
  block.template.update(
    {"body": '{"a": "{{image_b64}}"}', "content_type": "application/json"}
  )
  body = protocols.build(spec_of(shape), block).encode(image).body
  coded = base64.b64decode(json.loads(body)["a"])
  for png in (raw, coded):
    pixels = np.asarray(Image.open(io.BytesIO(png))).reshape(shape)
    np.testing.assert_array_equal(pixels, image[0])


def test_template_reads_names_at_a_path():
  block = teacher_block(
    protocol="template",
    access="label",
    template={"response": "predictions.0.tagName", "labels": NAMES[:4]},
  )
  protocol = protocols.build(spec_of(), block)
  assert protocol.max_images == 1
  body = b'{"predictions": [{"tagName": "name3"}]}'
  np.testing.assert_array_equal(decode(protocol, body, 1), [3])
  with pytest.raises(JaxkdError, match="'nam3'. Did you mean name3"):
    decode(protocol, body.replace(b"name3", b"nam3"), 1)
  with pytest.raises(JaxkdError, match="has no predictions.0.tagName"):
    decode(protocol, b'{"predictions": []}', 1)


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"model_name": ""}, "teacher.model_name is empty"),
    ({"template": {"labels": ("a", "b")}}, "2 names.*4 classes"),
    ({"template": {"labels": ("a", "b", "c", "a")}}, "3 of them different"),
    ({"protocol": "template", "template": {"body": "{}"}}, "image_b64"),
  ],
)
def test_fields_that_cannot_be(fields, message):
  with pytest.raises(JaxkdError, match=message):
    protocols.build(spec_of(), teacher_block(**fields))


def test_shapes_that_cannot_be():
  with pytest.raises(JaxkdError, match="1 or 3 channels"):
    protocols.build(spec_of((2, 3, 2)), teacher_block(protocol="template"))
  with pytest.raises(JaxkdError, match="only images"):
    protocols.build(spec_of((2,)), teacher_block())


@pytest.mark.parametrize("count", [1, 12])
def test_size_is_that_of_the_body(count):
  images = some_images(count)
  for protocol in (
    checked(),
    checked(model((-1, 1, 2, 3), "FP32")),
    protocols.build(spec_of(), teacher_block(protocol="v1")),
    protocols.build(spec_of(), teacher_block(protocol="template")),
  ):
    sent = images[: protocol.max_images]
    assert protocol.size(sent) == len(protocol.encode(sent).body)


def test_integers_beyond_64_bits_are_errors():
  with pytest.raises(JaxkdError, match="not numbers|different|infinite"):
    checked_answers(ResponseSpec("label", 4).convert([10**400, 1], 2))


@pytest.mark.parametrize("decimals", [1, 2, 3])
@pytest.mark.parametrize("num_classes", [2, 10, 100])
@pytest.mark.parametrize("cut", [False, True])
def test_rounded_probabilities_are_taken_whatever_they_sum_to(
  decimals, num_classes, cut
):
  probs = np.random.default_rng(0).dirichlet([0.3] * num_classes, 2000)
  unit = 10.0**-decimals
  rounded = np.floor(probs / unit) * unit if cut else probs.round(decimals)
  rounded = rounded.round(decimals)
  if cut:
    assert rounded.sum(-1).min() < 1 - unit / 2
  answers = ResponseSpec("probs", num_classes).convert(rounded.tolist(), 2000)
  assert not answers.wrong
  assert answers.renormalised == (abs(rounded.sum(-1) - 1) > 1e-3).sum()
  np.testing.assert_allclose(np.exp(answers.values).sum(-1), 1, rtol=1e-5)


def test_logits_are_not_taken_for_rounded_probabilities():
  for row in ([3, 0, 0, 1], [2.5, 0.5, 0.1, 0.2], [0.91, 0.83, 0.7, 0.9]):
    answers = ResponseSpec("probs", 4).convert([row], 1)
    assert "not probabilities" in answers.wrong[0]


def test_one_wrong_answer_leaves_the_others():
  rows = [[0.5, 0.5], None, [float("nan"), 1], [0.1, 0.2, 0.7], [1, 0], "cat"]
  answers = ResponseSpec("probs", 2).convert(rows, 6)
  assert sorted(answers.wrong) == [1, 2, 3, 5]
  np.testing.assert_allclose(np.exp(answers.values[0]), [0.5, 0.5])


@pytest.mark.parametrize(
  ("access", "expected"),
  [
    ("label", [1, 0]),
    ("probs", np.log([[0.1, 0.9], [0.8, 0.2]])),
    ("logits", [[0, 0.9], [0, 0.2]]),
  ],
)
@pytest.mark.parametrize("rows", [[0.9, 0.2], [[0.9], [0.2]]])
def test_of_two_classes_one_number_is_enough(access, expected, rows):
  answers = ResponseSpec(access, 2).convert(rows, 2)
  np.testing.assert_allclose(answers.values, expected, rtol=1e-5)


def test_v2_of_two_classes_may_have_one_number():
  spec = spec_of(classes=2)
  metadata = model(outputs=[("dense", "FP32", [-1, 1])])
  for access, expected in (
    ("label", [1, 0]),
    ("probs", np.log([[0.1, 0.9], [0.8, 0.2]])),
  ):
    protocol = checked(
      metadata, spec=spec, access=access, extensions=["classification"]
    )
    assert not protocol.top_k
    reply = reply_of([[0.9], [0.2]], name="dense")
    values = decode(protocol, reply, 2)
    np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_v2_takes_sizes_that_are_texts_and_axes_of_length_1():
  metadata = model(("-1", "2", "3", "1"), outputs=[("y", "FP32", ["-1", "4"])])
  assert checked(metadata).sizes == (2, 3, 1)
  metadata = model(outputs=[("y", "FP32", [-1, 4, 1, 1])])
  rows = [[0.1, 0.2, 0.6, 0.1], [0.7, 0.1, 0.1, 0.1]]
  reply = reply_of(rows, [2, 4, 1, 1])
  np.testing.assert_array_equal(
    decode(checked(metadata, access="label"), reply, 2), [2, 0]
  )


def test_v2_labels_may_be_names():
  metadata = model(outputs=[("predict", "BYTES", [-1, 1])])
  protocol = checked(metadata, access="label", template={"labels": NAMES[:4]})
  reply = reply_of(["name2", "name0"], [2, 1], name="predict")
  np.testing.assert_array_equal(decode(protocol, reply, 2), [2, 0])
  with pytest.raises(JaxkdError, match="No output fits"):
    checked(metadata, access="label")


def test_v2_without_metadata_chooses_among_the_outputs_of_the_reply():
  fields = {"name": "x", "datatype": "FP32", "shape": ()}
  protocol = checked({"inputs": []}, input=fields, access="label")
  assert "outputs" not in json.loads(protocol.encode(some_images(1)).body)
  outputs = [
    {"name": "features", "datatype": "FP32", "shape": [2, 9], "data": [0] * 18},
    {"name": "predict", "datatype": "INT64", "shape": [2], "data": [2, 0]},
  ]
  reply = json.dumps({"model_name": "net", "outputs": outputs}).encode()
  np.testing.assert_array_equal(decode(protocol, reply, 2), [2, 0])
  chosen = checked({"inputs": []}, input=fields, access="label", output="y")
  reply = reply_of([2, 0])
  np.testing.assert_array_equal(decode(chosen, reply, 2), [2, 0])


@pytest.mark.parametrize(
  ("output", "access", "count"),
  [
    ({"datatype": "FP32", "data": [[0, 0, 1, 0], [1, 0, 0, 0]]}, "label", 2),
    ({"datatype": "FP32", "shape": ["2", "4"], "data": [0, 0, 1, 0] * 2},
     "label", 2),
    ({"datatype": "FP32", "shape": [4], "data": [0, 0, 1, 0]}, "probs", 1),
    ({"datatype": "BYTES", "shape": [1], "data": ["2"]}, "label", 1),
    ({"datatype": "INT64", "shape": [], "data": 2}, "label", 1),
  ],
)  # fmt: skip
def test_v2_takes_replies_that_say_less(output, access, count):
  silent = {"inputs": model()["inputs"], "outputs": []}
  protocol = checked(silent, access=access)
  body = json.dumps({"outputs": [{"name": "y", **output}]}).encode()
  decoded = decode(protocol, body, count)
  first = decoded[0] if access == "label" else decoded[0].argmax()
  assert first == 2


@pytest.mark.parametrize(
  "output", [{"name": "y"}, {"name": "y", "datatype": "FP32", "shape": None}]
)
def test_v2_asks_for_an_output_of_which_it_knows_the_name_alone(output):
  protocol = checked({"inputs": model()["inputs"], "outputs": [output]})
  assert protocol.output_name == "y"


def test_v2_takes_the_shape_of_one_image_from_its_field():
  fields = {"input": {"name": "", "datatype": "", "shape": (2, 3, 1)}}
  for shape in ((2, 3, 1), (8, 2, 3, 1)):
    protocol = checked(model(shape), **fields)
    assert (protocol.sizes, protocol.max_images) == ((2, 3, 1), 1 << 30)


def test_v2_refuses_an_output_that_the_model_lacks():
  with pytest.raises(JaxkdError, match="teacher.output='z': the model has y"):
    checked(output="z")


def test_a_model_that_says_that_it_is_not_ready():
  protocol = protocols.build(spec_of(), teacher_block())
  with pytest.raises(NotServed, match="net is not ready"):
    protocol.check([b'{"ready": false}', json.dumps(model()).encode(), b"{}"])


def test_v2_takes_the_words_of_tritons_own_config():
  tensor = {"name": "x", "data_type": "TYPE_FP32", "dims": [1, 2, 3]}
  protocol = checked({"inputs": [tensor], "outputs": model()["outputs"]})
  assert (protocol.datatype, protocol.sizes) == ("FP32", (1, 2, 3))


def test_grey_images_may_go_without_their_channel():
  protocol = checked(model((-1, 2, 3)))
  assert json.loads(protocol.encode(some_images(5)).body)["inputs"][0][
    "shape"
  ] == [5, 2, 3]


@pytest.mark.parametrize("shape", [(2, 3), (1, 2, 3), (6,), (2, 3, 1)])
def test_v1_sends_the_shape_that_its_field_names(shape):
  images = some_images()
  fields = {"name": "", "datatype": "UINT8", "shape": shape}
  block = teacher_block(protocol="v1", input=fields)
  protocol = protocols.build(spec_of(), block)
  body = protocol.encode(images).body
  sent = np.array(json.loads(body)["instances"])
  np.testing.assert_array_equal(sent, images.reshape(5, *shape))
  assert protocol.size(images) == len(body)


def test_v1_may_send_channels_first():
  images = some_images(shape=(2, 3, 3))
  fields = {"name": "", "datatype": "UINT8", "shape": (3, 2, 3)}
  block = teacher_block(protocol="v1", input=fields)
  body = protocols.build(spec_of((2, 3, 3)), block).encode(images).body
  sent = np.array(json.loads(body)["instances"])
  np.testing.assert_array_equal(sent, images.transpose(0, 3, 1, 2))
