"""Networks of the user's own, named as module:function."""

import jax
import jax.numpy as jnp
from network_weights import same
import numpy as np
from own_code.networks import Linen
import pytest

from jaxkd import models
from jaxkd.types import DataSpec, JaxkdError

SPEC = DataSpec("points", (4,), 2, (0.5,), (0.25,))
KEY = jax.random.key(0)
IMAGES = jax.random.uniform(jax.random.key(1), (6, 4))
OWN = ("linen", "linen_with_rngs", "nnx_module", "Nnx")


def init(function, key=KEY, spec=SPEC):
  return models.init(f"own_code.networks:{function}", key, spec)


@pytest.mark.parametrize("function", OWN)
def test_an_own_network_is_initialised_by_the_key(function):
  network = init(function)
  assert network.name == f"own_code.networks:{function}"
  assert network(IMAGES).logits.shape == (6, 2)
  same(network, init(function))
  other = init(function, jax.random.key(1))
  assert not np.array_equal(network(IMAGES).logits, other(IMAGES).logits)
  assert network.apply == other.apply  # one program serves all seeds
  shapes = models.abstract(network.name, SPEC)
  assert jax.tree.map(jnp.shape, network) == jax.tree.map(jnp.shape, shapes)


def test_an_own_network_sees_normalised_images():
  network = init("linen")
  expected = Linen(2).apply(network.variables, (IMAGES - 0.5) / 0.25, False)
  np.testing.assert_allclose(network(IMAGES).logits, expected, rtol=1e-6)


@pytest.mark.parametrize("function", ["linen", "nnx_module"])
def test_an_own_network_knows_when_it_is_trained(function):
  network = init(function)
  variables = network.variables

  def train(seed):
    return network.apply(
      variables, IMAGES, train=True, rng=jax.random.key(seed)
    )

  outputs, changed = train(0)
  other, _ = train(1)
  assert not np.array_equal(outputs.logits, other.logits)  # dropout
  before = jax.tree.leaves(variables["batch_stats"])
  after = jax.tree.leaves(changed["batch_stats"])
  assert not any(map(np.array_equal, before, after))
  counters = [leaf for leaf in jax.tree.leaves(changed) if leaf.ndim == 0]
  assert counters == [1]


@pytest.mark.parametrize(
  ("name", "message"),
  [
    ("no_such_module:f", "there is no module no_such_module"),
    ("own_code.networks:absent", "own_code.networks has no function absent"),
    ("own_code.networks:number", "own_code.networks has no function number"),
    ("own_code.networks:no_spec", r"takes \(\); let it take \(spec\) or"),
    ("own_code.networks:text", "returned a str; it must return a flax.linen"),
    ("own_code.networks:frozen", r"let the function take \(spec, rngs\)"),
    ("own_code.networks:classifier", "a trained teacher in teacher"),
    ("own_code.networks:three_classes", r"logits \[2, 3\].*be \[2, 2\]"),
    ("own_code.networks:half", "bias is bfloat16"),
    ("own_code.networks:nothing", "has no parameters to train"),
    ("own_code.networks:array", "has a field that can't be hashed"),
    ("own_code.networks:growing", "changes the shape .* seen/images"),
    ("lenet", "Did you mean lenet5, .* your own is written module:function"),
  ],
)
def test_what_is_no_network_of_ones_own_is_refused_in_one_line(name, message):
  with pytest.raises(JaxkdError, match=message) as refused:
    models.init(name, KEY, SPEC)
  assert len(str(refused.value).splitlines()) == 1


def test_a_name_is_checked_without_an_initialisation():
  models.check("student.model", "mlp")
  models.check("student.model", "own_code.networks:linen")
  with pytest.raises(JaxkdError, match=r"Unknown student\.model 'mpl'"):
    models.check("student.model", "mpl")
  with pytest.raises(JaxkdError, match=r"student\.model='own_code:no'"):
    models.check("student.model", "own_code:no")
