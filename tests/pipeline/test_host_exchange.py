"""A teacher behind an interface is asked by the host, and teaches the same as
one in process.
"""

import jax
import numpy as np
from point_rounds import classifier, growing_passes, run_rounds, start
import pytest

from jaxkd.errors import JaxkdError
from jaxkd.pipeline.host_exchange import make_host_round
from jaxkd.teachers.oracles import BlackBox


class Interface:
  """A teacher that the host has to ask, and that counts the images."""

  access, in_process, eight_bit = "label", False, False

  def __init__(self, hidden):
    self.hidden, self.count = hidden, 0

  def answer(self, images):
    assert isinstance(images, np.ndarray)
    self.count += len(images)
    return np.asarray(self.hidden(images).logits.argmax(-1), np.int32)


def test_it_is_asked_the_same_and_teaches_the_same():
  method, interface = growing_passes(), Interface(classifier(0))
  in_process = BlackBox(classifier(0), "label", eight_bit=False)
  near, _ = run_rounds(in_process, method, 3)
  round_spec, far, inputs = start(interface, method)
  assert inputs.teacher is None
  run_round = make_host_round(round_spec, interface)
  for index in range(3):
    far, terms = run_round(far, inputs, jax.random.key(index))
  assert interface.count == 24
  assert int(far.round) == 3
  np.testing.assert_array_equal(
    near.store.samples.targets, far.store.samples.targets
  )
  np.testing.assert_allclose(
    near.student.variables["params"]["w"],
    far.student.variables["params"]["w"],
    rtol=1e-5,
  )
  assert "student" in terms


def test_the_state_before_a_round_outlives_it():
  """If the budget ends within a round, that state is what counts."""
  interface = Interface(classifier(0))
  round_spec, run, inputs = start(interface, growing_passes())
  before = jax.tree.map(np.array, run)
  make_host_round(round_spec, interface)(run, inputs, jax.random.key(0))
  jax.tree.map(np.testing.assert_array_equal, before, run)


def test_a_round_without_an_answer_tells_why():
  interface = Interface(classifier(0))
  interface.answer = lambda images: np.full(len(images), -1, np.int32)
  interface.reason = "The reply holds NaN."
  round_spec, run, inputs = start(interface, growing_passes())
  with pytest.raises(JaxkdError, match=r"None of .* holds NaN\. .*ask_again"):
    make_host_round(round_spec, interface)(run, inputs, jax.random.key(0))
