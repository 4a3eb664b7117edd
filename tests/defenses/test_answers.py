"""Defences of the answer give probabilities, and what their formulas say."""

import dataclasses

from blobs import RecordingTrainer, defense_block
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

from jaxkd import config as c, defenses
from jaxkd.config import fields
from jaxkd.config.fields import Block
from jaxkd.defenses import AnswerDefense, modelguard_w
from jaxkd.models import from_function
from jaxkd.pipeline import resolution
from jaxkd.types import JaxkdError

RANDOM = np.random.default_rng(0)
# Answers from almost sure to almost even, and those at the ends.
PROBS = np.concatenate(
  [RANDOM.dirichlet([scale] * 6, 8) for scale in (0.05, 0.5, 20.0)]
  + [np.eye(6)[:2], np.full((1, 6), 1 / 6), [[0, 0, 0.5, 0.5, 0, 0]]]
).astype(np.float32)
IMAGES = RANDOM.integers(0, 256, (len(PROBS), 5, 4, 1)).astype(np.float32) / 255


def of(name, **values):
  block = Block(name, "", defenses.own_fields(name))
  return AnswerDefense.of(name, fields.filled(block, values))


def answers(name, probs=PROBS, images=IMAGES, **values):
  defense = jax.jit(of(name, **values))
  return np.asarray(defense(jnp.asarray(probs), jnp.asarray(images)))


@pytest.mark.parametrize("name", defenses.answer_names())
def test_answers_are_probabilities(name):
  told = answers(name)
  assert told.shape == PROBS.shape
  assert told.dtype == np.float32
  assert (told >= 0).all()
  rounded = 6 / 2 * 0.1 if name == "rounding" else 0
  assert (abs(told.sum(-1) - 1) <= rounded + 1e-5).all()
  if defenses.keeps_label(name):
    np.testing.assert_array_equal(told.argmax(-1), PROBS.argmax(-1))


def test_the_answers_of_some_can_have_another_label():
  keeping = {n for n in defenses.answer_names() if defenses.keeps_label(n)}
  assert keeping == {"label_only", "modelguard_w", "top_k"}
  # A largest probability that is not well above beta / 2 loses to 0.
  even = np.array([[0.26, 0.25, 0.25, 0.24, 0.0, 0.0]], np.float32)
  assert answers("reverse_sigmoid", even, beta=0.9).argmax() != 0


def test_rounded_probabilities_have_the_decimals():
  told = answers("rounding", decimals=2)
  np.testing.assert_allclose(told, PROBS.round(2), atol=1e-7)
  even = np.full((1, 30), 1 / 30, np.float32)
  np.testing.assert_array_equal(answers("rounding", even), np.eye(30)[:1])


def test_the_label_alone_has_all_of_the_probability():
  expected = np.eye(6)[PROBS.argmax(-1)]
  np.testing.assert_array_equal(answers("label_only"), expected)


def test_top_k_of_all_classes_changes_nothing():
  np.testing.assert_array_equal(answers("top_k", count=6), PROBS)


@pytest.mark.parametrize(("beta", "gamma"), [(0.21, 0.2), (1.0, 1.0), (0, 2.0)])
def test_reverse_sigmoid_is_its_formula(beta, gamma):
  p = PROBS.astype(np.float64)
  odds = np.log(np.maximum(p, 1e-12)) - np.log(np.maximum(1 - p, 1e-12))
  r = beta * (1 / (1 + np.exp(-gamma * odds)) - 0.5)
  expected = np.maximum(p - r, 0)
  expected /= expected.sum(-1, keepdims=True)
  told = answers("reverse_sigmoid", beta=beta, gamma=gamma)
  np.testing.assert_allclose(told, expected, rtol=1e-4, atol=1e-6)


def test_noise_is_of_the_image_and_of_the_secret():
  told = answers("additive_noise", scale=0.1)
  # Neither the order nor the number of images nor a second query matters.
  some = answers("additive_noise", PROBS[5:2:-1], IMAGES[5:2:-1], scale=0.1)
  np.testing.assert_allclose(some, told[5:2:-1], atol=1e-6)
  # Nor does what is lost in 8 bits; a level of one pixel does.
  almost = answers("additive_noise", images=IMAGES + 1e-4, scale=0.1)
  np.testing.assert_allclose(almost, told, atol=1e-6)
  other = IMAGES.copy()
  other[:, 0, 0] = (other[:, 0, 0] * 255 + 1) / 255
  for changed in (
    answers("additive_noise", images=other, scale=0.1),
    answers("additive_noise", scale=0.1, secret=1),
  ):
    assert (abs(changed - told).max(-1) > 1e-3).all()


