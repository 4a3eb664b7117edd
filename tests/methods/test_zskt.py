"""ZSKT's generator raises what its student lowers, in both released orders of
steps; attention is part of the student's loss.
"""

import math
from pathlib import Path

from dense_generator import dense_generator
import jax
import jax.numpy as jnp
from method_builder import build_method
from network_weights import same
import numpy as np
import optax
import pytest
from toy_task import KEY, SPEC, network, run_rounds

import jaxkd
from jaxkd import losses, models
from jaxkd.methods import zskt
from jaxkd.models.generators.registry import create_generator
from jaxkd.synthesis import attention_maps
from jaxkd.teachers.oracles import WhiteBox
from jaxkd.types import (
  Classifier,
  JaxkdError,
  LossContext,
  Networks,
  Outputs,
  Samples,
)

CONFIGS = Path(__file__).parents[2] / "configs"
CONTEXT = LossContext(jnp.int32(0), jnp.zeros(3, jnp.int32))
HYPER = {"temperature": 1.0, "attention": 250.0}
TINY = {
  "num_rounds": 2,
  "steps_per_round": 3,
  "batch_size": 8,
  "mode": "original",
  "generator_steps": 1,
  "student_steps": 4,
  "generator": "maze",
  "latents": 4,
  "width": 2,
  "step_size": 0.01,
  "reduction": "element_mean",
  "capacity": 8,
}
DATAFREE = {"mode": "datafree", "reduction": "batch_mean"}
MODES = pytest.mark.parametrize(
  "changes", [{}, DATAFREE], ids=["original", "datafree"]
)


def build(hyper=HYPER, **changes):
  return build_method("zskt", SPEC, hyper=hyper, **{**TINY, **changes})


def attentive_apply(*modes):
  """Linear, with a map and statistics of the batch, in these modes alone."""

  def apply(variables, images, *, train=False, rng=None):
    assert train in modes
    x = images - (images.mean() if train else 0.5)
    params = variables["params"]
    logits = x.reshape(len(x), -1) @ params["kernel"]
    changed = {"batch_stats": images.mean()} if train else {}
    features = (params["mask"] * x, logits)
    return Outputs(logits, features=features), changed

  return apply


def attentive_network(seed, *modes):
  kernel_key, mask_key = jax.random.split(jax.random.key(seed))
  params = {
    "kernel": 2 * jax.random.normal(kernel_key, (16, 3)),
    "mask": jax.random.uniform(mask_key, (4, 4, 2)),
  }
  variables = {"params": params, "batch_stats": jnp.float32(0)}
  return Classifier(variables, attentive_apply(*modes or (False, True)))


TEACHER = attentive_network(1, False)  # it is never in training
NETS = Networks(TEACHER, attentive_network(2))


@pytest.fixture
def dense(monkeypatch):
  """A generator that compiles at once, in place of the published one."""
  monkeypatch.setattr(
    zskt, "create_generator", lambda *args, **fields: dense_generator()
  )


def first_rounds(method, count):
  return run_rounds(
    method, count, WhiteBox(TEACHER), NETS.student, optax.adam(0.03)
  )


def first_batch(method, nets=NETS, key=KEY):
  """`(state, samples, terms)` of the first batch."""
  ask = jax.jit(method.phases[0].ask)
  return ask(method.init(KEY, nets), nets, key)


def equal(a, b):
  pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
  return all(np.array_equal(*pair) for pair in pairs)


# The two losses.


@pytest.mark.parametrize(
  "reduction, share", [("element_mean", 1 / 3), ("batch_mean", 1)]
)
def test_the_divergence(reduction, share):
  """Of a uniform student to (1/2, 1/4, 1/4), at both temperatures."""
  for temperature in (1.0, 2.0):
    teacher = temperature * jnp.log(jnp.array([[0.5, 0.25, 0.25]]))
    divergence = zskt.divergence(
      jnp.zeros((1, 3)), teacher, reduction=reduction, temperature=temperature
    )
    expected = 0.5 * math.log(1.5) + 0.5 * math.log(0.75)
    np.testing.assert_allclose(divergence, [share * expected], rtol=1e-5)


