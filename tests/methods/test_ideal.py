"""IDEAL on 8x8 images: what a round asks, keeps and changes."""

from dense_generator import dense_generator
import jax
import jax.numpy as jnp
from method_builder import build_method
import numpy as np
import pytest

from jaxkd import losses, models
from jaxkd.methods import ideal
from jaxkd.training import sample_store as stores
from jaxkd.types import DataSpec, JaxkdError, Networks, Samples

SPEC = DataSpec("tiny", (8, 8, 1), 3, (0.2,), (0.3,))
DEFAULTS = {
  "hyper": {},
  "budget": 24,
  "num_rounds": 0,
  "batch_size": 6,
  "num_steps": 3,
  "generator": "upsampling",
  "latents": 4,
  "width": 4,
  "step_size": 0.05,
  "tones": "plain",
  "weights": {"classification": 1.0, "balance": 5.0},
  "balance": "batch",
  "restart": True,
  "mode": "label_once",
  "passes": 2,
  "pass_batch_size": 4,
  "views": (),
  "student_loss": "cross_entropy",
  "labels": "teacher",
  "source": "generator",
  "ensemble": 0,
  "extra_images": 0,
}


@pytest.fixture
def dense(monkeypatch):
  monkeypatch.setattr(
    ideal, "create_generator", lambda *a, **k: dense_generator(side=8)
  )


def build(**changes):
  return build_method("ideal", SPEC, **{**DEFAULTS, **changes})


@pytest.fixture(scope="module")
def untrained():
  return models.init("mlp", jax.random.key(7), SPEC)


@pytest.fixture
def student(untrained, dense):
  """Of rounds whose generator compiles at once."""
  return untrained


def ask(method, student, state=None, key=0):
  nets = Networks(None, student)
  if state is None:
    state = method.init(jax.random.key(1), nets)
  return jax.jit(lambda state, key: method.phases[0].ask(state, nets, key))(
    state, jax.random.key(key)
  )


def test_rounds_follow_from_the_budget():
  assert build().rounds == 4
  assert build().capacity == 24
  # Two passes over 6, 12 and 18 images, in batches of 4 that are filled up.
  assert build(mode="relabel", budget=2 * (8 + 12 + 20)).rounds == 3
  assert build(mode="relabel", budget=2 * (8 + 12 + 20) - 1).rounds == 2
  assert build(num_rounds=9).rounds == 9
  with pytest.raises(JaxkdError, match=r"budget=5 .* costs 6"):
    build(budget=5)


def test_who_is_asked_in_which_phase():
  def queries(**changes):
    return [phase.queries for phase in build(**changes).phases]

  assert queries() == [True, False]
  assert queries(mode="relabel") == [False, True]
  assert queries(mode="algorithm1") == [True]
  assert queries(labels="meant") == [False, False]


def test_a_white_box_answers_the_stored_images_of_relabelled_views(student):
  teacher = models.init("mlp", jax.random.key(8), SPEC)
  method = build(mode="relabel")
  nets = Networks(teacher, student)
  state = method.init(jax.random.key(1), nets)
  _, samples, _ = method.phases[0].ask(state, nets, jax.random.key(0))
  answers = jax.nn.log_softmax(teacher(samples.images).logits)
  np.testing.assert_allclose(samples.targets, answers, rtol=1e-5)


def test_a_white_box_answers_real_images_of_eight_bits(student):
  teacher = models.init("mlp", jax.random.key(8), SPEC)
  images = jnp.arange(6 * 64, dtype=jnp.uint8).reshape(6, 8, 8, 1)
  data = Samples(images, jnp.full(6, -1))
  method = build(mode="relabel", source="real")
  nets = Networks(teacher, student, data=data)
  state = method.init(jax.random.key(1), nets)
  _, samples, _ = method.phases[0].ask(state, nets, jax.random.key(0))
  answers = jax.nn.log_softmax(teacher(samples.images / 255.0).logits)
  np.testing.assert_allclose(samples.targets, answers, rtol=1e-5)


def test_the_classes_meant_are_balanced(student):
  _, samples, _ = ask(build(batch_size=7), student)
  counts = np.bincount(samples.labels, minlength=3)
  assert sorted(counts) == [2, 2, 3]


