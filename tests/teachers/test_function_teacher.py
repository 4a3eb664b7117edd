"""Any function as a black box: its answers, its exceptions, what they cost."""

import asyncio
import collections
import threading

import jax
import numpy as np
import pytest
from remote_blocks import SPEC, queries_block

import jaxkd
from jaxkd.errors import JaxkdError
from jaxkd.teachers import function_teacher
from jaxkd.teachers.ledger import Ledger
from jaxkd.teachers.remote import transport as transports


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
  monkeypatch.setattr(transports, "FIRST_WAIT_S", 0.001)


@pytest.fixture
def ledger(tmp_path):
  with Ledger(tmp_path / "ledger.jsonl", budget=1000) as ledger:
    yield ledger


def some_images(count):
  key = np.random.default_rng(0)
  return key.integers(0, 256, (count, 4, 4, 1), np.uint8)


def labels_of(images):
  return images.reshape(len(images), -1).sum(-1, dtype=np.int64) % 10


class Tensor:
  """As of another framework: it can't be converted but by its own method."""

  def __init__(self, array):
    self.array = array

  def __array__(self):
    raise RuntimeError("it requires grad")

  def tolist(self):
    return self.array.tolist()


class Untold(Exception):
  def __str__(self):
    raise RuntimeError


def opened(function, ledger, access="label", **queries):
  black_box = jaxkd.black_box(function, access=access, num_classes=10)
  return function_teacher.open_teacher(
    black_box, SPEC, queries_block(**queries), ledger
  )


@pytest.mark.parametrize(
  "convert",
  [
    lambda labels: labels,
    lambda labels: labels.tolist(),
    lambda labels: labels.astype(np.float32)[:, None],
    lambda labels: np.eye(10)[labels],
    lambda labels: list(np.eye(10)[labels].tolist()),
    lambda labels: (int(label) for label in labels),
    lambda labels: labels.astype(str),
    lambda labels: [Tensor(row) for row in np.eye(10)[labels]],
    lambda labels: Tensor(labels),
  ],
)
def test_labels_and_scores_give_labels(ledger, convert):
  images = some_images(20)
  seen = []

  def function(images):
    seen.append((images.dtype, images.shape[1:]))
    return convert(labels_of(images))

  answers = opened(function, ledger).answer(images)
  np.testing.assert_array_equal(answers, labels_of(images))
  assert set(seen) == {(np.dtype(np.uint8), (4, 4, 1))}
  assert ledger.totals().spent == 20


def test_probabilities_and_logits(ledger):
  images = some_images(5)
  scores = np.float32(np.random.default_rng(1).dirichlet([1] * 10, 5))
  index = {
    image.tobytes(): row for image, row in zip(images, scores, strict=True)
  }

  def function(images):
    return np.stack([index[image.tobytes()] for image in images])

  probs = opened(function, ledger, "probs").answer(images)
  np.testing.assert_allclose(np.exp(probs), scores, rtol=1e-5)
  assert probs.dtype == np.float32


def test_a_function_is_called_from_several_threads_at_most(ledger):
  busy, most, lock = 0, 0, threading.Lock()
  together = threading.Barrier(2, timeout=5)

  def function(images):
    nonlocal busy, most
    with lock:
      busy, most = busy + 1, max(most, busy + 1)
    together.wait()
    with lock:
      busy -= 1
    return labels_of(images)

  opened(function, ledger, max_in_flight=2).answer(some_images(32))
  assert most == 2


def test_what_was_not_served_is_free(ledger):
  errors = iter([jaxkd.NotServed("rate limited", 0.001), jaxkd.NotServed()])

  def function(images):
    if error := next(errors, None):
      raise error
    return labels_of(images)

  opened(function, ledger).answer(some_images(8))
  assert (ledger.totals().refused, ledger.totals().spent) == (16, 8)


