"""CAKE and LAKE: signs, scales and randomness, on a linear teacher."""

import ast
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxkd
from jaxkd import data, from_function, methods, models
from jaxkd.evaluation import teacher_scale
from jaxkd.synthesis import starts
from jaxkd.types import Classifier, DataSpec, JaxkdError, Networks, Outputs

SPEC = DataSpec("toy", (2,), 3, (0.5, -0.5), (2.0, 0.5))
WEIGHTS = jax.random.normal(jax.random.key(7), (2, 3))


def linear(variables, images, *, train=False, rng=None):
  mean, std = jnp.array(SPEC.mean), jnp.array(SPEC.std)
  return Outputs((images - mean) / std @ variables["params"]), {}


NETS = Networks(Classifier({"params": WEIGHTS}, linear), Classifier({}, linear))


def build(spec=SPEC, **changes):
  fields = {
    "num_sets": 4, "set_size": 6, "group_size": 3, "num_steps": 1,
    "step_size": 0.1, "step_size_decades": 4.0,
    "weights": {
      "classification": 2.0, "contrast": 0.5, "total_variation": 0.0,
    },
    "contrast": "groups", "dynamics": "sgd", "sets_per_round": 2, **changes,
  }  # fmt: skip
  hyper = {"temperature": 1.0, "alpha": 1.0}
  return methods.build("cake", spec, hyper, fields)


def compiled(spec=SPEC, **changes):
  """A method's `init` and `ask`, compiled once for all tests."""
  return _compiled(spec, repr(changes))


@functools.cache
def _compiled(spec, changes):
  method = build(spec, **ast.literal_eval(changes))
  return jax.jit(method.init), jax.jit(method.phases[0].ask)


def sets(key=0, rounds=1, **changes):
  """Inputs in the normalised space, labels and terms of some rounds."""
  init, ask = compiled(**changes)
  state, rounds_made = init(jax.random.key(key), NETS), []
  for _ in range(rounds):
    state, samples, terms = ask(state, NETS, jax.random.key(99))
    inputs = (samples.images - jnp.array(SPEC.mean)) / jnp.array(SPEC.std)
    rounds_made.append((inputs, samples, terms))
  return rounds_made


def start(**changes):
  """Where the sets stand before the first step."""
  return sets(**{**changes, "step_size": 1e-30})[0][0]


def test_one_step_is_the_closed_form_of_the_released_code():
  inputs, samples, _ = sets()[0]
  x0 = start()
  for index, eps in enumerate([0.1, 0.01]):
    x = np.asarray(x0[6 * index : 6 * index + 6], np.float64)
    y = np.asarray(samples.labels[6 * index : 6 * index + 6])
    w = np.asarray(WEIGHTS, np.float64)
    logits = (x @ w).reshape(2, 3, 3)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    onehot = np.eye(3)[y].reshape(2, 3, 3)
    groups, classes, size = 2, 3, 3
    force = 2.0 * (p - onehot) / groups  # w_cls / B (p - y)
    pull = size * logits - logits.sum(1, keepdims=True)
    force += 0.5 * 2 / (groups * classes) * pull
    expected = x - eps * force.reshape(6, 3) @ w.T
    np.testing.assert_allclose(
      inputs[6 * index : 6 * index + 6], expected, rtol=2e-4, atol=1e-5
    )


def test_labels_differ_inside_groups():
  _, samples, _ = sets()[0]
  for group in np.asarray(samples.labels).reshape(-1, 3):
    assert sorted(group) == [0, 1, 2]


def test_step_size_is_constant_in_a_set_and_falls_over_sets():
  made = sets(rounds=2)
  sizes = jnp.concatenate([s.extras["step_size"] for _, s, _ in made])
  np.testing.assert_allclose(
    sizes, np.repeat([1e-1, 1e-2, 1e-3, 1e-4], 6), rtol=1e-5
  )


def test_images_do_not_depend_on_the_sets_in_a_dispatch():
  two = jnp.concatenate([inputs for inputs, _, _ in sets(rounds=2)])
  four = sets(sets_per_round=4)[0][0]
  np.testing.assert_allclose(two, four, atol=1e-6)


def test_same_key_same_images_other_key_others():
  np.testing.assert_array_equal(sets()[0][0], sets()[0][0])
  assert not np.allclose(sets()[0][0], sets(key=1)[0][0])


def test_contrast_alone_draws_the_logits_of_a_group_together():
  only = {"classification": 0.0, "contrast": 1.0, "total_variation": 0.0}

  def spread(inputs):
    logits = (inputs @ WEIGHTS).reshape(-1, 3, 3)
    return float(jnp.var(logits, axis=1).sum())

  options = {"weights": only, "num_steps": 300, "step_size_decades": 0.0}
  assert spread(sets(**options)[0][0]) < 1e-3 * spread(start(**options))


def test_classification_alone_reaches_the_meant_class():
  only = {"classification": 20.0, "contrast": 0.0, "total_variation": 0.0}
  inputs, samples, terms = sets(
    weights=only, num_steps=200, step_size_decades=0.0
  )[0]
  answers = (inputs @ WEIGHTS).argmax(-1)
  assert float((answers == samples.labels).mean()) == 1.0
  assert terms["classification"].shape == (2,)


@pytest.mark.parametrize(
  "contrast", ["groups", pytest.param("all_pairs", marks=pytest.mark.slow)]
)
def test_langevin_adds_noise_of_its_step_size(contrast):
  changes = {"step_size_decades": 0.0, "contrast": contrast}
  noise = (
    sets(dynamics="langevin", set_size=600, **changes)[0][0]
    - sets(dynamics="sgd", set_size=600, **changes)[0][0]
  )
  assert float(noise.std()) == pytest.approx(np.sqrt(2 * 0.1), rel=0.05)


