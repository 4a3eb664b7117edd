"""The answers in a reply of the v1 protocol, in the forms that servers give.

TensorFlow Serving, KServe and Vertex AI reply `{"predictions": [...]}`, MLflow
and BentoML also the bare list, and TensorFlow Serving columns of named outputs.
"""

import numpy as np

from jaxkd.config.teacher_fields import output_index
from jaxkd.errors import JaxkdError
from jaxkd.runtime.files import Json
from jaxkd.teachers.remote import words
from jaxkd.teachers.remote.codec import ResponseSpec, get_path
from jaxkd.teachers.remote.transport import FailedTooLarge, OutcomeUnknown

_LISTS = ("predictions", "outputs", "results", "result", "output")
# Keys of a reply, or of one prediction, that hold an error.
_ERRORS = ("error", "errors", "exception", "errorMessage")
# Keys of a prediction that is an object, in order of preference.
_SCORES = ("scores", "score", "confidences")
KEYS = {
  "label": (
    "label", "class_id", "class_ids", "class", "classes", "prediction",
    "predicted_class", "predicted_label", "class_name", "className", "tagName",
    "probabilities", *_SCORES, "logits",
  ),
  "probs": ("probabilities", "probability", "probs", *_SCORES),
  "logits": ("logits", *_SCORES),
}  # fmt: skip
# Keys of a class and of its score, in a ranked list of classes.
_RANKED_NAMES = (
  "label", "class", "className", "class_name", "tagName", "displayName",
  "description", "name", "Name",
)  # fmt: skip
_RANKED_SCORES = (
  "score", "probability", "confidence", "prob", "value", "Confidence",
)  # fmt: skip
# Pairs of keys with as many classes as scores, in one order.
_PARALLEL = (
  ("displayNames", "confidences"),
  ("classes", "scores"),
  ("classes", "probabilities"),
  ("labels", "scores"),
  ("labels", "probabilities"),
)


def check_error(reply: Json) -> None:
  """Checks that a reply is no error, which some servers give with status 200.

  Raises:
    OutcomeUnknown: if it says that the server is busy.
    FailedTooLarge: if it says that the request is too large.
    JaxkdError: for any other error.
  """
  if _is_error(reply):
    text = str(reply)[:200]
    if words.throttled(text) or words.not_ready(text):
      raise OutcomeUnknown(f"the reply is an error: {text}")
    if words.too_large(text):
      raise FailedTooLarge(f"the reply is an error: {text}")
    raise JaxkdError(f"The reply is an error: {text}")


def _is_error(reply: Json) -> bool:
  # A number under such a key may well be the score of a class of that name.
  return isinstance(reply, dict) and any(
    reply.get(key) and isinstance(reply[key], (str, list, dict))
    for key in _ERRORS
  )


def find_answers(reply: Json, count: int, response: ResponseSpec) -> Json:
  """Returns the list of answers in a reply, one for each of `count` images.

  Raises:
    OutcomeUnknown: if the reply says that the server is busy.
    JaxkdError: if the reply is an object without one.
  """
  if not isinstance(reply, dict):
    return reply
  check_error(reply)
  for key in _LISTS:
    if reply.get(key) is not None:
      return find_answers(reply[key], count, response)
  columns = {
    key: value
    for key, value in reply.items()
    if isinstance(value, list) and len(value) == count
  }
  alone = count == 1 and any(key in reply for key in KEYS[response.access])
  if columns and not alone:
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]
  if alone:
    return [reply]
  inner = [v for v in reply.values() if isinstance(v, dict) and v]
  if len(inner) == 1:
    return find_answers(inner[0], count, response)
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
    output: the dotted path to the answer, or its index among several outputs;
      empty takes the one that fits.

  Raises:
    JaxkdError: if there is none, or more than one that fits equally.
  """
  if isinstance(prediction, dict) and output not in prediction:
    index = output_index(output, len(prediction))
    if index is not None:
      return list(prediction.values())[index]
  if output:
    return get_path(prediction, output, "teacher.output")
  ranked = _ranked(prediction)
  if ranked is None and not isinstance(prediction, dict):
    return prediction
  names = list(ranked or prediction)
  single = len(names) == 1 and names[0].isdecimal()
  if single and response.num_classes == 2 and not response.names:
    raise JaxkdError(
      f"The reply holds {str(prediction)[:200]}, which may be the likelier of "
      "two classes, or a column with one number: for that set teacher.output="
      f"{names[0]}, else name both classes in teacher.template.labels."
    )
  by_class = _scores_by_class(ranked or prediction, response)
  if by_class is not None:
    return by_class
  if ranked is not None:
    raise JaxkdError(
      f"The reply has scores of {', '.join(ranked)[:100]}: name all classes in "
      "order in teacher.template.labels, and set teacher.access=label if the "
      "reply leaves some out."
    )
  if _is_error(prediction):
    raise JaxkdError(f"The reply has an error: {str(prediction)[:200]}")
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


def _ranked(prediction: Json) -> dict[str, float] | None:
  """Returns the scores by class of a list of both; None for anything else."""
  if isinstance(prediction, dict):
    for names, scores in _PARALLEL:
      pair = prediction.get(names), prediction.get(scores)
      if all(isinstance(each, list) for each in pair) and (
        len(pair[0]) == len(pair[1])
      ):
        return dict(zip(map(str, pair[0]), pair[1], strict=True))
  if not isinstance(prediction, list) or not prediction:
    return None
  by_class = {}
  for row in prediction:
    name = score = None
    if isinstance(row, dict):
      name = next((row[key] for key in _RANKED_NAMES if key in row), None)
      score = next((row[key] for key in _RANKED_SCORES if key in row), None)
    elif isinstance(row, list) and len(row) == 2:
      name, score = row
    if not isinstance(name, str) or not isinstance(score, (int, float)):
      return None
    by_class[name] = score
  return by_class


def _fits(value: Json, response: ResponseSpec) -> bool:
  """Returns whether a value has the size of a label or of scores."""
  if isinstance(value, str):
    return response.access == "label"
  if isinstance(value, (int, float)) and response.num_classes > 2:
    return response.access == "label" and response.is_class(value)
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
  if (
    not prediction
    or None in classes
    or not all(isinstance(number, (int, float)) for number in numbers)
  ):
    return None
  if response.access == "label":
    return classes[int(np.argmax(numbers))]
  if sorted(classes) != list(range(response.num_classes)):
    return None
  return [number for _, number in sorted(zip(classes, numbers, strict=True))]
