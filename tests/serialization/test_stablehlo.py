"""Classifiers from `jax.export` artefacts."""

import functools

import jax
from jax import export
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd import models
from jaxkd.errors import JaxkdError
from jaxkd.export.stablehlo import serialize
from jaxkd.serialization import weights
from jaxkd.serialization.stablehlo import from_export
from jaxkd.synthesis import batch_statistics
from jaxkd.teachers.oracles import WhiteBox
from jaxkd.types import DataSpec

SPEC = DataSpec("tiny", (8, 8, 1), 3, (0.2,), (0.3,))


@functools.cache
def network(seed):
  return models.init("ideal_lenet", jax.random.key(seed), SPEC)


@functools.cache
def blob(seed):
  return serialize(network(seed), SPEC)


@functools.cache
def exported(seed):
  return from_export(blob(seed), SPEC)


def images(*axes):
  return jax.random.uniform(jax.random.key(1), (*axes, *SPEC.shape))


def close(actual, expected):
  np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("count", [1, 5])
def test_logits_are_those_of_the_network(count):
  actual = exported(0)(images(count)).logits
  assert actual.dtype == jnp.float32
  close(actual, network(0)(images(count)).logits)


def loss(classifier, images, labels):
  """Returns the cross entropy plus the distances of logits of a set."""
  logits = classifier(images).logits
  likely = jax.nn.log_softmax(logits)
  right = jnp.take_along_axis(likely, labels[:, None], -1).mean()
  return jnp.square(logits[:, None] - logits[None]).sum() - right


def ascend(classifier, images, labels):
  """Takes three gradient steps in a loop, as CAKE does."""

  def step(images, _):
    return images - 0.1 * jax.grad(loss, 1)(classifier, images, labels), None

  return jax.lax.scan(step, images, length=3)[0]


@jax.jit
def synthesise(classifier, sets, labels):
  return jax.vmap(ascend, (None, 0, 0))(classifier, sets, labels)


def test_sets_of_images_are_optimised_through_an_artefact():
  labels = jnp.arange(8).reshape(2, 4) % 3
  actual = synthesise(exported(0), images(2, 4), labels)
  assert abs(actual - images(2, 4)).max() > 1e-3
  close(actual, synthesise(network(0), images(2, 4), labels))


def test_gradients_of_mapped_calls():
  def total(classifier, sets):
    return jax.vmap(lambda some: loss(classifier, some, jnp.arange(4) % 3))(
      sets
    ).sum()

  gradient = jax.jit(jax.grad(total, 1))
  close(gradient(exported(0), images(2, 4)), gradient(network(0), images(2, 4)))


def test_mapped_twice_also_along_a_later_axis():
  def logits(classifier):
    one = lambda some: classifier(some).logits
    return jax.vmap(jax.vmap(one), in_axes=2, out_axes=1)

  sets = images(2, 4, 3)
  actual = logits(exported(0))(sets)
  assert actual.shape == (2, 3, 4, 3)
  close(actual, logits(network(0))(sets))


@functools.cache
def with_batch_norms():
  return from_export(serialize(network(0), SPEC, show_batch_norms=True), SPEC)


def test_batch_normalisations_can_be_seen_in_mapped_calls():
  def statistics(classifier, sets):
    def of_set(some):
      outputs, norms = batch_statistics.capture_batch_norms(classifier, some)
      return outputs.logits, norms, batch_statistics.batch_norm_term(norms)

    return jax.vmap(of_set)(sets)

  def slope(classifier, sets):
    total = lambda sets: sum(
      each.sum() for each in statistics(classifier, sets)[::2]
    )
    return jax.grad(total)(sets)

  for function in (statistics, slope):
    actual, expected = (
      jax.jit(function)(classifier, images(2, 4))
      for classifier in (with_batch_norms(), network(0))
    )
    jax.tree.map(close, actual, expected)


def test_without_them_methods_that_need_them_refuse_an_artefact():
  with pytest.raises(JaxkdError, match="network' shows none"):
    batch_statistics.require_batch_norms(exported(0), SPEC, "do without")