@pytest.mark.parametrize(
  "error",
  [
    TimeoutError("slow"),
    RuntimeError("500"),
    KeyError("x"),
    SystemExit(1),
    asyncio.CancelledError(),
    jaxkd.JaxkdError("of its own"),
    ExceptionGroup("both", [ValueError()]),
    Untold(),
  ],
)
def test_every_other_exception_is_spent_and_tried_again(ledger, error):
  errors = iter([error])

  def function(images):
    if error := next(errors, None):
      raise error
    return labels_of(images)

  opened(function, ledger).answer(some_images(8))
  assert (ledger.totals().unknown, ledger.totals().spent) == (8, 16)


def test_a_function_that_always_fails_is_left_soon(ledger):
  calls = []

  def function(images):
    calls.append(len(images))
    raise RuntimeError("no credentials")

  with pytest.raises(JaxkdError) as error:
    opened(function, ledger, max_in_flight=1).answer(some_images(400))
  assert len(calls) == 3
  assert "RuntimeError: no credentials (test_function_teacher.py, line" in (
    str(error.value)
  )


@pytest.mark.parametrize(
  ("answers", "message"),
  [
    (None, "returned a NoneType, no list of answers"),
    ({"labels": 3}, "returned a int"),
    ("cat", "returned a str"),
    ([1, 2], "2 answers to 8 images"),
    ([1] * 7 + [[2]] * 2, "9 answers to 8 images"),
  ],
)
def test_answers_that_are_none(ledger, answers, message):
  with pytest.raises(JaxkdError, match=message):
    opened(lambda images: answers, ledger).answer(some_images(8))
  assert ledger.totals().spent == 8


@pytest.mark.parametrize(
  "retry_after_s", ["0.001", -1, float("nan"), "soon", None]
)
def test_any_time_to_wait_is_borne(ledger, retry_after_s):
  errors = iter([jaxkd.NotServed(None, retry_after_s)])

  def function(images):
    if error := next(errors, None):
      raise error
    return labels_of(images)

  opened(function, ledger).answer(some_images(8))
  assert (ledger.totals().refused, ledger.totals().spent) == (8, 8)


async def coroutine(images):
  return labels_of(images)


def test_functions_that_cannot_be_are_never_called():
  with pytest.raises(JaxkdError, match=r"coroutine; give a plain one"):
    jaxkd.black_box(coroutine, num_classes=10)
  for function in (lambda: 1, lambda images, key: 1):
    with pytest.raises(JaxkdError, match="can't be called with images alone"):
      jaxkd.black_box(function, num_classes=10)
  jaxkd.black_box(labels_of, num_classes=np.int64(10))


def test_arguments_that_cannot_be():
  with pytest.raises(JaxkdError, match="3 is not a function"):
    jaxkd.black_box(3, num_classes=10)
  with pytest.raises(JaxkdError, match="access of black_box 'top_k'"):
    jaxkd.black_box(labels_of, access="top_k", num_classes=10)
  for count in (1, 2.5, None):
    with pytest.raises(JaxkdError, match="num_classes="):
      jaxkd.black_box(labels_of, num_classes=count)


Pair = collections.namedtuple("Pair", "features scores")


@pytest.mark.parametrize(
  ("output", "wrap"),
  [
    ("scores", lambda scores: {"features": 0, "scores": scores}),
    ("1", lambda scores: {"features": 0, "scores": scores}),
    (1, lambda scores: (0, scores)),
    ("scores", lambda scores: Pair(0, scores)),
    ("", lambda scores: {"scores": scores}),
  ],
)
def test_one_of_several_values(ledger, output, wrap):
  images = some_images(5)
  scores = lambda images: 4 * np.eye(10)[labels_of(images)]
  black_box = jaxkd.black_box(
    lambda images: wrap(scores(images)),
    access="probs",
    num_classes=10,
    output=output,
    output_kind="logits",
  )
  teacher = function_teacher.open_teacher(
    black_box, SPEC, queries_block(), ledger
  )
  answers = teacher.answer(images, "train")
  np.testing.assert_allclose(
    answers, jax.nn.log_softmax(scores(images)), atol=1e-5
  )


def test_of_several_values_none_is_guessed(ledger):
  function = lambda images: {"a": labels_of(images), "b": 0}
  with pytest.raises(JaxkdError, match="returned a, b; set teacher.output"):
    opened(function, ledger).answer(some_images(2), "train")
