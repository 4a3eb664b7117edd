"""Training on two devices, with several seeds, and resumed, is the same
training.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxkd
from jaxkd.models import from_linen, layers
from jaxkd.pipeline import resolution
from jaxkd.runtime import checkpoints, devices
from jaxkd.runtime.metrics import MetricsWriter, read_metrics
from jaxkd.training import fit as training
from jaxkd.training.epoch import epoch_function, epoch_indices, gather
from jaxkd.training.step import (
  EpochInputs,
  TrainConfig,
  augment_batch,
  init_state,
  train_step,
)
from jaxkd.types import Classifier, JaxkdError, LossContext, Outputs, Samples


def linear(variables, images, *, train=False, rng=None):
  params = variables["params"]
  changed = {}
  if train:
    changed = {"batch_stats": {"mean": images.mean(0)}}
  return Outputs(images @ params["w"] + params["b"]), changed


def objective(hyper, outputs, samples, context):
  loss = optax.softmax_cross_entropy_with_integer_labels(
    outputs.logits, samples.labels
  )
  return hyper["scale"] * loss


def network(seed=0):
  w = 0.1 * jax.random.normal(jax.random.key(seed), (2, 3))
  params = {"w": w, "b": jnp.zeros(3)}
  return Classifier(
    {"params": params, "batch_stats": {"mean": jnp.zeros(2)}}, linear
  )


def samples(count=24):
  images = jax.random.normal(jax.random.key(5), (count, 2))
  return Samples(images, (images @ jnp.ones((2, 3))).argmax(-1).astype(int))


TX = optax.sgd(0.1, momentum=0.9)
RECIPE = TrainConfig(linear, TX, objective)


def stacked(*seeds):
  states = [init_state(network(seed), TX) for seed in seeds]
  return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)


def fit(workdir, states=None, epochs=3, data=None, recipe=RECIPE, **changes):
  with MetricsWriter(workdir) as metrics:
    return training.fit(
      "student",
      recipe,
      stacked(0) if states is None else states,
      samples() if data is None else data,
      **{
        "epochs": epochs,
        "batch_size": 8,
        "num_classes": 3,
        "hyper": {"scale": 1.0},
        "key": jax.random.key(3),
        "teacher": None,
        "workdir": workdir,
        "metrics": metrics,
        "hint": "student.optimizer.learning_rate",
        **changes,
      },
    )


def test_an_epoch_equals_a_plain_loop_on_one_device(tmp_path):
  states = fit(tmp_path, epochs=1)
  shuffle_key, _ = jax.random.split(jax.random.fold_in(jax.random.key(3), 0))
  order = jax.random.permutation(shuffle_key, 24).reshape(3, 8)
  state = init_state(network(), TX)
  inputs = EpochInputs(
    {"scale": 1.0}, LossContext(jnp.int32(0), jnp.zeros(3)), jax.random.key(0)
  )
  step = jax.jit(train_step, static_argnums=0)
  for rows in order:
    batch = jax.tree.map(lambda leaf, rows=rows: leaf[rows], samples())
    state, _ = step(RECIPE, state, batch, inputs, jax.random.key(0))
  for found, expected in zip(
    jax.tree.leaves(states.variables),
    jax.tree.leaves(state.variables),
    strict=True,
  ):
    np.testing.assert_allclose(found[0], expected, atol=1e-6)


def test_every_sample_is_seen_once_an_epoch():
  order = epoch_indices(jax.random.key(0), 24, 8)
  assert order.shape == (2, 3, 4)
  assert sorted(order.ravel()) == list(range(24))
  batch = gather(samples(), order[1, 2])
  np.testing.assert_array_equal(batch.images, samples().images[order[1, 2]])


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_seeds_train_together_as_alone(tmp_path, monkeypatch, backend):
  """By turns on the CPU; elsewhere under one vmap, here on the CPU as well."""
  epoch_function.cache_clear()
  with monkeypatch.context() as patch:
    patch.setattr(devices.jax, "default_backend", lambda: backend)
    both = fit(tmp_path / "both", stacked(0, 1))
  epoch_function.cache_clear()
  for index, seed in enumerate((0, 1)):
    alone = fit(tmp_path / str(seed), stacked(seed))
    np.testing.assert_allclose(
      both.variables["params"]["w"][index],
      alone.variables["params"]["w"][0],
      atol=1e-6,
    )


def test_a_stopped_training_goes_on_to_the_same_bits(tmp_path):
  whole = fit(tmp_path / "whole", epochs=4)
  checkpoints._stop.set()
  try:
    with pytest.raises(checkpoints.Preempted):
      fit(tmp_path / "parts", epochs=4)
  finally:
    checkpoints._stop.clear()
  parts = fit(tmp_path / "parts", epochs=4)
  for found, expected in zip(
    jax.tree.leaves(parts), jax.tree.leaves(whole), strict=True
  ):
    np.testing.assert_array_equal(found, expected)
  steps = [record["step"] for record in read_metrics(tmp_path / "parts")]
  assert steps == [1, 2, 3, 4]


def test_teachers_that_are_asked_per_view_see_what_the_student_sees(tmp_path):
  def pixels(variables, images, *, train=False, rng=None):
    return linear(variables, images.reshape(len(images), -1)[:, :2])

  def distance(hyper, outputs, batch, context):
    answers = jax.nn.log_softmax(outputs.logits)
    return jnp.abs(answers - batch.targets).sum(-1)

  teacher = network(9).replace(apply=pixels)
  still = optax.sgd(0.0)  # so that the student stays a copy of the teacher
  states = jax.tree.map(lambda leaf: leaf[None], init_state(teacher, still))
  images = jax.random.uniform(jax.random.key(1), (16, 2, 2, 1))
  stale = jnp.full((16, 3), jnp.nan)
  batch = Samples(images, jnp.zeros(16, int), stale)
  train_config = TrainConfig(pixels, still, distance, ("flip",), per_view=True)
  shown = augment_batch(train_config, batch, jax.random.key(2))
  assert 0 < np.sum(np.any(shown.images != images, axis=(1, 2, 3))) < 16
  context = LossContext(jnp.int32(0), jnp.zeros(3))
  inputs = EpochInputs({}, context, jax.random.key(0), teacher)
  order = epoch_indices(jax.random.key(3), 16, 8)
  _, loss = epoch_function(train_config)(states, (inputs, batch), order)
  np.testing.assert_allclose(loss, 0, atol=1e-6)


def test_points_of_a_grid_train_together_as_alone(tmp_path):
  scales = jnp.array([0.5, 2.0])
  both = fit(tmp_path / "both", stacked(0, 0), hyper={"scale": scales})
  for index, scale in enumerate(scales):
    alone = fit(tmp_path / f"{index}", hyper={"scale": scale})
    np.testing.assert_allclose(
      both.variables["params"]["w"][index],
      alone.variables["params"]["w"][0],
      atol=1e-6,
    )


def test_one_network_of_several_may_diverge(tmp_path):
  scales = jnp.array([jnp.nan, 1.0])
  both = fit(tmp_path / "both", stacked(0, 0), hyper={"scale": scales})
  alone = fit(tmp_path / "alone")
  found = both.variables["params"]["w"]
  assert np.isnan(found[0]).all()
  np.testing.assert_allclose(
    found[1], alone.variables["params"]["w"][0], atol=1e-6
  )


def test_batch_statistics_are_averaged_over_devices(tmp_path):
  states = fit(tmp_path, epochs=1, batch_size=24)
  np.testing.assert_allclose(
    states.variables["batch_stats"]["mean"][0],
    samples().images.mean(0),
    atol=1e-6,
  )


class Normalised(nn.Module):
  @nn.compact
  def __call__(self, images, train=False):
    hidden = layers.Dense(5)(images)
    hidden = layers.batch_norm(train=train, dtype=jnp.float32)()(hidden)
    return layers.Dense(3)(nn.relu(hidden))


def normalised_epoch(synchronized, networks=1):
  """Variables after an epoch on two devices, and after the same on one that
  sees whole batches.
  """
  module = Normalised()
  variables = module.init(jax.random.key(1), jnp.zeros((1, 2)))
  network = from_linen(module, variables)
  train_config = TrainConfig(
    network.apply, TX, objective, synchronized=synchronized
  )
  order = epoch_indices(jax.random.key(2), 24, 8)
  inputs = EpochInputs(
    {"scale": jnp.ones(networks)}, LossContext(jnp.int32(0), jnp.zeros(3)),
    jax.random.key(3),
  )  # fmt: skip
  state = init_state(network, TX)
  states = jax.tree.map(lambda leaf: jnp.stack([leaf] * networks), state)
  states, _ = epoch_function(train_config)(states, (inputs, samples()), order)
  inputs = inputs._replace(hyper={"scale": 1.0})
  alone = jax.jit(train_step, static_argnums=0)
  for step in range(3):
    batch = gather(samples(), order[:, step].ravel())
    state, _ = alone(
      train_config._replace(synchronized=False),
      state,
      batch,
      inputs,
      inputs.key,
    )
  return (
    jax.tree.map(lambda leaf: leaf[-1], states.variables),
    state.variables,
  )


@pytest.mark.parametrize(
  ("synchronized", "networks"), [(True, 1), (True, 2), (False, 2)]
)
def test_batch_norm_of_whole_batches(synchronized, networks):
  """Of one network if it is synchronised, and of two, a device for each."""
  found, expected = normalised_epoch(synchronized, networks)
  for one, other in zip(
    jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
  ):
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_batch_norm_of_each_device_is_another():
  found, expected = normalised_epoch(synchronized=False)
  statistics = [
    tree["batch_stats"]["BatchNorm_0"] for tree in (found, expected)
  ]
  np.testing.assert_allclose(
    statistics[0]["mean"], statistics[1]["mean"], atol=0.05
  )
  assert np.abs(statistics[0]["var"] - statistics[1]["var"]).max() > 1e-3


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_an_unknown_batch_norm_is_refused(role):
  config = jaxkd.load_config("configs/cake.py:dataset=two_moons,smoke")
  config[role].batch_norm = "synchronised"
  with pytest.raises(JaxkdError, match=f"{role}.batch_norm .*synchronized"):
    resolution.resolve(config)


def test_a_loss_that_is_not_finite_is_told(tmp_path):
  with pytest.raises(
    JaxkdError, match="stage student is .* 1, on .*pixels from .* lower student"
  ):
    fit(tmp_path, hyper={"scale": float("nan")})


def test_batch_sizes_split_over_the_devices():
  assert devices.mesh().size == 2
  assert training.check_batch_size(8, 100, "x") == 8
  assert training.check_batch_size(8, 5, "x") == 4
  with pytest.raises(JaxkdError, match="x=7 .* multiple of 2"):
    training.check_batch_size(7, 100, "x")


def test_networks_drop_out_what_they_would_together(tmp_path):
  def dropping(variables, images, *, train=False, rng=None):
    kept = jax.random.bernoulli(rng, shape=images.shape)
    return linear(variables, images * kept, train=train)

  recipe = RECIPE._replace(apply=dropping)
  # As many as the devices divide, so that each sees whole batches.
  together = fit(tmp_path / "together", stacked(0, 0, 0, 0), recipe=recipe)
  apart = fit(tmp_path / "apart", stacked(0, 0), recipe=recipe, first=2)
  expected = together.variables["params"]["w"]
  assert not np.allclose(expected[0], expected[2])
  np.testing.assert_allclose(
    apart.variables["params"]["w"], expected[2:], atol=1e-6
  )
