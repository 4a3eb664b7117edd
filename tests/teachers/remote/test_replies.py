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
from jaxkd.types import DataSpec

PROBS = [[0.1, 0.2, 0.6, 0.1], [0.7, 0.1, 0.1, 0.1]]
LOGITS = np.log(PROBS).tolist()
LABELS = [2, 0]
SPEC = DataSpec("toy", (2, 3, 1), 4, (0.5,), (0.5,))
BINARY = DataSpec("two", (2, 3, 1), 2, (0.5,), (0.5,))


def decode(reply, access, spec=SPEC, count=2, names=(), **changes):
  block = fields.filled(
    TEACHER,
    {
      "access": access,
      "protocol": "v1",
      "template": {"labels": names},
      **changes,
    },
  )
  protocol = protocols.build(spec, ConfigDict(block))
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
  "hugging face": [
    [{"label": f"LABEL_{i}", "score": row[i]} for i in np.argsort(row)]
    for row in PROBS
  ],
}


@pytest.mark.parametrize("name", SCORES)
def test_scores(name):
  names = NAMES[:4] if "torchserve" in name else ()
  reply = SCORES[name]
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
  ],
)
def test_one_sigmoid_output_is_the_probability_of_class_1(reply):
  np.testing.assert_array_equal(decode(reply, "label", BINARY), [1, 0])
  np.testing.assert_allclose(
    np.exp(decode(reply, "probs", BINARY)), [[0.1, 0.9], [0.8, 0.2]], rtol=1e-5
  )


@pytest.mark.parametrize(
  ("reply", "message"),
  [
    ({"error": "no such model"}, "no predictions; it has error.*no such model"),
    ({}, "has nothing"),
    ({"predictions": "no"}, "no list of answers"),
    ({"predictions": PROBS[:1]}, "1 answers to 2 images"),
    (None, "no list of answers"),
  ],
)
def test_replies_without_answers(reply, message):
  with pytest.raises(JaxkdError, match=message):
    decode(reply, "probs")
