"""CAKE and LAKE: signs, scales and randomness, on a linear teacher."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd import methods
from jaxkd.types import Classifier, DataSpec, JaxkdError, Networks, Outputs

SPEC = DataSpec("toy", (2,), 3, (0.5, -0.5), (2.0, 0.5))
WEIGHTS = jax.random.normal(jax.random.key(7), (2, 3))


def linear(variables, images, *, train=False, rng=None):
  mean, std = jnp.array(SPEC.mean), jnp.array(SPEC.std)
  return Outputs((images - mean) / std @ variables["params"]), {}


NETS = Networks(Classifier({"params": WEIGHTS}, linear), Classifier({}, linear))


def build(**changes):
  fields = {
    "num_sets": 4, "set_size": 6, "group_size": 3, "num_steps": 1,
    "step_size": 0.1, "step_size_decades": 4.0,
    "weights": {
      "classification": 2.0, "contrast": 0.5, "total_variation": 0.0,
    },
    "contrast": "groups", "dynamics": "sgd", "sets_per_round": 2, **changes,
  }  # fmt: skip
  hyper = {"temperature": 1.0, "alpha": 1.0}
  return methods.build("cake", SPEC, hyper, fields)


def sets(key=0, rounds=1, **changes):
  """Inputs in the normalised space, labels and terms of some rounds."""
  method = build(**changes)
  state, rounds_made = method.init(jax.random.key(key), NETS), []
  for _ in range(rounds):
    state, samples, terms = jax.jit(method.phases[0].ask)(
      state, NETS, jax.random.key(99)
    )
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


@pytest.mark.parametrize("contrast", ["groups", "all_pairs"])
def test_langevin_adds_noise_of_its_step_size(contrast):
  changes = {"step_size_decades": 0.0, "contrast": contrast}
  noise = (
    sets(dynamics="langevin", set_size=600, **changes)[0][0]
    - sets(dynamics="sgd", set_size=600, **changes)[0][0]
  )
  assert float(noise.std()) == pytest.approx(np.sqrt(2 * 0.1), rel=0.05)


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
  ],
)
def test_values_that_can_not_be(changes, message):
  with pytest.raises(JaxkdError, match=message):
    build(**changes)