@pytest.mark.slow
def test_jacobian_in_which_only_cotangents_are_mapped():
  jacobian = lambda classifier: jax.jacrev(lambda x: classifier(x).logits)
  close(jacobian(exported(0))(images(2)), jacobian(network(0))(images(2)))


def test_an_artefact_answers_as_a_teacher_on_all_devices():
  answers = jax.jit(WhiteBox.answer)(WhiteBox(exported(0)), images(6))
  close(answers, jax.nn.log_softmax(network(0)(images(6)).logits))


def test_equal_networks_are_equal_bytes_without_paths():
  assert serialize(network(0), SPEC) == blob(0)
  assert b".py" not in blob(0)


def test_equal_bytes_are_the_same_program_and_other_bytes_another():
  again, other = from_export(blob(0), SPEC), exported(1)
  assert again.apply == exported(0).apply and again.apply != other.apply
  assert hash(again.apply) == hash(exported(0).apply)
  assert weights.digest(again) == weights.digest(exported(0))
  assert weights.digest(again) != weights.digest(other)
  traced = []

  @jax.jit
  def answer(classifier, images):
    traced.append(classifier.name)
    return classifier(images).logits

  answer(exported(0), images(2))
  answer(again, images(2))
  assert len(traced) == 1


def written(function, *shapes, dtype=jnp.float32, vjp=1, platforms=("cpu",)):
  (batch,) = export.symbolic_shape("b")
  inputs = [
    jax.ShapeDtypeStruct((size or batch, *rest), dtype)
    for size, *rest in shapes
  ]
  made = export.export(jax.jit(function), platforms=platforms)(*inputs)
  return bytes(made.serialize(vjp_order=vjp))


def mean(images):
  return jnp.stack([images.mean((1, 2, 3))] * 3, -1)


def calling_back():
  """Returns an artefact with a callback, made without JAX's safety check."""
  target = "xla_ffi_python_cpu_callback"

  @jax.custom_vjp
  def logits(images):
    shape = jax.ShapeDtypeStruct((images.shape[0], 3), jnp.float32)
    return jax.ffi.ffi_call(target, shape)(images, index=np.uint64(0))

  logits.defvjp(
    lambda images: (mean(images), images), lambda images, _: (images,)
  )
  (batch,) = export.symbolic_shape("b")
  made = export.export(
    jax.jit(logits),
    platforms=("cpu",),
    disabled_checks=[export.DisabledSafetyCheck.custom_call(target)],
  )(jax.ShapeDtypeStruct((batch, 8, 8, 1), jnp.float32))
  return bytes(made.serialize(vjp_order=1))


WRONG = {
  "calls back into Python": calling_back,
  "no gradient": lambda: written(mean, (0, 8, 8, 1), vjp=0),
  "only batches of 4": lambda: written(mean, (4, 8, 8, 1)),
  r"inputs \(B, 9, 8, 1\)": lambda: written(mean, (0, 9, 8, 1)),
  r"logits \(B, 2\)": lambda: written(lambda x: mean(x)[:, :2], (0, 8, 8, 1)),
  "takes float16": lambda: written(mean, (0, 8, 8, 1), dtype=jnp.float16),
  "takes 2 arrays": lambda: written(
    lambda x, y: mean(x + y), (0, 8, 8, 1), (0, 8, 8, 1)
  ),
  "returns 0 .B, 3., 1 .B, 3.": lambda: written(
    lambda x: (mean(x), mean(x)), (0, 8, 8, 1)
  ),
  "of other widths": lambda: written(
    lambda x: (mean(x), (x,), (x[0, 0, 0],), (jnp.ones(2),)), (0, 8, 8, 1)
  ),
  "does not run on cpu": lambda: written(
    mean, (0, 8, 8, 1), platforms=("tpu",)
  ),
  "is no network that jax.export wrote": lambda: b"not at all",
  "teacher.stablehlo is no": lambda: b"",
  "export it again": lambda: blob(0)[: len(blob(0)) // 2],
}


@pytest.mark.parametrize("message", WRONG)
def test_other_artefacts_are_refused(message):
  with pytest.raises(JaxkdError, match=message) as error:
    from_export(WRONG[message](), SPEC, "teacher.stablehlo")
  assert len(str(error.value).splitlines()) <= 2
