"""Convolutions and products are counted as often as they run."""

import jax
import jax.numpy as jnp
import pytest

from jaxkd import models
from jaxkd.data import spec as data_spec
from jaxkd.evaluation import matrix_work
from jaxkd.evaluation.matrix_work import MatrixWork, Peak
from jaxkd.evaluation.network_costs import count_flops
from jaxkd.export.stablehlo import serialize
from jaxkd.serialization.stablehlo import from_export

SPEC = data_spec("cifar10")
IMAGES = jax.ShapeDtypeStruct((2, *SPEC.shape), jnp.float32)


def gradient(network, images):
  return jax.grad(lambda x: network(x).logits.sum())(images)


def test_a_product_in_a_loop_counts_as_often_as_it_runs():
  def loop(x, y):
    return jax.lax.fori_loop(0, 7, lambda _, x: x @ y, x)

  x, y = jnp.zeros((3, 4)), jnp.zeros((4, 4))
  assert matrix_work.count(loop, x, y) == [
    MatrixWork(2 * 3 * 4 * 4, 12 + 16 + 12, count=7, summed=4, columns=3)
  ]


def test_sides_are_filled_up_to_those_of_a_matrix_unit():
  x, y = jnp.zeros((2, 300, 5)), jnp.zeros((2, 5, 130))
  work = matrix_work.count(jnp.matmul, x, y)
  assert matrix_work.flop(work) == 2 * 2 * 300 * 5 * 130
  assert matrix_work.flop(work, 128) == 2 * 2 * 300 * 128 * 256


def test_of_branches_the_dearest_counts():
  def choose(x, y):
    return jax.lax.cond(x[0, 0] > 0, lambda: x, lambda: x @ y)

  x, y = jnp.zeros((3, 4)), jnp.zeros((4, 4))
  assert matrix_work.flop(matrix_work.count(choose, x, y)) == 2 * 3 * 4 * 4


@pytest.mark.parametrize("name", ["resnet8_8", "lenet5"])
def test_gradients_cost_what_xla_counts(name):
  """But for what is no convolution or product, and strides count no zeros."""
  spec = data_spec("mnist", image_size=32) if name == "lenet5" else SPEC
  network = models.abstract(name, spec)
  images = jax.ShapeDtypeStruct((2, *spec.shape), jnp.float32)
  counted = matrix_work.flop(matrix_work.count(gradient, network, images))
  expected = count_flops(gradient, network, images)
  assert 0.85 * expected < counted < 1.01 * expected


def test_an_artefact_costs_what_its_program_does():
  network = models.init("mlp", jax.random.key(0), SPEC)
  artefact = from_export(serialize(network, SPEC), SPEC)
  exact, inside = (
    matrix_work.flop(matrix_work.count(lambda n, x: n(x).logits, net, IMAGES))
    for net in (network, artefact)
  )
  assert inside == pytest.approx(exact, rel=0.2)


def test_a_roofline_is_the_slower_side_of_each_piece():
  work = [MatrixWork(100.0, 1.0, 2.0), MatrixWork(1.0, 100.0)]
  assert matrix_work.flop(work) == 201
  peak = Peak(flops=10.0, numbers=20.0)
  assert matrix_work.least_seconds(work, peak) == 2 * 10 + 5
  assert matrix_work.repeated(work, 3)[0].count == 6
