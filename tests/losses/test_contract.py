"""The contract of every loss kernel: values, gradients, vmap, jit, bfloat16.

The references are written out in float64 NumPy, pair by pair and term by term.
"""

import collections
from collections.abc import Callable
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd import losses

B, G, K, D = 4, 3, 5, 6


def log_softmax(z):
  z = z - z.max(-1, keepdims=True)
  return z - np.log(np.exp(z).sum(-1, keepdims=True))


def onehot(labels):
  return np.eye(K)[labels]


def ce(z, labels):
  return -(onehot(labels) * log_softmax(z)).sum(-1)


def kl(z_p, z_q):
  log_p, log_q = log_softmax(z_p), log_softmax(z_q)
  return (np.exp(log_p) * (log_p - log_q)).sum(-1)


def kd(student_logits, teacher_logits, labels, temperature, alpha):
  t = temperature
  soft = t**2 * kl(teacher_logits / t, student_logits / t)
  return alpha * soft + (1 - alpha) * ce(student_logits, labels)


def htc_targets(teacher_logits, labels, temperature, alpha):
  soft = np.exp(log_softmax(teacher_logits / temperature))
  return (1 - alpha) * onehot(labels) + alpha * soft


def htc(student_logits, teacher_logits, labels, temperature, alpha, multiplier):
  soft = multiplier * kl(teacher_logits / temperature, student_logits)
  return alpha * soft + (1 - alpha) * ce(student_logits, labels)


def scm(
  student_logits, ensemble_logits, labels, temperature, alpha, multiplier
):
  t = temperature
  soft = multiplier * kl(ensemble_logits.mean(0) / t, student_logits / t)
  return alpha * soft + (1 - alpha) * ce(student_logits, labels)


def nasty(logits, teacher_logits, labels, temperature, omega):
  t = temperature
  return ce(logits, labels) - omega * t**2 * kl(logits / t, teacher_logits / t)


def contrastive(logits, labels):
  distances = [
    ((f - g) ** 2).sum()
    for f, y in zip(logits, labels, strict=True)
    for g, z in zip(logits, labels, strict=True)
    if y != z
  ]
  return np.mean(distances) if distances else 0.0


def grouped_contrastive(logits):
  pairs = [(g, h) for g in range(G) for h in range(g + 1, G)]
  total = sum(((f[g] - f[h]) ** 2).sum() for f in logits for g, h in pairs)
  return total / (logits.shape[0] * K)


def instance_discrimination(anchors, candidates, temperature):
  z = anchors @ candidates.T / temperature
  return -np.diagonal(log_softmax(z))


def total_variation(images):
  vertical = np.abs(images[..., 1:, :, :] - images[..., :-1, :, :])
  horizontal = np.abs(images[..., 1:, :] - images[..., :-1, :])
  return vertical.mean((-3, -2, -1)) + horizontal.mean((-3, -2, -1))


def class_balance(logits):
  q = np.exp(log_softmax(logits)).mean(0)
  return np.sum([x * np.log(x) for x in q if x > 0]) / K


def entropy(logits):
  log_p = log_softmax(logits)
  return (np.exp(log_p) * log_p).mean(-1)


def batch_norm(means, variances, running_means, running_variances):
  measured, stored = means + variances, running_means + running_variances
  pairs = zip(measured, stored, strict=True)
  return sum(np.sqrt(((a - b) ** 2).sum()) for a, b in pairs)


def activation(features):
  return -np.abs(features).mean()


def disagreement(kind):
  def reference(student_logits, teacher_logits, temperature):
    s, t = student_logits / temperature, teacher_logits / temperature
    if kind == "kl":
      return kl(t, s)
    if kind == "l1":
      return np.abs(s - t).mean(-1)
    p, q = np.exp(log_softmax(t)), np.exp(log_softmax(s))
    p, q, m = (np.clip(x, 0.01, 0.99) for x in (p, q, (p + q) / 2))
    one, other = m * np.log(m / p), m * np.log(m / q)
    return (0.5 * one + 0.5 * other).sum(-1)

  return reference


def attention_transfer(student_maps, teacher_maps):
  def attention(maps):
    v = (maps**2).mean(-1).reshape(len(maps), -1)
    norm = np.sqrt((v**2).sum(-1, keepdims=True))
    return v / np.maximum(norm, 1e-12)

  pairs = zip(student_maps, teacher_maps, strict=True)
  return sum(((attention(a) - attention(b)) ** 2).mean() for a, b in pairs)


def ldam(logits, labels, class_counts, max_margin, scale):
  n = np.maximum(class_counts, 1)
  margins = max_margin * n**-0.25 / (n**-0.25).max()
  return ce(scale * (logits - onehot(labels) * margins), labels)