def test_noise_has_the_standard_deviation():
  probs = np.full((4000, 4), 0.25, np.float32)
  images = np.arange(4000, dtype=np.float32)[:, None] / 255
  noise = answers("additive_noise", probs, images, scale=0.01) - 0.25
  # Dividing by the sum takes the mean of the four away.
  assert noise.std() == pytest.approx(0.01 * np.sqrt(3 / 4), rel=0.05)
  assert abs(noise.mean()) < 1e-4


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0, 2.0])
def test_modelguard_solves_its_linear_programme(epsilon):
  told = answers("modelguard_w", epsilon=epsilon).astype(np.float64)
  distances = abs(told - PROBS).sum(-1)
  assert (distances <= max(epsilon, 2 * modelguard_w.MARGIN) + 1e-5).all()
  apart = np.diff(np.sort(PROBS))[:, -1] > modelguard_w.MARGIN
  rows = np.flatnonzero(apart)[::3]
  for answer, probs in zip(told[rows], PROBS[rows].astype(float), strict=True):
    costs = np.log(probs + modelguard_w.SMOOTHING)
    assert answer @ costs == pytest.approx(solve(probs, epsilon), abs=1e-4)


def solve(probs, epsilon):
  """The value of the programme: variables p', then the distances |p' - p|."""
  size, label = len(probs), probs.argmax()
  margin = modelguard_w.MARGIN
  eye = np.eye(size)
  below = np.delete(eye, label, axis=0) - eye[label]
  rows = np.block([
    [eye, -eye],
    [-eye, -eye],
    [below, np.zeros_like(below)],
    [np.zeros(size), np.ones(size)],
  ])  # fmt: skip
  limits = np.concatenate([probs, -probs, [-margin] * (size - 1), [epsilon]])
  return linprog(
    np.append(np.log(probs + modelguard_w.SMOOTHING), np.zeros(size)),
    rows,
    limits,
    np.append(np.ones(size), np.zeros(size))[None],
    [probs.sum()],
  ).fun


def test_a_defended_teacher_is_the_network_with_other_answers():
  network = from_function(lambda weights, points: points @ weights, PROBS[:3].T)
  points = jnp.asarray(RANDOM.normal(size=(7, 6)), jnp.float32)
  block = defense_block(name="rounding", decimals=1)
  defended = defenses.defend(RecordingTrainer(), network, block)
  assert defended.variables is network.variables
  again = defenses.defend(RecordingTrainer(), network, block)
  assert defended.apply == again.apply  # no second compilation
  other = defense_block(name="rounding", decimals=2)
  other = defenses.defend(RecordingTrainer(), network, other)
  assert defended.apply != other.apply
  probs = jax.nn.softmax(network(points).logits).round(1)
  np.testing.assert_allclose(
    jax.nn.softmax(defended(points).logits),
    probs / probs.sum(-1, keepdims=True),
    atol=1e-5,
  )
  with pytest.raises(dataclasses.FrozenInstanceError):
    defended.apply.defense = None


def test_the_fields_of_a_defence_are_those_of_the_config():
  config = c.load_config("configs/procedural.py:smoke,access=probs")
  config.teacher.defense.name = "additive_noise"
  config.teacher.defense.scale = 0.3
  block = resolution.resolve(config).teacher.defense
  assert (block.scale, block.secret) == (0.3, 0)
  config.teacher.defense.scale = -0.3
  with pytest.raises(JaxkdError, match="defense.scale=-0.3: choose a number"):
    resolution.resolve(config)
  config.teacher.defense.name = "rounding"
  with pytest.raises(JaxkdError, match="field in teacher.defense 'scale'"):
    resolution.resolve(config)


def test_a_defence_of_ones_own_needs_a_file_alone():
  config = c.load_config("configs/procedural.py:smoke,access=label")
  config.teacher.defense = c.defense(name="own_code.even_answers", share=0.2)
  block = resolution.resolve(config).teacher
  assert defenses.check(block) is None
  network = from_function(lambda weights, points: points @ weights, PROBS[:3].T)
  defended = defenses.defend(RecordingTrainer(), network, block.defense)
  points = jnp.zeros((1, 6)).at[0, 2].set(99.0)
  expected = 0.8 * jax.nn.softmax(network(points).logits) + 0.2 / 3
  told = jax.nn.softmax(defended(points).logits)
  np.testing.assert_allclose(told, expected, rtol=1e-5)
  config.teacher.defense.share = 1.2
  with pytest.raises(JaxkdError, match="share=1.2: choose a number"):
    resolution.resolve(config)
