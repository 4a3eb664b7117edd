"""Every method keeps the contract of `jaxkd.types.Method`, here with networks
that compile at once.
"""

import contextlib
import functools
import inspect
from pathlib import Path
from typing import NamedTuple

from batch_norm_network import normed
from dense_generator import dense_generator
import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy_task import SPEC, CountingTeacher

import jaxkd
from jaxkd import data, methods
from jaxkd.config.run_fields import ADAPTATION
from jaxkd.pipeline import exchange
from jaxkd.pipeline.costs import round_costs
from jaxkd.pipeline.host_exchange import make_host_round
from jaxkd.pipeline.method import build_method
from jaxkd.runtime import compile_target, devices
from jaxkd.teachers.access import shows_eight_bit
from jaxkd.teachers.oracles import BlackBox, WhiteBox
from jaxkd.training.step import TrainConfig, init_state
from jaxkd.types import JaxkdError, Samples

ROOT = Path(__file__).parents[2]
NAMES = methods.names()
# What keeps a round of the small configs below a second.
SMALL = {
  "student.batch_size": 8,
  "synthesis.batch_size": 9,
  "synthesis.num_sets": 4,
  "synthesis.sets_per_round": 2,
  "synthesis.set_size": 12,
  "synthesis.group_size": 3,
  "synthesis.num_steps": 2,
  "synthesis.steps_per_round": 2,
  "synthesis.student_steps": 2,
  "synthesis.passes": 1,
  "synthesis.jitter": 1,
  "synthesis.capacity": 40,
  "synthesis.global_views": (),
  "synthesis.local_views": ("flip",),
  "synthesis.sources": {"smooth": 1.0},
  "hyper.attention": 0.0,  # the toy's networks have no maps
}
# Students that select images.
SELECTION = {
  "candidates": 1.0,
  "mutations": 1.0,
  "members": 1,
  "visits": 20,
  "max_epochs": 3,
  "batch_size": 8,
}
every_method = pytest.mark.parametrize("name", NAMES)


def config_of(name):
  config = jaxkd.load_config(f"{ROOT}/configs/{name}.py:smoke")
  for field, value in SMALL.items():
    block, field = field.split(".")
    if field in config[block]:
      config[block][field] = value
  if "start" in config.synthesis:
    config.synthesis.start = "noise"  # compiles in a fraction of the time
  if "selection" in config.synthesis:
    config.synthesis.selection.update(SELECTION)
  if name == "knockoff":  # its students are those of `procedural`
    config.synthesis.selection.criterion = "none"
  return config


def same(a, b):
  """Bit for bit, keys included."""
  for pair in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    if jnp.issubdtype(pair[0].dtype, jax.dtypes.prng_key):
      pair = map(jax.random.key_data, pair)
    np.testing.assert_array_equal(*map(np.asarray, pair))


def evaluated(network):
  """The network, never in train mode: its running statistics are its own."""

  def apply(variables, images, *, train=False, rng=None):
    assert not train
    return network.apply(variables, images, train=False, rng=rng)

  return network.replace(apply=apply)


def counted(teacher, counts):
  """The teacher, which adds the size of each batch that it answers to a list;
  the list is complete after `jax.effects_barrier()`.
  """

  @flax.struct.dataclass
  class Counted(type(teacher)):
    def answer(self, images):
      jax.debug.callback(lambda: counts.append(len(images)))
      return super().answer(images)

  return Counted(**vars(teacher))


class Rounds(NamedTuple):
  """What the first rounds of a method left.

  Attributes:
    run: the state after them.
    terms: of the loss, of each round.
    queries: images that the teacher was shown.
  """

  run: exchange.RunState
  terms: list
  queries: int


