"""DD has one distance, which the generator raises and the student lowers."""

from pathlib import Path

from dense_generator import dense_generator
import jax
import jax.numpy as jnp
from method_builder import build_method
from network_weights import same
import numpy as np
import optax
import pytest
from toy_task import KEY, SPEC, linear, network, run_rounds

import jaxkd
from jaxkd import models
from jaxkd.methods import dd
from jaxkd.models.generators.registry import create_generator
from jaxkd.synthesis import first_order
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
TINY = {
  "hyper": {},
  "num_rounds": 2,
  "steps_per_round": 7,
  "batch_size": 8,
  "student_steps": 5,
  "generator": "dafl",
  "latents": 4,
  "width": 2,
  "optimizer": {
    "name": "adam", "learning_rate": 0.01, "schedule": "constant",
    "weight_decay": 0.0, "clip_norm": 0.0,
  },
  "capacity": 32,
}  # fmt: skip


def build(**changes):
  return build_method("dd", SPEC, **{**TINY, **changes})


def only(seed, mode):
  """A network that is an error in any other mode of training."""

  def apply(variables, images, *, train=False, rng=None):
    assert train == mode
    return linear(variables, images)

  return Classifier(network(seed).variables, apply)


TEACHER = only(1, False)
NETS = Networks(TEACHER, only(2, True))


@pytest.fixture
def dense(monkeypatch):
  """A generator that compiles at once, in place of the published one."""
  monkeypatch.setattr(
    dd, "create_generator", lambda *args, **fields: dense_generator()
  )


def first_rounds(method, count):
  return run_rounds(method, count, WhiteBox(TEACHER), tx=optax.adam(0.03))


def loss(samples, student):
  outputs = linear(student.variables, samples.images)[0]
  return dd.student_loss({}, outputs, samples, CONTEXT)


def test_the_distance_is_that_of_logits():
  """Their common part counts, which probabilities do not have."""
  student, teacher = jnp.array([[1.0, 0.0, 3.0]]), jnp.array([[1.0, -1.0, 1.0]])
  samples = Samples(None, jnp.zeros(1, int), teacher)
  for shift, expected in ((0.0, 1.0), (2.0, (2 + 3 + 4) / 3)):
    distance = dd.student_loss({}, Outputs(student + shift), samples, CONTEXT)
    np.testing.assert_allclose(distance, [expected], rtol=1e-6)


def test_generator_and_student_have_opposite_slopes(dense):
  """The slope of the images is the same for both, but for the sign."""
  method = build()
  _, samples, _ = jax.jit(method.phases[0].ask)(
    method.init(KEY, NETS), NETS, KEY
  )

  def of_student(images):
    return loss(
      samples._replace(images=images, targets=TEACHER(images).logits),
      network(2),
    ).mean()

  slope = jax.jit(jax.grad(of_student))(samples.images)
  disagreement = first_order.disagreement(dd.distance, train=True)
  other = jax.grad(lambda images: disagreement(NETS, images, KEY)[0])
  np.testing.assert_allclose(-slope, jax.jit(other)(samples.images), atol=1e-6)
  assert float(jnp.abs(slope).max()) > 0


def test_the_generator_raises_it(dense):
  """On latents that it has not seen, of which a few alone would not tell."""
  method = build(batch_size=32)
  ask = jax.jit(method.phases[0].ask)
  state, losses = method.init(KEY, NETS), []
  for _ in range(20):
    state = state._replace(step=0 * state.step)
    state, samples, _ = ask(state, NETS, KEY)
    losses.append(float(loss(samples, network(2)).mean()))
  assert losses[-1] > 1.03 * losses[0]


def test_the_student_lowers_it(dense):
  method = build(steps_per_round=100, batch_size=32, num_rounds=4)
  run, terms = first_rounds(method, 4)
  assert terms[-1]["student"] < 0.3 * terms[0]["student"]
  images = jax.random.uniform(jax.random.key(5), (500, *SPEC.shape))

  def agreement(variables):
    labels = linear(variables, images)[0].logits.argmax(-1)
    return np.mean(labels == TEACHER(images).logits.argmax(-1))

  assert agreement(network(2).variables) < 0.6
  assert agreement(run.student.variables) > 0.95


def test_two_rounds(dense):
  """Steps of both networks; answers are the teacher's logits."""
  run, _ = first_rounds(build(), 2)
  _, opt_state = run.state.generator
  counts = optax.tree.get_all_with_path(opt_state, "count")
  assert {int(count) for _, count in counts} == {3}  # before 0, 5 and 10
  assert int(run.student.step) == 14
  samples = run.store.samples
  np.testing.assert_allclose(
    samples.targets, TEACHER(samples.images).logits, atol=1e-5
  )
  np.testing.assert_array_equal(samples.labels, samples.targets.argmax(-1))


def test_milestones_are_fractions_of_the_generators_updates(monkeypatch):
  steps = []
  monkeypatch.setattr(
    dd.optimisers, "optimiser", lambda block, *args: steps.append(args)
  )
  build(num_rounds=3, steps_per_round=7)
  assert steps == [(5, 1)]  # before the updates 0, 5, 10, 15 and 20


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"hyper": {"temperature": 1.0}}, "hyper.temperature: hyper has no"),
    ({"student_steps": 0}, "student_steps=0"),
    ({"capacity": 7}, "only 7 places"),
    ({"generator": "dalf"}, "Did you mean dafl"),
  ],
)
def test_values_that_can_not_be(changes, message):
  with pytest.raises(JaxkdError, match=message):
    build(**changes)


def test_the_published_generator():
  fields = jaxkd.load_config(f"{CONFIGS}/dd.py:dataset=cifar10").synthesis
  spec = jaxkd.DataSpec("test", (32, 32, 3), 10, (0.5,) * 3, (0.5,) * 3)
  generator = create_generator(
    fields.generator, spec, latents=fields.latents, width=fields.width
  )
  variables = jax.eval_shape(generator.init, KEY)
  assert models.count_parameters(variables) == 2_329_091


def run(folder):
  config = jaxkd.load_config(f"{CONFIGS}/dd.py:smoke")
  config.image_size = 0
  config.student.model = "mlp"
  dataset = jaxkd.Dataset.without_images(SPEC)
  return jaxkd.distill(network(1), config, folder, dataset=dataset)


@pytest.mark.slow
def test_a_run_goes_on_where_it_stopped(tmp_path, stopped_at, dense):
  whole, report = run(tmp_path / "whole")
  assert report["synthesis"]["images"] == 2 * 10 * 16
  with stopped_at(1):
    run(tmp_path / "stopped")
  again, _ = run(tmp_path / "stopped")
  same(whole, again)
