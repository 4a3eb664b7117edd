"""What every method promises, whatever it does: the contract of
`jaxkd.types.Method`, on networks that compile at once.
"""

import functools
from pathlib import Path

from batch_norm_network import normed
from dense_generator import dense_generator
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy_task import KEY, SPEC, Counting

import jaxkd
from jaxkd import data, methods
from jaxkd.config.run_fields import ADAPTATION
from jaxkd.pipeline import exchange
from jaxkd.pipeline.host_exchange import make_host_round
from jaxkd.pipeline.method import build_method
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
  "hyper.attention": 0.0,  # the toy's networks have no maps
}


def config_of(name):
  config = jaxkd.load_config(f"{ROOT}/configs/{name}.py:smoke")
  for field, value in SMALL.items():
    block, field = field.split(".")
    if field in config[block]:
      config[block][field] = value
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


class Game:
  """A method with everything that its rounds need."""

  def __init__(self, name):
    config = config_of(name)
    # The strawman is for points in the plane.
    self.spec = data.spec("two_moons") if name == "generative" else SPEC
    self.method = build_method(config, self.spec, reserved=0, num_images=40)
    self.access = self.method.required_access
    self.config, tx = config, optax.adam(0.01)
    self.student = normed(2, self.spec)
    self.network = evaluated(normed(1, self.spec))
    self.teacher = (
      WhiteBox(self.network)
      if self.access == "white_box"
      else BlackBox(self.network, self.access, eight_bit=False)
    )
    self.rules = exchange.RoundSpec(
      self.method,
      TrainConfig(self.student.apply, tx, self.method.objective),
      self.spec,
      self.access,
    )
    images = jax.random.uniform(jax.random.key(5), (40, *self.spec.shape))
    labels = jnp.arange(40) % self.spec.num_classes
    self.table = exchange.RoundInputs(
      self.teacher,
      self.student,
      {name: jnp.float32(value) for name, value in self.method.hyper.items()},
      Samples(images, labels) if self.method.real_images else None,
    )

  @functools.cached_property
  def round(self):
    """One program for all rounds: it takes nothing of another shape or type."""
    play_round = jax.jit(functools.partial(exchange.run_round, self.rules))
    return play_round.lower(self.opening(), self.table, KEY).compile()

  def opening(self):
    state = init_state(self.student, self.rules.train_config.tx)
    return exchange.init_state(self.rules, self.table, state, KEY)

  def play(self, rounds, key=KEY):
    """What is left after some rounds, and their terms."""
    play, found = self.opening(), []
    for index in range(rounds):
      play, terms = self.round(play, self.table, jax.random.fold_in(key, index))
      found.append(terms)
    return play, found


@functools.cache
def game(name):
  with pytest.MonkeyPatch.context() as patch:
    module = methods.find(name)
    if hasattr(module, "create_generator"):
      patch.setattr(
        module, "create_generator", lambda *args, **fields: dense_generator()
      )
    return Game(name)


every_method = pytest.mark.parametrize("name", NAMES)
# These take long to compile, and have tests of the same in their own files.
SLOW = (
  "cake",
  "cmi",
  "dafl",
  "deepinversion",
  "generative",
  "ideal",
  "maze",
  "zsdb3kd",
  "zskt",
)


@pytest.mark.parametrize(
  "name",
  [
    pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [])
    for name in NAMES
  ],
)
def test_rounds(name):
  """One key, one run; another key, other images; all finite, and nobody is
  touched who was not to be.
  """
  found = game(name)
  before = jax.tree.map(np.array, found.network.variables)
  rounds = min(found.method.rounds, 2)
  play, terms = found.play(rounds)
  same(found.play(rounds)[0], play)
  if not found.method.real_images:
    other, _ = found.play(rounds, jax.random.key(9))
    images = [np.asarray(each.store.samples.images) for each in (play, other)]
    assert not np.array_equal(*images)
  for leaf in jax.tree.leaves((play.student, terms, play.store.samples)):
    if jnp.issubdtype(leaf.dtype, jnp.floating):
      assert np.isfinite(leaf).all()
  same(before, found.network.variables)
  learns = any(phase.student_steps for phase in found.method.phases)
  assert (int(play.student.step) > 0) == learns
  if not learns:
    same(found.student.variables, play.student.variables)
  check_samples(found, play.store, rounds)


def check_samples(found, store, rounds):
  """Shapes, places and labels, as many as the bills say."""
  samples, kept = store.samples, int(store.inserted)
  bills = exchange.round_costs(found.rules, found.opening(), found.table)
  assert kept == sum(bill.kept for bill in bills[:rounds])
  assert len(samples.labels) == found.method.capacity
  assert samples.images.shape[1:] == found.spec.shape
  held = min(kept, found.method.capacity)
  classes, targets = found.spec.num_classes, np.asarray(samples.targets[:held])
  labels = np.asarray(samples.labels[:held])
  assert ((labels >= -1) & (labels < classes)).all()
  if targets.ndim == 1:
    assert ((targets >= 0) & (targets < classes)).all()
  else:
    assert targets.shape == (held, classes)


BLACK_BOX = [
  name for name in NAMES if methods.find(name).INFO.access != "white_box"
]


@pytest.mark.slow
@pytest.mark.parametrize("name", BLACK_BOX)
def test_the_teacher_is_asked_as_often_as_declared(name):
  found = game(name)
  counting = Counting(found.teacher)
  rules, table = found.rules, found.table.replace(teacher=None)
  play_round = make_host_round(rules, counting)
  opening = exchange.init_state(
    rules, table, init_state(found.student, rules.train_config.tx), KEY
  )
  play_round(opening, table, jax.random.fold_in(KEY, 0))
  (bill, *_) = exchange.round_costs(rules, opening, table)
  assert counting.asked == bill.queries


@pytest.mark.parametrize("name", ["cake", "dafl", "deepinversion", "zskt"])
@pytest.mark.parametrize(
  ("hyper", "told"),
  [
    ({"temperature": 0.0}, "temperature=0"),
    ({"temprature": 1.0}, "temprature"),
  ],
)
def test_numbers_of_the_objective_are_checked(name, hyper, told):
  config = config_of(name)
  config.hyper.update(hyper)
  with pytest.raises(JaxkdError, match=told):
    build_method(config, SPEC, reserved=0, num_images=40)


@every_method
def test_facts_are_true(name):
  """The row of the README's table."""
  module, found = methods.find(name), game(name)
  assert found.method.required_access == module.INFO.access
  weights = found.config.synthesis.get("weights")
  if weights is not None:
    assert set(module.INFO.terms) == set(weights)
  assert bool(module.INFO.critic) != bool(found.method.real_images)


@every_method
def test_images_that_are_made_can_be_left_as_they_began(name):
  """The fields that move images are there, and all are numbers above 0."""
  info, config = methods.info(name), config_of(name)
  flat = config.synthesis.to_dict() | {
    f"{block}.{field}": value
    for block, fields in config.synthesis.items()
    if hasattr(fields, "items")
    for field, value in fields.items()
  }
  assert all(flat[field] > 0 for field in info.image_steps)
  assert bool(info.image_steps) != (info.source == "real images")


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