def student_loss(student_maps, teacher_maps, beta, scale=1.0):
  """Of two images on which the logits agree."""
  logits = jnp.array([[1.0, 0.0, -1.0]] * 2)
  stored = attention_maps.stored_attention(
    Outputs(logits, features=(scale * teacher_maps,))
  )
  samples = Samples(None, jnp.zeros(2, int), logits, stored)
  hyper = {"temperature": 1.0, "attention": beta}
  outputs = Outputs(logits, features=(student_maps, logits))
  return zskt.student_loss(
    hyper, outputs, samples, CONTEXT, reduction="element_mean"
  )


def test_attention_of_each_image():
  """One looks where its teacher looks, one at another of the two places."""
  left = jnp.array([1.0, 0.0]).reshape(1, 1, 2, 1)
  student = jnp.concatenate([left, 1 - left])
  teacher = jnp.concatenate([left, left])
  np.testing.assert_allclose(
    student_loss(student, teacher, 250.0), [0, 250], atol=1e-4
  )


def test_attention_is_the_kernels_and_knows_no_scale():
  student = jax.random.normal(KEY, (2, 4, 4, 5))
  teacher = jax.random.normal(jax.random.key(1), (2, 4, 4, 3))
  expected = 7 * losses.attention_transfer_loss([student], [teacher])
  for scale in (1.0, 100.0):
    loss = student_loss(student, teacher, 7.0, scale)
    np.testing.assert_allclose(loss.mean(), expected, rtol=1e-5)


def test_without_attention_no_maps_are_stored(dense):
  plain = {"temperature": 1.0, "attention": 0.0}
  assert first_batch(build(plain))[1].extras == {}
  extras = first_batch(build())[1].extras
  assert {name: leaf.shape for name, leaf in extras.items()} == {
    "attention_000": (8, 4, 4, 1)
  }


@MODES
def test_the_generator_raises_what_the_student_lowers(changes, dense):
  """On one batch of latents, since the key stays the same."""
  method = build({"temperature": 1.0, "attention": 0.0}, **changes)
  ask = jax.jit(method.phases[0].ask)
  state, means = method.init(KEY, NETS), []
  student = NETS.student
  reduction = {**TINY, **changes}["reduction"]
  for _ in range(20):
    state = state._replace(step=0 * state.step)
    state, samples, _ = ask(state, NETS, KEY)
    outputs, _ = student.apply(
      student.variables, samples.images, train=not changes
    )
    loss = zskt.student_loss(
      method.hyper, outputs, samples, CONTEXT, reduction=reduction
    )
    means.append(float(loss.mean()))
  assert means[-1] > 1.05 * means[0]


@MODES
def test_the_student_learns(changes, dense):
  method = build(**changes, steps_per_round=100, step_size=1e-4)
  run, _ = first_rounds(method, 3)
  images = jax.random.uniform(jax.random.key(5), (500, *SPEC.shape))

  def agreement(variables):
    labels = NETS.student.apply(variables, images)[0].logits.argmax(-1)
    return np.mean(labels == TEACHER(images).logits.argmax(-1))

  assert agreement(NETS.student.variables) < 0.4
  assert agreement(run.student.variables) > 0.7

  def attention(variables):
    energy = (variables["params"]["mask"] ** 2).mean(-1)
    return energy / jnp.linalg.norm(energy)

  def distance(variables):
    gap = attention(variables) - attention(TEACHER.variables)
    return float(jnp.linalg.norm(gap))

  before = distance(NETS.student.variables)
  assert distance(run.student.variables) < 0.5 * before


# The order of the steps.