class ToyRun:
  """A method with everything that its rounds take."""

  def __init__(self, name):
    self.config = config_of(name)
    # This one is for points in the plane.
    self.spec = data.spec("two_moons") if name == "generative" else SPEC
    self.method = build_method(
      self.config, self.spec, reserved=0, num_images=40
    )
    access = self.method.required_access
    self.config.teacher.access = access
    eight_bit = shows_eight_bit(self.config.teacher, self.spec, self.method)
    self.student = normed(2, self.spec)
    self.network = evaluated(normed(1, self.spec))
    self.teacher = (
      WhiteBox(self.network)
      if access == "white_box"
      else BlackBox(self.network, access, eight_bit=eight_bit)
    )
    self.round_spec = exchange.RoundSpec(
      self.method,
      TrainConfig(self.student.apply, optax.adam(0.01), self.method.objective),
      self.spec,
      access,
      eight_bit,
      init_student=self.other_student,
    )
    self.counts = []
    images = jax.random.uniform(jax.random.key(5), (40, *self.spec.shape))
    labels = jnp.arange(40) % self.spec.num_classes
    self.inputs = exchange.RoundInputs(
      counted(self.teacher, self.counts),
      self.student,
      {name: jnp.float32(value) for name, value in self.method.hyper.items()},
      Samples(images, labels) if self.method.real_images else None,
    )

  def other_student(self, key):
    """The student's variables, with weights that depend on a key."""
    params = jax.tree.map(
      lambda leaf: leaf + 0.1 * jax.random.normal(key, leaf.shape),
      self.student.variables["params"],
    )
    return {**self.student.variables, "params": params}

  @functools.cached_property
  def start(self):
    """`(inputs, key) -> run` before round 0."""

    def start(inputs, key):
      student = init_state(self.student, self.round_spec.train_config.tx)
      return exchange.init_state(self.round_spec, inputs, student, key)

    return jax.jit(start)

  @functools.cached_property
  def round(self):
    """One program for all rounds: it takes nothing of another shape or type."""
    key = jax.random.key(0)
    run_round = jax.jit(functools.partial(exchange.run_round, self.round_spec))
    run = jax.eval_shape(self.start, self.inputs, key)
    return run_round.lower(run, self.inputs, key).compile()

  @property
  def num_rounds(self):
    return min(self.method.rounds, 2)

  @functools.cached_property
  def costs(self):
    """Of the first rounds."""
    run = jax.eval_shape(self.start, self.inputs, jax.random.key(0))
    costs = round_costs(self.round_spec, run, self.inputs)
    return costs[: self.num_rounds]

  def rounds(self, seed):
    init_key, rounds_key = jax.random.split(jax.random.key(seed))
    run, terms = self.start(self.inputs, init_key), []
    for index in range(self.num_rounds):
      key = jax.random.fold_in(rounds_key, index)
      run, of_round = self.round(run, self.inputs, key)
      terms.append(of_round)
    jax.effects_barrier()
    queries = sum(self.counts)
    self.counts.clear()
    return Rounds(run, terms, queries)


@functools.cache
def toy_run(name):
  with pytest.MonkeyPatch.context() as patch:
    module = methods.find(name)
    if hasattr(module, "create_generator"):
      patch.setattr(
        module, "create_generator", lambda *args, **fields: dense_generator()
      )
    return ToyRun(name)


@functools.cache
def first_rounds(name):
  return toy_run(name).rounds(seed=0)


@every_method
def test_the_same_key_gives_the_same_run_bit_for_bit(name):
  same(first_rounds(name)[:2], toy_run(name).rounds(seed=0)[:2])


@pytest.mark.parametrize(
  "name", [name for name in NAMES if methods.info(name).critic]
)
def test_another_key_gives_other_images(name):
  of_keys = first_rounds(name).run, toy_run(name).rounds(seed=9).run
  one, other = (np.asarray(run.store.samples.images) for run in of_keys)
  assert not np.array_equal(one, other)


@every_method
def test_terms_images_students_and_the_methods_state_are_finite(name):
  run, terms, _ = first_rounds(name)
  for leaf in jax.tree.leaves((run.state, run.student, run.store, terms)):
    if jnp.issubdtype(leaf.dtype, jnp.floating):
      assert np.isfinite(leaf).all()


@every_method
def test_the_teacher_is_left_as_it_is(name):
  before = jax.tree.map(np.array, toy_run(name).network.variables)
  toy_run(name).rounds(seed=0)
  same(before, toy_run(name).network.variables)


@every_method
def test_the_student_is_updated_as_often_as_the_costs_say(name):
  student = first_rounds(name).run.student
  updates = sum(cost.updates for cost in toy_run(name).costs)
  assert int(student.step) == updates
  initial = weights(toy_run(name).student.variables)
  assert np.array_equal(initial, weights(student.variables)) == (not updates)


def weights(variables):
  leaves = jax.tree.leaves(variables["params"])
  return np.concatenate([np.ravel(leaf) for leaf in leaves])


@every_method
def test_the_teacher_is_shown_as_many_images_as_the_costs_say(name):
  queries = sum(cost.queries for cost in toy_run(name).costs)
  assert first_rounds(name).queries == queries


@every_method
def test_the_store_holds_what_the_costs_say(name):
  """So many images, of the right shape, with labels and targets that exist."""
  method, spec = toy_run(name).method, toy_run(name).spec
  store = first_rounds(name).run.store
  samples, kept = store.samples, int(store.inserted)
  assert kept == sum(cost.stored for cost in toy_run(name).costs)
  assert len(samples.labels) == method.capacity
  assert samples.images.shape[1:] == spec.shape
  held = min(kept, method.capacity)
  classes, targets = spec.num_classes, np.asarray(samples.targets[:held])
  labels = np.asarray(samples.labels[:held])
  assert ((labels >= -1) & (labels < classes)).all()
  if targets.ndim == 1:
    assert ((targets >= 0) & (targets < classes)).all()
  else:
    assert targets.shape == (held, classes)


