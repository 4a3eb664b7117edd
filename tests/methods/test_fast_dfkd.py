"""FastDFKD's terms are those by hand, and its generator learns a start from
which a batch's first step is already better.
"""

from batch_norm_network import normed
from dense_generator import dense_generator
import jax
from method_builder import build_method
import numpy as np
import pytest
from toy_task import KEY, SPEC, network, start

from jaxkd import models
from jaxkd.methods import fast_dfkd
from jaxkd.pipeline.costs import round_costs
from jaxkd.synthesis import batch_statistics
from jaxkd.teachers.oracles import WhiteBox
from jaxkd.types import JaxkdError, Networks

SLOW = pytest.mark.slow
TERMS = fast_dfkd.INFO.terms
TINY = {
  "hyper": {"temperature": 20.0, "alpha": 1.0},
  "num_rounds": 3,
  "batch_size": 8,
  "num_steps": 1,
  "generator": "upsampling",
  "latents": 16,
  "width": 2,
  "step_size": 1e-3,
  "latent_step_size": 1e-2,
  "weights": {"classification": 0.5, "batch_norm": 10.0, "adversarial": 1.3},
  "momentum": 0.9,
  "warmup": 1,
  "meta": "fomaml",
  "views": (),
  "student_steps": 3,
  "student_batch_size": 4,
}
NETS = Networks(normed(1, SPEC), normed(2, SPEC))


@pytest.fixture(autouse=True)
def dense(monkeypatch):
  """A generator that compiles at once, in place of the published one."""
  monkeypatch.setattr(
    fast_dfkd, "create_generator", lambda *a, **k: dense_generator()
  )


def build(**changes):
  return build_method("fast_dfkd", SPEC, **{**TINY, **changes})


def rounds(count, nets=NETS, **changes):
  """The states before and after each, with its images and terms."""
  method = build(**changes)
  ask, state = jax.jit(method.phases[0].ask), method.init(KEY, nets)
  made = []
  for index in range(count):
    before = state
    state, *rest = ask(state, nets, jax.random.fold_in(KEY, index))
    made.append((before, state, *rest))
  return made


def moments_of(images):
  norms = batch_statistics.capture_batch_norms(NETS.teacher, images)[1]
  means = [x.mean(0) for x in norms.inputs]
  return norms, means, [x.var(0) for x in norms.inputs]


def test_the_terms_of_two_batches():
  """One step: the terms are those of the images that are kept."""
  average = None
  for _, state, samples, terms in rounds(2):
    logits = NETS.teacher(samples.images).logits
    log_p = jax.nn.log_softmax(logits)
    answers = NETS.student(samples.images).logits
    gap = np.exp(log_p) * (log_p - jax.nn.log_softmax(answers))
    agree = answers.argmax(-1) == logits.argmax(-1)
    norms, *batch = moments_of(samples.images)
    if average is None:
      average = batch
    else:
      average = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, average, batch)
    distance = 0.0
    for got, stored in zip(average, norms[1:], strict=True):
      distance += sum(map(np.linalg.norm, map(np.subtract, got, stored)))
    expected = {
      "classification": -log_p[np.arange(8), samples.labels].mean(),
      "batch_norm": distance,
      "adversarial": -np.where(agree, gap.sum(-1), 0).mean(),
    }
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
      assert terms[name] == pytest.approx(float(value), rel=1e-3), name
    for got, value in zip(
      jax.tree.leaves(state["average"]), jax.tree.leaves(average), strict=True
    ):
      np.testing.assert_allclose(got, value, rtol=1e-3, atol=1e-4)


def echo(factor):
  """Networks whose student has the teacher's logits times a factor."""
  teacher = NETS.teacher

  def logits(variables, images):
    return factor * teacher.apply(variables, images)[0].logits

  return NETS._replace(
    student=models.from_function(logits, teacher.variables, name="echo")
  )


@pytest.mark.parametrize(
  "term",
  ["classification", *(pytest.param(t, marks=SLOW) for t in TERMS[1:])],
)
def test_each_term_is_lowered_by_steps_of_its_own(term):
  weights = {**dict.fromkeys(TERMS, 0.0), term: 1.0}
  fields = {"step_size": 0.03, "weights": weights, "warmup": 0}
  few, many = (
    rounds(1, echo(0.1), num_steps=steps, **fields)[0][-1] for steps in (1, 30)
  )
  assert many[term] < few[term] - 1e-2


@pytest.mark.parametrize(
  "meta", ["fomaml", pytest.param("reptile", marks=SLOW)]
)
def test_the_generator_learns_a_start(meta):
  """The first step of a later batch is better, for its own random classes."""
  fields = {
    "weights": {**dict.fromkeys(TERMS, 0.0), "batch_norm": 1.0},
    "momentum": 0.0,
    "meta": meta,
    "step_size": 0.01,
  }
  made = rounds(60, num_steps=3, **fields)
  first = jax.jit(build(num_steps=1, **fields).phases[0].ask)
  before, after = (
    first(state, NETS, jax.random.key(9))[-1]["batch_norm"]
    for state in (made[0][0], made[-1][1])
  )
  assert after < before - 0.3


def test_a_round_is_a_copy_of_the_generator():
  """Its steps are far too long, the generator's own are not made of them."""
  (before, after, *_), *_ = rounds(1, num_steps=3, step_size=1e-12)
  own, learned = (state["generator"].variables for state in (before, after))
  for old, new in zip(
    jax.tree.leaves(own), jax.tree.leaves(learned), strict=True
  ):
    np.testing.assert_allclose(old, new, atol=1e-9)


def test_the_student_takes_part_after_the_warm_up():
  one, other = (
    rounds(2, weights={**TINY["weights"], "adversarial": weight}, num_steps=3)
    for weight in (0.0, 100.0)
  )
  learned = [
    state["generator"].variables["params"] for _, state, *_ in one + other
  ]
  assert np.array_equal(learned[0], learned[2])
  assert not np.array_equal(learned[1], learned[3])
  costs = round_costs(*start(build(), WhiteBox(NETS.teacher), NETS.student))
  assert [cost.updates for cost in costs] == [0, 3, 3]
  assert [cost.stored for cost in costs] == [8, 8, 8]


def test_a_teacher_without_batch_norms():
  nets = Networks(network(1), network(2))
  with pytest.raises(JaxkdError, match=r"weights\.batch_norm=0"):
    build().init(KEY, nets)
  method = build(weights={**TINY["weights"], "batch_norm": 0.0})
  _, _, terms = method.phases[0].ask(method.init(KEY, nets), nets, KEY)
  assert set(terms) == {"classification", "adversarial"}


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"meta": "maml"}, "meta 'maml'.*fomaml, reptile"),
    ({"num_steps": 0}, "num_steps=0"),
    ({"momentum": 1.5}, "momentum=1.5"),
  ],
)
def test_values_that_can_not_be(changes, message):
  with pytest.raises(JaxkdError, match=message):
    build(**changes)