def test_original_steps_of_a_round_are_on_the_same_latents(dense):
  """A generator that hardly moves makes the same images after every step."""
  one, three = (
    first_batch(build(generator_steps=steps, step_size=1e-12))[1].images
    for steps in (1, 3)
  )
  np.testing.assert_array_equal(one, three)
  moved, moved_on = (
    first_batch(build(generator_steps=steps, step_size=0.1)) for steps in (1, 3)
  )
  assert not np.array_equal(one, moved[1].images)  # images of after the step
  assert moved_on[2]["disagreement"] > moved[2]["disagreement"]
  other = first_batch(build(step_size=1e-12), key=jax.random.key(1))[1].images
  assert not np.array_equal(one, other)


@pytest.mark.parametrize(
  "changes, generator_steps, student_steps",
  [
    pytest.param({}, 6, 24, marks=pytest.mark.slow),
    ({"generator_steps": 2}, 12, 24),
    (DATAFREE, 2, 6),  # before the updates 0 and 4
  ],
)
def test_two_rounds(changes, generator_steps, student_steps, dense):
  """Steps of both networks; answers, labels and maps are the teacher's."""
  method = build(**changes)
  run, terms = first_rounds(method, 2)
  assert all(np.isfinite(list(round_.values())).all() for round_ in terms)
  _, opt_state = run.state.generator
  counts = optax.tree.get_all_with_path(opt_state, "count")
  assert {int(count) for _, count in counts} == {generator_steps}
  assert int(run.student.step) == student_steps
  samples = run.store.samples
  outputs = TEACHER(samples.images)
  np.testing.assert_allclose(
    samples.targets, jax.nn.log_softmax(outputs.logits), atol=1e-5
  )
  np.testing.assert_array_equal(samples.labels, outputs.logits.argmax(-1))
  np.testing.assert_allclose(
    samples.extras["attention_000"],
    attention_maps.stored_attention(outputs)["attention_000"],
    atol=1e-5,
  )
  # The generator's steps leave no trace in the student's statistics.
  np.testing.assert_allclose(
    run.student.variables["batch_stats"], samples.images.mean(), rtol=1e-5
  )


@pytest.mark.parametrize("changes, train", [({}, True), (DATAFREE, False)])
def test_how_the_generator_meets_the_student(changes, train, dense):
  """In training mode in original, in evaluation mode in datafree."""
  hyper = {"temperature": 1.0, "attention": 0.0}
  first_batch(
    build(hyper, **changes), Networks(TEACHER, attentive_network(2, train))
  )
  with pytest.raises(AssertionError):
    first_batch(
      build(hyper, **changes),
      Networks(TEACHER, attentive_network(2, not train)),
    )


@MODES
def test_the_same_key_makes_the_same_images(changes, dense):
  one, again = (first_batch(build(**changes)) for _ in range(2))
  assert equal(one, again)
  other = first_batch(build(**changes), key=jax.random.key(9))
  assert not np.array_equal(one[1].images, other[1].images)


def test_gradients_are_clipped():
  """Adam's first average is a tenth of what it is given; the rate ends at 0."""
  grads = {"params": 1e3 * jnp.ones(100)}
  for mode, norm in (("original", 0.1 * 5), ("datafree", 0.5 * 1e4)):
    tx = zskt.optimiser(mode, 0.1, 10)
    _, state = tx.update(grads, tx.init(grads))
    clipped = optax.tree.norm(optax.tree.get(state, "mu"))
    assert float(clipped) == pytest.approx(norm, rel=1e-4)
  tx = zskt.optimiser("original", 0.1, 2)
  state, steps = tx.init(grads), []
  for _ in range(3):
    updates, state = tx.update(grads, state)
    steps.append(-float(updates["params"][0]))
  np.testing.assert_allclose(steps, [0.1, 0.05, 0], atol=1e-4)


