"""Replies of every shape that servers give for a classifier.

Each is a reply in the form of the server that it is named after, for two images
of classes 2 and 0 out of four.
"""

import json

from fake_server import NAMES
from ml_collections import ConfigDict
import numpy as np
import pytest

from jaxkd.config import fields
from jaxkd.config.teacher_fields import TEACHER
from jaxkd.errors import JaxkdError
from jaxkd.teachers.remote import protocols
from jaxkd.teachers.remote.transport import OutcomeUnknown
from jaxkd.types import DataSpec

PROBS = [[0.1, 0.2, 0.6, 0.1], [0.7, 0.1, 0.1, 0.1]]
LOGITS = np.log(PROBS).tolist()
LABELS = [2, 0]
SPEC = DataSpec("toy", (2, 3, 1), 4, (0.5,), (0.5,))
BINARY = DataSpec("two", (2, 3, 1), 2, (0.5,), (0.5,))


def protocol_of(access, spec=SPEC, names=(), **changes):
  block = {
    "access": access,
    "protocol": "v1",
    "template": {"labels": names},
    **changes,
  }
  return protocols.build(spec, ConfigDict(fields.filled(TEACHER, block)))


def decode(reply, access, spec=SPEC, count=2, **changes):
  protocol = protocol_of(access, spec, **changes)
  answers = protocol.decode(json.dumps(reply).encode(), count)
  for reason in answers.wrong.values():
    raise JaxkdError(reason)
  return answers.values


SCORES = {
  "tf serving": {"predictions": PROBS},
  "tf serving, named outputs": {
    "predictions": [{"dense_2": row, "features": [1.0] * 5} for row in PROBS]
  },
  "tf serving, columns": {"outputs": PROBS},
  "tf serving, named columns": {
    "outputs": {"dense_2": PROBS, "features": [[1.0] * 5] * 2}
  },
  "tf serving, estimator": {
    "predictions": [
      {
        "all_class_ids": [0, 1, 2, 3],
        "all_classes": ["0", "1", "2", "3"],
        "class_ids": [label],
        "classes": [str(label)],
        "logits": logits,
        "probabilities": row,
      }
      for row, logits, label in zip(PROBS, LOGITS, LABELS, strict=True)
    ]
  },
  "bare list, as MLflow 1 and BentoML": PROBS,
  "mlflow, a data frame": {
    "predictions": [{str(i): p for i, p in enumerate(row)} for row in PROBS]
  },
  "mlflow, named columns": {"predictions": {"output_0": PROBS}},
  "bentoml, one key": {"result": PROBS},
  "vertex": {
    "predictions": PROBS,
    "deployedModelId": "1",
    "model": "projects/1",
    "modelVersionId": "1",
  },
  "vertex, nested once more": {"predictions": [[row] for row in PROBS]},
  "kserve": {"predictions": [{"probabilities": row} for row in PROBS]},
  "torchserve, names": {
    "predictions": [
      dict(zip(reversed(NAMES[:4]), reversed(row), strict=True))
      for row in PROBS
    ]
  },
  "azure, JSON in a text": json.dumps({"result": PROBS}),
  "a list beside other values": {"y": PROBS, "model": "net", "took_ms": 3},
  "one level deeper": {"status": "ok", "response": {"predictions": PROBS}},
  "seldon": {"data": {"names": ["a", "b"], "ndarray": PROBS}, "meta": {}},
  "texts": [[str(score) for score in row] for row in PROBS],
  "vertex, automl tables": {
    "predictions": [
      {"classes": NAMES[3::-1], "scores": row[::-1]} for row in PROBS
    ]
  },
  "custom vision": {
    "predictions": [
      [
        {"probability": row[i], "tagId": "x", "tagName": NAMES[i]}
        for i in np.argsort(row)[::-1]
      ]
      for row in PROBS
    ]
  },
  "tf serving, classify": {
    "results": [[[NAMES[i], row[i]] for i in np.argsort(row)] for row in PROBS]
  },
  "hugging face": [
    [{"label": f"LABEL_{i}", "score": row[i]} for i in np.argsort(row)]
    for row in PROBS
  ],
}


@pytest.mark.parametrize("name", SCORES)
def test_scores(name):
  reply = SCORES[name]
  names = NAMES[:4] if "name3" in json.dumps(reply) else ()
  np.testing.assert_array_equal(decode(reply, "label", names=names), LABELS)
  probs = decode(reply, "probs", names=names)
  np.testing.assert_allclose(probs, LOGITS, rtol=1e-5)