IMAGES = DataSpec("toy", (8, 8, 1), 3, (0.4,), (0.2,))
IMAGE_WEIGHTS = jax.random.normal(jax.random.key(8), (64, 3)) / 8
PROBES = jax.random.uniform(jax.random.key(9), (64, 8, 8, 1))


def flat_linear(kernel, images):
  return images.reshape(len(images), -1) @ kernel


def image_sets(scale=1.0, logit_std=2.5, **changes):
  """Pixels of sets in pixel steps, for a teacher with scaled logits."""
  teacher = from_function(flat_linear, scale * IMAGE_WEIGHTS)
  measured = teacher_scale.measure(teacher, PROBES).logit_std
  kernel = scale * IMAGE_WEIGHTS * (logit_std / float(measured))
  teacher = from_function(flat_linear, kernel)
  nets = Networks(teacher, teacher)
  fields = {"step_unit": "pixel", "start": "noise", "num_steps": 8}
  init, ask = compiled(IMAGES, **{"step_size": 0.02, **fields, **changes})
  state = init(jax.random.key(0), nets)
  _, samples, terms = ask(state, nets, None)
  answers = teacher(samples.images).logits.argmax(-1)
  return np.asarray(samples.images), samples.labels, answers, terms


@pytest.mark.parametrize("scale", [0.1, 10.0])
def test_images_do_not_depend_on_the_scale_of_the_teachers_logits(scale):
  images, *_ = image_sets()
  np.testing.assert_allclose(image_sets(scale)[0], images, atol=1e-3)
  # Without the standard deviation they do.
  other = image_sets(scale, logit_std=2.5 * scale)[0]
  assert np.abs(other - images).max() > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("scale", [0.1, 10.0])
def test_the_student_does_not_depend_on_the_scale_of_the_logits(
  scale, tmp_path
):
  spec = data.spec("mnist_5k", 32)
  network = models.init("lenet5", jax.random.key(0), spec)
  config = jaxkd.load_config("configs/cake.py:smoke")
  images = starts.probe_images(spec)

  def answers(name, teacher):
    dataset = jaxkd.Dataset.without_images(spec)
    folder = tmp_path / name
    student, _ = jaxkd.distill(teacher, config, folder, dataset=dataset)
    return jax.nn.softmax(student(images).logits)

  expected = answers("one", network)
  scaled = answers("other", models.with_logit_scale(network, scale))
  np.testing.assert_allclose(scaled, expected, atol=0.02)


def test_pixel_steps_do_not_depend_on_the_scale_of_the_loss():
  weights = {"classification": 2.0, "contrast": 0.5, "total_variation": 0.1}
  larger = {name: 1e4 * weight for name, weight in weights.items()}
  np.testing.assert_allclose(
    image_sets(weights=weights)[0], image_sets(weights=larger)[0], atol=1e-3
  )


def test_the_first_pixel_step_has_the_size_of_the_step():
  still = image_sets(step_size=1e-9, num_steps=1)[0]
  moved = image_sets(num_steps=1, step_size=1e-3, step_size_decades=0.0)[0]
  inside = (still > 0.01) & (still < 0.99)
  square = np.square(moved - still)
  # Some pixels of the whole move out of the image and are put back.
  assert 0.7e-3 < np.sqrt(square[inside].mean()) < 1.4e-3


def test_pixel_steps_stay_within_the_image_and_lower_the_loss():
  images, labels, answers, terms = image_sets(num_steps=40, step_size=0.5)
  assert images.min() >= 0 and images.max() <= 1
  images, labels, answers, terms = image_sets(num_steps=20)
  assert (terms["loss"] < terms["first_loss"]).all()
  assert (labels == answers).mean() > 0.6


def test_matched_starts_resemble_their_class_and_others_do_not():
  still = {"step_size": 1e-9, "num_steps": 1}
  _, labels, answers, _ = image_sets(start="matched", **still)
  assert (labels == answers).mean() >= 0.8
  _, labels, answers, _ = image_sets(**still)
  assert (labels == answers).mean() < 0.6


def test_noise_of_pixel_steps_is_as_large_as_the_first_step():
  changes = {"num_steps": 1, "set_size": 300, "step_size": 0.01}
  moved, *_ = image_sets(dynamics="langevin", **changes)
  plain, *_ = image_sets(**changes)
  inside = (plain[:300] > 0.1) & (plain[:300] < 0.9)
  noise = (moved - plain)[:300][inside]
  assert float(noise.std()) == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"set_size": 7}, r"set_size=7 is not a multiple of group_size=3"),
    ({"group_size": 4, "set_size": 8}, "only 3 classes"),
    ({"contrast": "pairs"}, "'pairs'"),
    ({"dynamics": "sgld"}, "'sgld'"),
    ({"num_steps": 0}, "num_steps=0"),
    ({"sets_per_round": 3}, "num_sets=4 is not a multiple of sets_per_round=3"),
    ({"weights": {"classification": 1.0}}, "weights.contrast is missing"),
    ({"set_sise": 3}, "Did you mean set_size"),
    (
      {"start": "matched", "sources": {"objects": 0.0, "strokes": 0.0}},
      "synthesis.sources: all weights are 0",
    ),
  ],
)
def test_values_that_can_not_be(changes, message):
  with pytest.raises(JaxkdError, match=message):
    build(**changes)