# What is refused.


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"mode": "orignal"}, "Did you mean original"),
    ({"reduction": "mean"}, "element_mean, batch_mean"),
    ({"hyper": {"temperature": 1.0}}, "hyper.attention is missing"),
    ({"hyper": {**HYPER, "attention": -1.0}}, "attention=-1.0"),
    ({"hyper": {**HYPER, "temperature": 0.0}}, "temperature=0.0"),
    ({"capacity": 7}, "only 7 places"),
    ({**DATAFREE, "generator_steps": 2}, "generator_steps=2: mode=datafree"),
  ],
)
def test_values_that_can_not_be(changes, message):
  with pytest.raises(JaxkdError, match=message):
    build(**changes)


def test_networks_with_features_of_different_sizes_are_refused():
  """They are named, with their sizes and the remedy."""

  def many(variables, images, *, train=False, rng=None):
    outputs, changed = attentive_apply(False)(variables, images)
    maps = outputs.features[0]
    return outputs._replace(features=(maps, maps[:, ::2, ::2])), changed

  other = Classifier(TEACHER.variables, many, "many")
  for student, sizes in ((NETS.student, "4x4"), (network(2), "none")):
    with pytest.raises(
      JaxkdError,
      match=f"'classifier' have the sizes {sizes}, .* 'many' 4x4, 2x2;.*"
      "hyper.attention=0",
    ):
      build().init(KEY, Networks(other, student))
  with pytest.raises(
    JaxkdError, match="sizes none, those of 'classifier' none"
  ):
    build().init(KEY, Networks(network(1), network(2)))
  build({**HYPER, "attention": 0.0}).init(KEY, Networks(network(1), network(2)))


@pytest.mark.parametrize("argument, count", [
  ("dataset=cifar10", 1_051_145), ("dataset=cifar10,datafree", 4_581_955)
])  # fmt: skip
def test_the_published_generators(argument, count):
  fields = jaxkd.load_config(f"{CONFIGS}/zskt.py:{argument}").synthesis
  spec = jaxkd.DataSpec("test", (32, 32, 3), 10, (0.5,) * 3, (0.5,) * 3)
  generator = create_generator(
    fields.generator, spec, latents=fields.latents, width=fields.width
  )
  variables = jax.eval_shape(generator.init, KEY)
  assert models.count_parameters(variables) == count


# A whole run.


def run(folder, **fields):
  config = jaxkd.load_config(f"{CONFIGS}/zskt.py:smoke")
  config.image_size = 0
  config.student.model = "mlp"  # it has no maps
  config.hyper.attention = 0.0
  config.update_from_flattened_dict(fields)
  dataset = jaxkd.Dataset.without_images(SPEC)
  return jaxkd.distill(network(1), config, folder, dataset=dataset)


@pytest.mark.slow
def test_a_run_goes_on_where_it_stopped(tmp_path, stopped_at, dense):
  whole, report = run(tmp_path / "whole")
  assert report["synthesis"]["images"] == 2 * 6 * 16
  with stopped_at(1):
    run(tmp_path / "stopped")
  again, _ = run(tmp_path / "stopped")
  same(whole, again)


@pytest.mark.slow
def test_the_students_gradient_is_clipped_too(tmp_path, dense):
  """At a rate of 1, its one step is as long as the norm that is allowed."""
  fields = {
    "student.round_optimizer.name": "sgd",
    "student.round_optimizer.momentum": 0.0,
    "student.round_optimizer.learning_rate": 1.0,
    "synthesis.num_rounds": 1,
    "synthesis.steps_per_round": 1,
    "synthesis.student_steps": 1,
  }
  few, many = (
    run(
      tmp_path / str(norm),
      **fields,
      **{"student.round_optimizer.clip_norm": norm},
    )[0].variables["params"]
    for norm in (1e-3, 2e-3)
  )
  gap = jax.tree.map(lambda a, b: a - b, few, many)
  assert float(optax.tree.norm(gap)) == pytest.approx(1e-3, rel=1e-2)