@pytest.mark.parametrize(
  ("reply", "names"),
  [
    ({"predictions": LABELS}, ()),
    ({"predictions": [[2], [0]]}, ()),
    ({"predictions": ["2", "0"]}, ()),
    (["name2", "name0"], NAMES[:4]),
    ({"predictions": [{"label": "name2"}, {"label": "name0"}]}, NAMES[:4]),
    (
      {"predictions": [{"name2": 0.8, "name3": 0.1}, {"name0": 0.9}]},
      NAMES[:4],
    ),
    (
      [{"label": "LABEL_2", "score": 0.9}, {"label": "LABEL_0", "score": 1}],
      (),
    ),
    (
      {"predictions": [{"class": 2, "score": 0.9}, {"class": 0, "score": 1}]},
      (),
    ),
    ({"predictions": {"class_id": [2, 0]}}, ()),
    ({"predictions": ["2.0", "0.0"]}, ()),
    (
      {
        "predictions": [
          {"cls": "LABEL_2", "conf": 0.9},
          {"cls": "LABEL_0", "conf": 0.8},
        ]
      },
      (),
    ),
    (
      {
        "predictions": [
          {"predicted_class": 2, "probability": 0.6},
          {"predicted_class": 0, "probability": 0.7},
        ]
      },
      (),
    ),
    (
      {
        "predictions": [
          {
            "ids": ["9", "8"],
            "displayNames": [f"name{label}", "name1"],
            "confidences": [0.6, 0.2],
          }
          for label in LABELS
        ]
      },
      NAMES[:4],
    ),
  ],
)
def test_labels(reply, names):
  np.testing.assert_array_equal(decode(reply, "label", names=names), LABELS)


def test_the_output_is_chosen_by_its_field():
  rows = [{"a": row[::-1], "b": {"c": row}} for row in PROBS]
  reply = {"predictions": rows}
  probs = decode(reply, "probs", output="b.c")
  np.testing.assert_allclose(probs, LOGITS, rtol=1e-5)
  two = {"predictions": [{"a": row, "b": row} for row in PROBS]}
  with pytest.raises(JaxkdError, match="a and b fit; set teacher.output"):
    decode(two, "probs")
  with pytest.raises(JaxkdError, match="has no none"):
    decode(reply, "probs", output="none")


def test_vertex_ranks_names_by_their_confidence():
  reply = {
    "predictions": [
      {"displayNames": ["name2", "name1"], "confidences": [0.6, 0.2]},
      {"displayNames": ["name0", "name1"], "confidences": [0.7, 0.1]},
    ]
  }
  labels = decode(reply, "label", names=NAMES[:4], output="displayNames.0")
  np.testing.assert_array_equal(labels, LABELS)


@pytest.mark.parametrize(
  "reply",
  [
    {"predictions": [[0.9], [0.2]]},
    {"predictions": [0.9, 0.2]},
    [[0.9], [0.2]],
    {"predictions": [{"dense": [0.9]}, {"dense": [0.2]}]},
    {"predictions": ["0.9", "0.2"]},
  ],
)
def test_one_sigmoid_output_is_the_probability_of_class_1(reply):
  np.testing.assert_array_equal(decode(reply, "label", BINARY), [1, 0])
  np.testing.assert_allclose(
    np.exp(decode(reply, "probs", BINARY)), [[0.1, 0.9], [0.8, 0.2]], rtol=1e-5
  )


@pytest.mark.parametrize("access", ["label", "probs"])
def test_one_column_that_is_named_by_an_index_is_not_guessed(access):
  reply = {"predictions": [{"0": 0.9}, {"0": 0.2}]}
  with pytest.raises(JaxkdError, match=r"set teacher.output=0, else name both"):
    decode(reply, access, BINARY)
  answers = decode(reply, access, BINARY, output="0")
  assert (answers if access == "label" else answers.argmax(-1)).tolist() == [
    1,
    0,
  ]


@pytest.mark.parametrize(
  ("reply", "access"),
  [
    (PROBS[0], "probs"),
    ({"predictions": PROBS[0]}, "probs"),
    ({"probabilities": PROBS[0], "label": 2}, "probs"),
    ({"predictions": 2}, "label"),
    ("2", "label"),
    ({"label": 2, "score": 0.6}, "label"),
  ],
)
def test_a_reply_to_one_image_may_lack_the_list_around_it(reply, access):
  wanted = {"label": LABELS[:1], "probs": LOGITS[:1]}[access]
  np.testing.assert_allclose(decode(reply, access, count=1), wanted, rtol=1e-5)


@pytest.mark.parametrize(
  ("reply", "response", "access"),
  [
    ({"name2": 0.6, "name1": 0.2}, "", "label"),
    (dict(zip(NAMES[:4], PROBS[0], strict=True)), "", "probs"),
    ([{"label": "name2", "score": 0.6}], "", "label"),
    ({"Labels": [{"Name": "name2", "Confidence": 60}]}, "Labels", "label"),
    (
      {"predictions": [{"tagName": "name2", "probability": 0.6}]},
      "predictions",
      "label",
    ),
  ],
)
def test_templates_read_what_image_classifiers_reply(reply, response, access):
  template = {"response": response, "labels": NAMES[:4]}
  found = decode(reply, access, count=1, protocol="template", template=template)
  wanted = {"label": LABELS[:1], "probs": LOGITS[:1]}[access]
  np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_an_image_without_a_class_is_not_the_end():
  """Services reply with no class if none is likely enough."""
  protocol = protocol_of(
    "label", protocol="template", template={"response": "found.0.name"}
  )
  answers = protocol.decode(b'{"found": []}', 1)
  assert "teacher.template.response" in answers.wrong[0]


