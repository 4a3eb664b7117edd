"""The teacher's logits are brought to a scale, the student's back to theirs."""

from blobs import SPEC, blobs, initial_network
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from setups import bare_setup

from jaxkd import config as c, models
from jaxkd.evaluation import teacher_scale
from jaxkd.pipeline import logit_scale
from jaxkd.synthesis import starts
from jaxkd.teachers.access import TeacherHandle
from jaxkd.types import JaxkdError, Samples


@pytest.mark.parametrize("scale", [0.1, 10.0])
def test_a_white_box_shows_logits_of_the_standard_deviation(scale):
  network = initial_network()
  shown, measured = visible(network, 2.5)
  other, of_other = visible(models.with_logit_scale(network, scale), 2.5)
  points = np.asarray(blobs(20)[0])
  np.testing.assert_allclose(
    shown(points).logits, other(points).logits, rtol=1e-4, atol=1e-5
  )
  assert of_other.logit_std == pytest.approx(scale * measured.logit_std)
  again = teacher_scale.measure(shown, starts.probe_images(SPEC))
  assert float(again.logit_std) == pytest.approx(2.5, rel=1e-4)


def test_without_a_standard_deviation_the_teacher_stays_as_it_is():
  network = initial_network()
  assert visible(network, 0.0) == (network, None)
  assert visible(network, 2.5, "label") == (network, None)


def test_a_teacher_that_answers_all_images_alike_has_no_scale():
  flat = models.with_logit_scale(initial_network(), 1.0).replace(
    variables=jax.tree.map(np.zeros_like, initial_network().variables)
  )
  with pytest.raises(JaxkdError, match="standard deviation is 0; check that"):
    visible(flat, 2.5)


def visible(network, logit_std, access="white_box"):
  block = {"logit_std": logit_std, "access": access}
  config = c.block(teacher=block, seed=0)
  return logit_scale.visible_teacher(bare_setup(config, SPEC, None), network)


def given_back(student, targets):
  """A student of the teacher below, whose logits are ten times too small."""
  published = models.with_logit_scale(initial_network(), 10.0)
  block = {"logit_std": 2.5, "access": "white_box"}
  setup = bare_setup(c.block(teacher=block, seed=0), SPEC, None)
  shown, scale = logit_scale.visible_teacher(setup, published)
  handle = TeacherHandle(None, setup.config, shown)
  points = jnp.asarray(blobs(20)[0])
  held_out = Samples(points, jnp.zeros(20, jnp.int32), targets(shown, points))
  return published, logit_scale.give_back(
    setup, [student(shown)], handle, published, scale, held_out
  )


def log_probs(network, points):
  return jax.nn.log_softmax(network(points).logits)


def perfect(shown):
  """The published network, with weights for the logits that were shown."""
  points = jnp.asarray(blobs(8)[0])
  factor = shown(points).logits[0, 0] / initial_network()(points).logits[0, 0]
  return models.last_layer.with_scaled_logits(
    initial_network(), float(factor), points
  )


def test_a_student_gets_the_scale_that_the_teacher_had():
  published, unscaled = given_back(perfect, log_probs)
  points = unscaled.held_out.images
  (student,), expected = unscaled.students, published(points).logits
  np.testing.assert_allclose(student(points).logits, expected, rtol=1e-3)
  assert unscaled.teacher.classifier is published
  np.testing.assert_allclose(
    jax.nn.log_softmax(unscaled.held_out.targets),
    jax.nn.log_softmax(expected),
    atol=1e-3,
  )
  assert not unscaled.warnings


def test_a_student_without_a_last_layer_keeps_its_scale_and_it_is_said():
  def normalised(shown):
    network = perfect(shown)

    def apply(variables, images, **fields):
      outputs, changed = network.apply(variables, images, **fields)
      logits = outputs.logits
      logits = logits / jnp.abs(logits).max()
      return outputs._replace(logits=logits), changed

    return network.replace(apply=apply)

  _, unscaled = given_back(normalised, log_probs)
  assert unscaled.teacher.classifier is not None
  (line,) = unscaled.warnings
  assert "no last layer was found" in line


def test_a_student_of_labels_alone_has_a_scale_of_its_own():
  _, unscaled = given_back(
    perfect, lambda network, points: network(points).logits.argmax(-1)
  )
  points = unscaled.held_out.images
  shown = unscaled.teacher.classifier(points).logits
  np.testing.assert_allclose(
    unscaled.students[0](points).logits, shown, rtol=1e-3
  )