@pytest.mark.slow  # compiles each phase once more
@pytest.mark.parametrize(
  "name",
  [name for name in NAMES if methods.info(name).access != "white_box"],
)
def test_a_teacher_behind_an_interface_is_shown_as_many(name):
  toy = toy_run(name)
  teacher = CountingTeacher(toy.teacher)
  run_round = make_host_round(toy.round_spec, teacher)
  inputs, key = toy.inputs.replace(teacher=None), jax.random.key(0)
  run_round(toy.start(inputs, key), inputs, key)
  assert teacher.count == toy.costs[0].queries


@pytest.mark.parametrize("name", ["cake", "dafl", "deepinversion", "zskt"])
@pytest.mark.parametrize(
  ("hyper", "message"),
  [
    ({"temperature": 0.0}, "temperature=0"),
    ({"temprature": 1.0}, "temprature"),
  ],
)
def test_numbers_of_the_objective_are_checked(name, hyper, message):
  config = config_of(name)
  config.hyper.update(hyper)
  with pytest.raises(JaxkdError, match=message):
    build_method(config, SPEC, reserved=0, num_images=40)


@every_method
def test_facts_are_true(name):
  """They are the row of the README's table."""
  info, toy = methods.info(name), toy_run(name)
  assert toy.method.required_access == info.access
  weights = toy.config.synthesis.get("weights")
  if weights is not None:
    assert set(info.terms) == set(weights)
  assert info.critic or toy.method.real_images


@every_method
def test_images_that_are_made_can_be_left_as_they_began(name):
  """The fields that move images are there, and all are numbers above 0."""
  info, config = methods.info(name), config_of(name)
  flat = config.synthesis.to_dict() | {
    f"{block}.{field}": value
    for block, values in config.synthesis.items()
    if hasattr(values, "items")
    for field, value in values.items()
  }
  assert all(flat[field] > 0 for field in info.image_steps)
  assert bool(info.image_steps) == bool(info.terms)


@every_method
def test_adaptations_are_of_white_boxes_and_complete(name):
  info = methods.info(name)
  assert set(info.adaptations) <= set(ADAPTATION.fields[0].allowed)
  assert not info.adaptations or info.access == "white_box"
  assert ("zeroth" in info.adaptations) == (info.label_objective is not None)


def test_a_method_without_facts_about_itself_is_refused():
  with pytest.raises(JaxkdError, match="the module has no INFO"):
    methods.find("own_code.networks")


def test_the_readme_has_the_table_of_methods():
  assert methods.table() in (ROOT / "README.md").read_text()


@every_method
def test_a_method_takes_the_fields_that_it_declares(name):
  module = methods.find(name)
  given = {"spec", "hyper", "budget", "num_images"}
  taken = set(inspect.signature(module.build).parameters) - given
  assert taken == {field.name for field in module.FIELDS}


# Batches that two devices can share. Differences are divided by the radius, and
# with a small one only rounding would be compared.
EVEN = {
  "synthesis.batch_size": 6,
  "synthesis.pass_batch_size": 6,
  "synthesis.student_batch_size": 6,
  "synthesis.radius": 0.5,
}


@contextlib.contextmanager
def one_device():
  """Programs that are traced in here are for the first device alone."""
  jax.clear_caches()
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(compile_target, "devices", lambda: (jax.devices()[0],))
    patch.setattr(compile_target, "device_count", lambda: 1)
    yield
  jax.clear_caches()


def first_round(name):
  """The state and terms after a round, and the text of its program."""
  # DaST's own generator makes no images as small as those of the toy.
  toy = toy_run.__wrapped__(name) if name == "dast" else ToyRun(name)
  key = jax.random.key(0)
  inputs = toy.inputs.replace(teacher=toy.teacher)
  run, inputs = devices.replicate((toy.start(inputs, key), inputs))
  program = jax.jit(
    functools.partial(exchange.run_round, toy.round_spec),
    out_shardings=devices.replicated(),
  )
  compiled = program.lower(run, inputs, key).compile()
  return compiled(run, inputs, devices.replicate(key)), compiled.as_text()


@pytest.mark.slow
@every_method
def test_devices_share_the_batches_of_a_round(name, monkeypatch):
  # Adam makes a step of its full size out of the rounding of a gradient that is
  # zero, as those of biases before a batch normalisation are.
  sgd = lambda *args, **fields: optax.sgd(0.01)  # noqa: E731
  monkeypatch.setattr(optax, "adam", sgd)
  for field, value in EVEN.items():
    monkeypatch.setitem(SMALL, field, value)
  shared, text = first_round(name)
  assert "all-reduce" in text or "all-gather" in text
  with one_device():
    alone, text = first_round(name)
  assert "all-reduce" not in text and "all-gather" not in text
  for ours, theirs in zip(
    jax.tree.leaves(shared), jax.tree.leaves(alone), strict=True
  ):
    if jnp.issubdtype(ours.dtype, jnp.floating):
      np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