def test_the_classes_of_scores_have_to_be_named():
  reply = [{"classes": ["cat", "dog"], "scores": [0.6, 0.4]}] * 2
  with pytest.raises(JaxkdError, match=r"cat, dog: name .*template.labels"):
    decode(reply, "label", BINARY)
  with pytest.raises(JaxkdError, match=r"set teacher.access=label"):
    decode([[{"label": "LABEL_2", "score": 0.6}]] * 2, "probs")


def test_an_error_in_place_of_an_answer_leaves_the_others():
  protocol = protocol_of("label")
  reply = {"predictions": [{"error": "bad image"}, {"label": 2}]}
  answers = protocol.decode(json.dumps(reply).encode(), 2)
  assert "bad image" in answers.wrong[0]
  assert answers.values[1] == 2
  classes = [{"ok": 0.9, "error": 0.1}] * 2
  found = decode(classes, "label", BINARY, names=("ok", "error"))
  np.testing.assert_array_equal(found, [0, 0])


@pytest.mark.parametrize(
  "body", [b"", b" \n", b'{"error": "model is loading"}']
)
def test_replies_that_are_tried_again(body):
  for protocol in ("v1", "template"):
    with pytest.raises(OutcomeUnknown):
      protocol_of("label", protocol=protocol).decode(body, 1)


def test_a_byte_order_mark_is_no_part_of_a_reply():
  body = b"\xef\xbb\xbf" + json.dumps({"predictions": LABELS}).encode()
  found = protocol_of("label").decode(body, 2).values
  np.testing.assert_array_equal(found, LABELS)


@pytest.mark.parametrize(
  ("reply", "message"),
  [
    ({"error": "no such model"}, "is an error: .*no such model"),
    ({"code": 3}, "no predictions; it has code"),
    ({}, "has nothing"),
    ({"predictions": "no"}, "no list of answers"),
    ({"predictions": PROBS[:1]}, "1 answers to 2 images"),
    (None, "no list of answers"),
  ],
)
def test_replies_without_answers(reply, message):
  with pytest.raises(JaxkdError, match=message):
    decode(reply, "probs")


@pytest.mark.parametrize(
  ("kind", "rows"),
  [
    ("", PROBS),
    ("probabilities", PROBS),
    ("logits", LOGITS),
    ("logits", (np.array(LOGITS) + 3).tolist()),
    ("sigmoid", (1 / (1 + np.exp(-np.array(LOGITS)))).tolist()),
  ],
)
@pytest.mark.parametrize("access", ["probs", "label"])
def test_scores_of_any_kind(kind, rows, access):
  answers = decode({"predictions": rows}, access, output_kind=kind)
  expected = LABELS if access == "label" else LOGITS
  np.testing.assert_allclose(answers, expected, atol=1e-5)


@pytest.mark.parametrize(
  ("kind", "numbers"),
  [
    ("", [0.25, 0.75]),
    ("sigmoid", [0.25, 0.75]),
    ("probabilities", [[0.25], [0.75]]),
    ("logits", (np.log([1 / 3, 3])).tolist()),
  ],
)
def test_one_number_of_any_kind(kind, numbers):
  reply, chosen = {"predictions": numbers}, {"output_kind": kind}
  labels = decode(reply, "label", BINARY, **chosen)
  assert labels.tolist() == [0, 1]
  probs = np.exp(decode(reply, "probs", BINARY, **chosen))
  np.testing.assert_allclose(probs, [[0.75, 0.25], [0.25, 0.75]], atol=1e-6)


def test_logits_that_were_not_said_show():
  with pytest.raises(JaxkdError, match="set teacher.output_kind=logits"):
    decode({"predictions": [-0.7, 1.2]}, "label", BINARY)
  with pytest.raises(JaxkdError, match="set teacher.output_kind=logits or sig"):
    decode({"predictions": LOGITS}, "probs")
  with pytest.raises(JaxkdError, match="set teacher.output_kind=logits"):
    decode({"predictions": LOGITS}, "probs", output_kind="sigmoid")


def test_an_output_by_its_index():
  rows = [{"features": [9.0] * 4, "dense": row} for row in PROBS]
  assert decode({"predictions": rows}, "label", output="1").tolist() == LABELS
  pairs = [[[9.0] * 4, row] for row in PROBS]
  assert decode({"predictions": pairs}, "label", output="1").tolist() == LABELS