def class_balanced_focal(logits, labels, class_counts, beta, gamma):
  w = (1 - beta) / (1 - beta ** np.maximum(class_counts, 1))
  w = w / w.sum() * K
  z = np.where(onehot(labels) > 0, logits, -logits)
  log_p, log_rest = -np.logaddexp(0, -z), -np.logaddexp(0, z)
  return w[labels] * (-np.exp(gamma * log_rest) * log_p).sum(-1)


Shape = tuple[int, ...]


class Case(NamedTuple):
  """A loss kernel with a reference implementation and test inputs.

  Attributes:
    kernel: name in `jaxkd.losses`.
    reference: the same loss in NumPy, with the same argument names.
    floats: shapes (or lists of shapes, one per layer) of the float inputs.
    weights: traced scalars.
    labels: shape of the labels, if the kernel takes any.
    static: keyword arguments that are not traced.
    regimes: kinds of inputs to test, by the names of `draw`.
  """

  kernel: str
  reference: Callable[..., np.ndarray]
  floats: dict[str, Shape | list[Shape]]
  weights: dict[str, float] = {}
  labels: Shape | None = None
  static: dict[str, str] = {}  # noqa: RUF012
  regimes: tuple[str, ...] = ("moderate", "extreme", "ties", "offset")


SAMPLES = (2, 3)
PAIR = {"student_logits": (*SAMPLES, K), "teacher_logits": (*SAMPLES, K)}
ENSEMBLE = {"student_logits": (4, K), "ensemble_logits": (3, 4, K)}
MIX = {"temperature": 20.0, "alpha": 0.75}
STATISTICS = ("means", "variances", "running_means", "running_variances")
CASES = {
  "kd": Case("kd_loss", kd, PAIR, MIX, SAMPLES),
  "htc_targets": Case(
    "htc_targets",
    htc_targets,
    {"teacher_logits": (*SAMPLES, K)},
    MIX,
    SAMPLES,
  ),
  "htc": Case("htc_loss", htc, PAIR, MIX | {"multiplier": 5.0}, SAMPLES),
  "scm": Case("scm_loss", scm, ENSEMBLE, MIX | {"multiplier": 5.0}, (4,)),
  "nasty": Case(
    "nasty_loss",
    nasty,
    {"logits": (*SAMPLES, K), "teacher_logits": (*SAMPLES, K)},
    {"temperature": 4.0, "omega": 0.25},
    SAMPLES,
  ),
  "contrastive": Case(
    "contrastive_loss", contrastive, {"logits": (8, K)}, {}, (8,)
  ),
  "grouped_contrastive": Case(
    "grouped_contrastive_loss", grouped_contrastive, {"logits": (B, G, K)}
  ),
  # With an offset common to all features, float32 products differ by rounding
  # errors alone.
  "instance_discrimination": Case(
    "instance_discrimination_loss",
    instance_discrimination,
    {"anchors": (3, D), "candidates": (5, D)},
    {"temperature": 0.5},
    regimes=("moderate", "extreme", "ties"),
  ),
  "total_variation": Case(
    "total_variation", total_variation, {"images": (*SAMPLES, 4, 3, 2)}
  ),
  "class_balance": Case(
    "class_balance_loss", class_balance, {"logits": (B, K)}
  ),
  "entropy": Case("entropy_loss", entropy, {"logits": (*SAMPLES, K)}),
  "batch_norm": Case(
    "batch_norm_loss",
    batch_norm,
    {name: [(3,), (D,)] for name in STATISTICS},
  ),
  "activation": Case("activation_loss", activation, {"features": (B, D)}),
  "attention_transfer": Case(
    "attention_transfer_loss",
    attention_transfer,
    {
      "student_maps": [(2, 3, 3, 2), (2, 2, 2, 4)],
      "teacher_maps": [(2, 3, 3, 5), (2, 2, 2, 4)],
    },
  ),
  "ldam": Case(
    "ldam_loss",
    ldam,
    {"logits": (*SAMPLES, K)},
    {"max_margin": 0.5, "scale": 4.0},
    SAMPLES,
  ),
  "class_balanced_focal": Case(
    "class_balanced_focal_loss",
    class_balanced_focal,
    {"logits": (*SAMPLES, K)},
    {"beta": 0.75, "gamma": 0.5},
    SAMPLES,
  ),
} | {
  f"disagreement_{kind}": Case(
    "disagreement_loss",
    disagreement(kind),
    PAIR,
    {"temperature": 3.0},
    static={"kind": kind},
  )
  for kind in ("kl", "l1", "js")
}
REGIMES = [(name, regime) for name in CASES for regime in CASES[name].regimes]
every_kernel = pytest.mark.parametrize("name", CASES)
every_regime = pytest.mark.parametrize(("name", "regime"), REGIMES)


