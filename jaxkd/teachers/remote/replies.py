"""The answers in a reply of the v1 protocol, in the forms that servers give.

TensorFlow Serving, KServe and Vertex AI reply `{"predictions": [...]}`, MLflow
and BentoML also the bare list, and TensorFlow Serving columns of named outputs.
"""

import numpy as np

from jaxkd.errors import JaxkdError
from jaxkd.runtime.files import Json
from jaxkd.teachers.remote.codec import ResponseSpec, get_path

_LISTS = ("predictions", "outputs", "results", "result", "output")
# Keys of a prediction that is an object, in order of preference.
_SCORES = ("scores", "score", "confidences")
KEYS = {
  "label": (
    "label", "class_id", "class_ids", "class", "classes", "prediction",
    "probabilities", *_SCORES, "logits",
  ),
  "probs": ("probabilities", "probability", "probs", *_SCORES),
  "logits": ("logits", *_SCORES),
}  # fmt: skip


def find_answers(reply: Json, count: int) -> Json:
  """Returns the list of answers in a reply, one for each of `count` images.

  Raises:
    JaxkdError: if the reply is an object without one.
  """
  if not isinstance(reply, dict):
    return reply
  for key in _LISTS:
    if key in reply:
      return find_answers(reply[key], count)
  columns = [
    value
    for value in reply.values()
    if isinstance(value, list) and len(value) == count
  ]
  if columns and len(columns) == len(reply):
    rows = zip(*columns, strict=True)
    return [dict(zip(reply, row, strict=True)) for row in rows]
  raise JaxkdError(
    f"The reply has no predictions; it has {', '.join(reply) or 'nothing'}: "
    f"{str(reply)[:200]}"
  )


def read_prediction(
  prediction: Json, response: ResponseSpec, output: str = ""
) -> Json:
  """Returns the label or the scores in a prediction.

  Args:
    prediction: a number, a list, or an object with one of several outputs.
    response: the answers that are expected.
    output: the dotted path to the answer; empty takes the one that fits.

  Raises:
    JaxkdError: if there is none, or more than one that fits equally.
  """
  if output:
    return get_path(prediction, output)
  if isinstance(prediction, list) and all(
    isinstance(row, dict) and {"label", "score"} <= row.keys()
    for row in prediction
  ):
    prediction = {row["label"]: row["score"] for row in prediction}
  if not isinstance(prediction, dict):
    return prediction
  by_class = _scores_by_class(prediction, response)
  if by_class is not None:
    return by_class
  for key in KEYS[response.access]:
    if key in prediction and _fits(prediction[key], response):
      return prediction[key]
  fitting = [key for key in prediction if _fits(prediction[key], response)]
  scores = [key for key in fitting if np.size(prediction[key]) > 1]
  fitting = scores or fitting
  if len(fitting) == 1:
    return prediction[fitting[0]]
  several = f"{' and '.join(fitting)} fit" if fitting else "none fits"
  raise JaxkdError(
    f"The reply holds a prediction with {', '.join(prediction)}; for "
    f"teacher.access={response.access} and {response.num_classes} classes "
    f"{several}; set teacher.output to the one that is the answer."
  )


def _fits(value: Json, response: ResponseSpec) -> bool:
  """Returns whether a value has the size of a label or of scores."""
  if isinstance(value, str):
    return response.access == "label"
  try:
    array = np.asarray(value)
  except ValueError:
    return False
  if array.size == 1:
    return response.access == "label" or response.num_classes == 2
  return array.dtype.kind in "iuf" and array.size == response.num_classes


def _scores_by_class(
  prediction: dict[str, Json], response: ResponseSpec
) -> Json | None:
  """Returns the scores of an object with a number for each class, in order.

  Its keys are the classes' names, or their indices: "3", "LABEL_3". For labels
  the likeliest classes are enough.
  """
  classes = [response.class_of(key) for key in prediction]
  numbers = list(prediction.values())
  if None in classes or not all(
    isinstance(number, (int, float)) for number in numbers
  ):
    return None
  if response.access == "label":
    return classes[int(np.argmax(numbers))]
  if sorted(classes) != list(range(response.num_classes)):
    return None
  return [number for _, number in sorted(zip(classes, numbers, strict=True))]
