"""The engine that fits a generator through a white box: slopes and turns."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxkd.models.generators.registry import Generator
from jaxkd.synthesis import first_order
from jaxkd.types import Classifier, Networks, Outputs

KEY = jax.random.key(0)
SHAPE = (2, 2, 1)


def network(seed, **modes):
  """Linear, centred by the batch in training; `modes`: the only `train`."""

  def apply(variables, images, *, train=False, rng=None):
    assert train == modes.get("train", train)
    inputs = images.reshape(len(images), -1)
    mean = inputs.mean(0) if train else variables["batch_stats"]
    changed = {"batch_stats": mean} if train else {}
    return Outputs((inputs - mean) @ variables["params"]), changed

  params = jax.random.normal(jax.random.key(seed), (4, 3))
  return Classifier({"params": params, "batch_stats": jnp.zeros(4)}, apply)


def squared(logits, targets):
  return jnp.sum((logits - targets) ** 2, -1)


def generator():
  """Linear; its running statistic is the last batch's mean."""

  def init(key):
    params = jax.random.normal(key, (5, 4))
    return {"params": params, "batch_stats": jnp.zeros(4)}

  def apply(variables, latents, *, train=True):
    pre = latents @ variables["params"]
    mean = pre.mean(0) if train else variables["batch_stats"]
    changed = {"batch_stats": mean} if train else {}
    return (pre - mean).reshape(-1, *SHAPE), changed

  return Generator(5, init, apply, lambda pre: pre)


def trainer(nets_loss=None, step_size=0.1):
  loss = nets_loss or first_order.disagreement(squared, train=False)
  return first_order.GeneratorTrainer(
    generator(), optax.sgd(step_size), loss, 6
  )


@pytest.mark.parametrize("train", [False, True])
def test_the_slope_passes_through_both_networks(train):
  loss = first_order.disagreement(squared, train=train)
  nets = Networks(network(1, train=False), network(2, train=train))
  images = jax.random.normal(KEY, (3, *SHAPE))
  way = jax.random.normal(jax.random.key(5), images.shape)
  value = jax.jit(lambda images: loss(nets, images, KEY)[0])
  slope = jnp.vdot(jax.jit(jax.grad(value))(images), way)
  difference = (value(images + 1e-2 * way) - value(images - 1e-2 * way)) / 2e-2
  np.testing.assert_allclose(difference, slope, rtol=1e-2)
  assert value(images) < 0
  distance = loss(nets, images, KEY)[1]["disagreement"]
  np.testing.assert_allclose(distance, -value(images), rtol=1e-6)


def test_equal_networks_leave_nothing_to_raise():
  nets = Networks(network(1), network(1))
  engine = trainer()
  state = engine.init(KEY, nets)
  after, terms = engine.update(state, nets, engine.latents(KEY), KEY)
  assert terms["disagreement"] == 0
  np.testing.assert_array_equal(
    after.generator.variables["params"], state.generator.variables["params"]
  )


def test_an_update_raises_the_disagreement():
  nets, engine = Networks(network(1), network(2)), trainer(step_size=0.01)
  latents = engine.latents(KEY)
  update = jax.jit(lambda state: engine.update(state, nets, latents, KEY))
  state, disagreements = engine.init(KEY, nets), []
  for _ in range(5):
    state, terms = update(state)
    disagreements.append(float(terms["disagreement"]))
  assert min(np.diff(disagreements)) > 0


@pytest.mark.parametrize("train", [False, True])
def test_fresh_images(train):
  """Every third batch follows an update; statistics are kept in training."""
  nets, engine = Networks(network(1), network(2)), trainer()
  sample_fresh = jax.jit(
    functools.partial(engine.sample_fresh, every=3, train=train)
  )
  states, batches = [engine.init(KEY, nets)], []
  for index in range(7):
    state, images = sample_fresh(
      states[-1], nets, jax.random.fold_in(KEY, index)
    )
    states.append(state)
    batches.append(np.asarray(images))
  params = [np.asarray(state.generator.variables["params"]) for state in states]
  moved = [
    bool((a != b).any()) for a, b in zip(params, params[1:], strict=False)
  ]
  assert moved == [True, False, False] * 2 + [True]
  means = [
    np.asarray(state.generator.variables["batch_stats"]) for state in states
  ]
  kept = [bool((a != b).any()) for a, b in zip(means, means[1:], strict=False)]
  assert kept == ([True] * 7 if train else moved)
  centres = [np.abs(images.mean(0)).max() for images in batches]
  assert (max(centres) < 1e-5) == train
  assert int(states[-1].step) == 7
  assert not np.array_equal(batches[1], batches[2])


def test_latents_and_dropout_have_keys_of_their_own():
  def dropped(variables, images, *, train, rng):
    kept = jax.random.bernoulli(rng, shape=images.shape)
    return network(2).apply(variables, images * kept, train=train)

  nets = Networks(network(1), network(2).replace(apply=dropped))
  engine = trainer()
  sample_fresh = jax.jit(
    functools.partial(engine.sample_fresh, every=1, train=True)
  )
  with jax.debug_key_reuse(True):
    sample_fresh(engine.init(jax.random.key(1), nets), nets, jax.random.key(2))