def draw(rng, regime, shape):
  return {
    "moderate": lambda: 2 * rng.normal(size=shape),
    "extreme": lambda: rng.choice([-1e4, 0.0, 1e4], size=shape),
    "ties": lambda: np.zeros(shape),
    "offset": lambda: 1e4 + rng.normal(size=shape),
  }[regime]()


def make_inputs(case, regime, dtype=jnp.float32, seed=0):
  """Returns the float inputs of a case, and its labels and counts."""
  rng = np.random.default_rng(seed)
  floats = jax.tree.map(
    lambda shape: jnp.asarray(draw(rng, regime, shape), dtype),
    case.floats,
    is_leaf=lambda node: isinstance(node, tuple),
  )
  integers = {}
  if case.labels is not None:
    integers["labels"] = jnp.asarray(rng.integers(K, size=case.labels))
  if "class_counts" in case.reference.__code__.co_varnames:
    integers["class_counts"] = jnp.array([7, 0, 1, 30, 2])
  return floats, integers


def call(case, floats, integers, weights):
  kernel = getattr(losses, case.kernel)
  return kernel(**floats, **integers, **weights, **case.static)


TRACES = collections.Counter()


@functools.cache
def compiled(name):
  """Returns `(gradients, value)` of a case, compiled once for all tests."""

  def total(floats, integers, weights):
    TRACES[name] += 1
    value = call(CASES[name], floats, integers, weights)
    return value.sum(), value

  return jax.jit(jax.grad(total, argnums=(0, 2), has_aux=True))


def test_every_public_kernel_has_a_case():
  assert {case.kernel for case in CASES.values()} == set(losses.__all__)


def assert_agrees_with_float64(value, case, floats, integers, rtol=2e-5):
  double = jax.tree.map(lambda x: np.asarray(x, np.float64), floats)
  integers = jax.tree.map(np.asarray, integers)
  expected = case.reference(**double, **integers, **case.weights)
  # Where terms of 1e4 cancel, float32 is accurate to 1e-6 of the terms.
  atol = rtol / 20 * (1.0 + np.abs(expected).max())
  np.testing.assert_allclose(value, expected, rtol=rtol, atol=atol)


@every_regime
def test_value_and_finite_gradients(name, regime):
  case = CASES[name]
  inputs = make_inputs(case, regime)
  gradients, value = compiled(name)(*inputs, case.weights)
  assert value.dtype == jnp.float32
  assert_agrees_with_float64(value, case, *inputs)
  for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
    assert jnp.isfinite(gradient).all(), jax.tree_util.keystr(path)


@every_regime
def test_bfloat16_is_computed_in_float32(name, regime):
  case = CASES[name]
  inputs = make_inputs(case, regime, jnp.bfloat16)
  value = call(case, *inputs, case.weights)
  assert value.dtype == jnp.float32
  assert_agrees_with_float64(value, case, *inputs)


@every_kernel
def test_float64_stays_float64(name):
  case = CASES[name]
  with jax.enable_x64(True):
    inputs = make_inputs(case, "moderate", jnp.float64)
    value = call(case, *inputs, case.weights)
    assert value.dtype == jnp.float64
    assert_agrees_with_float64(value, case, *inputs, rtol=1e-10)


@every_kernel
def test_vmap_is_a_loop_over_sets_and_weights(name):
  case = CASES[name]
  arguments = [
    (
      *make_inputs(case, "moderate", seed=seed),
      {name: jnp.float32(factor * w) for name, w in case.weights.items()},
    )
    for seed, factor in ((1, 1.0), (2, 0.5))
  ]
  loop = [compiled(name)(*one)[1] for one in arguments]
  stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *arguments)
  batched = jax.jit(jax.vmap(lambda *args: call(case, *args)))(*stacked)
  np.testing.assert_allclose(batched, jnp.stack(loop), rtol=1e-5, atol=1e-6)


@every_kernel
def test_one_compilation_serves_a_sweep(name):
  case = CASES[name]
  inputs = make_inputs(case, "moderate")
  compiled(name)(*inputs, case.weights)
  traces = TRACES[name]
  compiled(name)(*inputs, {k: 0.5 * w for k, w in case.weights.items()})
  assert TRACES[name] == traces


@every_kernel
def test_nothing_is_promoted_by_accident(name):
  case = CASES[name]
  inputs = make_inputs(case, "moderate", jnp.bfloat16)
  weights = {name: jnp.float32(w) for name, w in case.weights.items()}
  with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
    jax.eval_shape(lambda *args: call(case, *args), *inputs, weights)