def test_images_are_pixels_and_steps_bring_them_to_their_class(student):
  _, samples, few = ask(build(num_steps=1), student)
  _, _, many = ask(build(num_steps=20), student)
  assert samples.images.min() >= 0 and samples.images.max() <= 1
  assert many["classification"] < few["classification"] - 0.05


def test_a_new_generator_every_round_forgets_the_last(student):
  method = build()
  first, *_ = ask(method, student, key=0)
  after, fresh = (
    ask(method, student, state, key=5)[1].images for state in (first, None)
  )
  np.testing.assert_array_equal(after, fresh)
  method = build(restart=False)
  first, *_ = ask(method, student, key=0)
  after, fresh = (
    ask(method, student, state, key=5)[1].images for state in (first, None)
  )
  assert np.abs(after - fresh).max() > 1e-3


def test_without_steps_the_images_are_those_of_a_random_generator(student):
  state, samples, _ = ask(build(num_steps=0, restart=False), student)
  start = build(restart=False).init(jax.random.key(1), Networks(None, student))
  jax.tree.map(
    np.testing.assert_array_equal, state["generator"], start["generator"]
  )
  assert samples.images.std() > 0


def test_the_balance_term_is_the_one_asked_for(student):
  _, _, batch = ask(build(num_steps=1), student)
  _, _, sample = ask(build(num_steps=1, balance="sample"), student)
  assert batch["classification"] == pytest.approx(sample["classification"])
  # The mean of entropies is at most the entropy of the mean.
  assert batch["balance"] < sample["balance"] < 0


def test_the_codes_balance_term_stops_short_of_certainty():
  """The card's optimum of CE + 5 mean p ln p at ten classes: p_y = .6789."""

  def loss(margin):
    logits = jnp.zeros(10).at[0].set(margin)
    return -jax.nn.log_softmax(logits)[0] + 5 * losses.entropy_loss(logits)

  margin = jnp.log(0.6789 / ((1 - 0.6789) / 9))
  assert abs(jax.grad(loss)(margin)) < 1e-3
  assert abs(jax.grad(loss)(margin + 1)) > 0.02


def test_passes_show_stored_answers_and_every_image_as_often(student):
  method = build(views=("crop",))
  like = Samples(jnp.zeros((6, 8, 8, 1), jnp.uint8), jnp.zeros(6, jnp.int32))
  like = like._replace(targets=jnp.arange(6, dtype=jnp.int32))
  store = stores.insert(stores.init(24, like), like)
  nets = Networks(None, student, store)
  state = method.init(jax.random.key(0), nets)
  repeats = method.phases[1].repeats(store.inserted)
  assert repeats == 2 * 2  # two passes over two batches of four
  seen = []
  for index in range(4):
    state, samples, _ = method.phases[1].ask(state, nets, jax.random.key(index))
    seen.append(np.asarray(samples.targets))
  for one_pass in (seen[:2], seen[2:]):
    assert set(np.concatenate(one_pass)) == set(range(6))
  assert (np.sort(seen[0]) != np.sort(seen[2])).any()


def test_passes_are_shuffled_by_a_stream_of_their_own(student):
  """Not by the key that a round's images are made with, or parts of it."""
  key = jax.random.key(3)
  state, *_ = ask(build(), student, key=3)
  used = jax.random.key_data(jax.random.split(jax.random.split(key)[0], 5))
  used = [
    *used,
    *jax.random.key_data(jnp.array([key, jax.random.split(key)[0]])),
  ]
  shuffles = jax.random.key_data(state["passes"].key)
  assert not any((shuffles == each).all() for each in used)


@pytest.mark.parametrize(
  "changes",
  [
    {"mode": "label_twice"},
    {"balance": "class"},
    {"tones": "light"},
    {"student_loss": "hinge"},
    {"labels": "none"},
    {"source": "cifar"},
    {"weights": {"classification": 1.0}},
    {"batch_size": 0},
    {"num_steps": -1},
    {"student_loss": "ldam", "mode": "relabel"},
    {"labels": "meant", "mode": "algorithm1"},
    {"generator": "stylegan"},
  ],
)
def test_what_can_not_be_is_named(changes):
  with pytest.raises(JaxkdError, match=next(iter(changes))):
    build(**changes)
