"""Logits from whatever a network returns."""

import collections
import dataclasses

from flax import nnx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxkd
from jaxkd import models
from jaxkd.models.network_outputs import OutputReader, to_logits
from jaxkd.types import JaxkdError, Outputs

LOGITS = jnp.array([[0.5, -1.0, 2.0], [1.0, 0.0, -3.0]])
FEATURES = jnp.ones((2, 7))
MAPS = jnp.ones((2, 4, 4, 5))
Named = collections.namedtuple("Named", "features scores")


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Record:
  scores: jax.Array
  maps: jax.Array


@pytest.mark.parametrize(
  ("kind", "values"),
  [
    ("", LOGITS),
    ("logits", LOGITS),
    ("probabilities", jax.nn.softmax(LOGITS)),
    ("sigmoid", jax.nn.sigmoid(LOGITS)),
  ],
)
def test_kinds(kind, values):
  actual = to_logits(values, kind)
  np.testing.assert_allclose(
    jax.nn.softmax(actual), jax.nn.softmax(LOGITS), rtol=1e-5
  )


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
@pytest.mark.parametrize("kind", ["", "logits", "probabilities", "sigmoid"])
def test_one_number_for_two_classes(kind, shape):
  number = jnp.array([-1.0, 0.0, 3.0]).reshape(shape)
  probability = jax.nn.sigmoid(number)
  values = number if kind in ("", "logits") else probability
  logits = to_logits(values, kind)
  assert logits.shape == (3, 2)
  np.testing.assert_allclose(
    jax.nn.softmax(logits)[:, 1], probability.ravel(), rtol=1e-5
  )


def test_certain_probabilities_stay_finite():
  for kind in ("probabilities", "sigmoid"):
    assert np.isfinite(to_logits(jnp.array([[0.0], [1.0]]), kind)).all()
    assert np.isfinite(to_logits(jnp.array([[0.0, 1.0]]), kind)).all()


@pytest.mark.parametrize(
  ("name", "returned"),
  [
    ("", LOGITS),
    ("", (LOGITS,)),
    ("", {"any": LOGITS}),
    ("", {"features": FEATURES, "logits": LOGITS}),
    ("", {"out": {"logits": LOGITS}, "pooled": FEATURES}),
    ("", (LOGITS, MAPS)),
    ("", (LOGITS.mean(), LOGITS)),
    ("", (LOGITS.argmax(-1), LOGITS)),
    ("", {"aux": {"logits": FEATURES}, "logits": LOGITS}),
    ("", Record(LOGITS, MAPS)),
    ("", Outputs(LOGITS, (FEATURES,), (MAPS,))),
    ("0", LOGITS),
    ("0", (LOGITS, FEATURES)),
    ("1", [FEATURES, LOGITS]),
    ("scores", {"scores": LOGITS, "features": FEATURES}),
    ("1", {"features": FEATURES, "scores": LOGITS}),
    ("scores", Named(FEATURES, LOGITS)),
    ("1", Named(FEATURES, LOGITS)),
    ("-1", (FEATURES, MAPS, LOGITS)),
    ("-2", {"scores": LOGITS, "features": FEATURES}),
    ("-1", LOGITS),
    ("heads.1", Outputs(FEATURES, (FEATURES, LOGITS))),
    ("aux.0.fc", {"aux": [{"fc": LOGITS}], "main": FEATURES}),
  ],
)
def test_an_output_is_chosen(name, returned):
  outputs = OutputReader(name)(returned)
  np.testing.assert_array_equal(outputs.logits, LOGITS)


@pytest.mark.parametrize(
  ("name", "returned", "message"),
  [
    ("", (LOGITS, FEATURES), r"0 \[2, 3\], 1 \[2, 7\].*teacher.output"),
    ("", {"a": LOGITS, "b": FEATURES}, r"a \[2, 3\], b \[2, 7\]"),
    ("", LOGITS.argmax(-1), r"returned \[2\] int32; it must return logits"),
    ("", "a text", "returned a str; it must return logits"),
    ("", (), "returned a tuple; it must"),
    ("c", {"a": LOGITS, "b": FEATURES}, r"output='c': .*a \[2, 3\], b \[2"),
    ("2", (LOGITS, FEATURES), r"output='2': the network returned 0 \[2, 3\]"),
    ("1", (LOGITS, LOGITS.argmax(-1)), r"output='1': .* 1 \[2\] int32; name"),
    ("-3", (LOGITS, FEATURES), r"output='-3': the network returned 0"),
    ("1", LOGITS, r"output='1': the network returned \[2, 3\]"),
  ],
)
def test_what_is_not_clear_is_refused(name, returned, message):
  with pytest.raises(JaxkdError, match=message) as error:
    OutputReader(name)(returned)
  assert str(error.value).count("\n") < 2


class Linen(nn.Module):
  @nn.compact
  def __call__(self, x):
    x = x.reshape(len(x), -1)
    return {"features": x, "scores": nn.softmax(nn.Dense(3)(x))}


class Nnx(nnx.Module):
  def __init__(self, rngs):
    self.layer = nnx.Linear(12, 3, rngs=rngs)

  def __call__(self, x):
    x = x.reshape(len(x), -1)
    return x, nnx.softmax(self.layer(x))


def linen(**options):
  images = jnp.zeros((1, 2, 2, 3))
  variables = Linen().init(jax.random.key(0), images)
  return jaxkd.from_linen(Linen(), variables, **options)


@pytest.mark.parametrize(
  ("make", "name"),
  [
    (linen, "scores"),
    (lambda **options: jaxkd.from_nnx(Nnx(nnx.Rngs(0)), **options), 1),
    (
      lambda **options: jaxkd.from_function(
        lambda weights, x: (x, jax.nn.softmax(x.reshape(len(x), -1) @ weights)),
        jax.random.normal(jax.random.key(0), (12, 3)),
        **options,
      ),
      1,
    ),
  ],
)
def test_networks_of_every_framework(make, name):
  images = jax.random.uniform(jax.random.key(1), (4, 2, 2, 3))
  said = make(output=name, output_kind="probabilities")
  assert models.output_kind(said) == "probabilities"
  later = models.with_output(make(), str(name), "probabilities")
  for network in (said, later):
    logits = jax.jit(lambda network: network(images).logits)(network)
    assert logits.shape == (4, 3)
    assert np.isclose(jax.nn.logsumexp(logits, -1), 0, atol=1e-5).all()
  with pytest.raises(JaxkdError, match="Unknown output_kind 'softmax'"):
    make(output_kind="softmax")


def test_a_network_of_one_output_has_no_other():
  network = jaxkd.from_function(lambda _, x: x, {})
  scaled = models.with_logit_scale(network, 2.0)
  assert models.with_output(scaled, "", "") is scaled
  soft = models.with_output(scaled, "0", "sigmoid")
  assert models.output_kind(soft) == "sigmoid"
  with pytest.raises(JaxkdError, match="teacher.output='heads': .* one output"):
    models.with_output(scaled, "heads", "")
