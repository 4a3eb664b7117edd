"""Tests of the benchmark's own measurements, at tiny sizes."""

import re
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from jaxkd import models
from jaxkd.bench import (
  cases,
  comparison,
  costs,
  engines,
  grid,
  scale,
  scan,
  synthesis,
)
from jaxkd.bench.cases import Size
from jaxkd.bench.comparison import BenchConfig
from jaxkd.bench.results import OURS
from jaxkd.bench.roofline import Roofline
from jaxkd.bench.scale import Memory
from jaxkd.types import JaxkdError

LENET = cases.CASES["lenet5"]
TINY = Size(sets=4, set_size=20, steps=3, samples=80, batch_size=20, epochs=2)


def lenet():
  return models.init("lenet5", jax.random.key(1), LENET.spec)


def test_full_size_is_the_published_one():
  full = LENET.sizes["full"]
  assert (full.sets, full.set_size, full.steps) == (512, 500, 256)
  assert LENET.share(full) == 1
  for case in cases.CASES.values():
    assert 0 < case.share(case.sizes["small"]) < 1e-2


@pytest.mark.parametrize("answer", [None, {}, RuntimeError()])
def test_bytes_are_none_where_the_backend_does_not_count_them(answer):
  def cost_analysis():
    if isinstance(answer, Exception):
      raise answer
    return answer

  compiled = SimpleNamespace(cost_analysis=cost_analysis)
  assert costs.moved_bytes(compiled) is None


def test_flop_that_are_not_counted_are_an_error(monkeypatch):
  monkeypatch.setattr(costs, "count_flops", lambda *_: None)
  with pytest.raises(JaxkdError, match="JAX_PLATFORMS=cuda,cpu"):
    costs.image_step(lenet(), LENET.spec)


@pytest.mark.slow
def test_every_part_has_a_row_and_the_shares_are_consistent():
  config = BenchConfig(("float32",), (), 1, Roofline({"float32": 1e9}, 1e9))
  rows = comparison.measure(LENET, TINY, "all", config)
  assert [row.part for row in rows] == list(comparison.PARTS)
  assert {row.program for row in rows} == {OURS}
  made, trained, _ = rows
  work = TINY.image_steps
  assert made.rate == pytest.approx(work / made.seconds)
  flop = costs.image_step(lenet(), LENET.spec)
  assert made.matrix_share == pytest.approx(made.rate * flop / 1e9)
  assert trained.rate == pytest.approx(80 / trained.seconds)


@pytest.mark.slow
def test_starts_are_those_of_the_first_round():
  one = TINY._replace(steps=1)
  result = (
    synthesis.synthesis_runner(LENET, one, lenet(), 2).run().store.samples
  )
  starts = synthesis.starts(2, 20, LENET.spec)
  moved = synthesis.normalise(result.images, LENET.spec) - starts
  assert 0 < np.median(np.abs(moved)) < 0.3  # one step, not another draw


def test_flop_of_lenet_are_those_of_its_layers():
  layers = (
    (28 * 28, 25 * 1 * 6), (10 * 10, 25 * 6 * 16), (1, 400 * 120),
    (1, 120 * 84), (1, 84 * 10),
  )  # fmt: skip
  forward = sum(2 * places * weights for places, weights in layers)
  result = costs.image_step(lenet(), LENET.spec)
  # Forwards, the gradient of the inputs, and what is not a product.
  assert 2 * forward < result < 2.3 * forward
  assert costs.training_step(lenet(), LENET.spec) > 1.2 * result


@pytest.mark.slow
def test_memory_is_predicted_and_does_not_depend_on_the_steps():
  size = TINY._replace(set_size=50)
  memory, (point,) = scale.measure(LENET, size, (8,))
  assert memory.per_set > 50 * 32 * 32 * 4  # more than the images
  assert abs(point.error) < 0.03
  assert memory.bytes(8, devices=4) == pytest.approx(memory.bytes(2))
  many = scale.bytes_by_steps(LENET, size, (48,))[48]
  assert many == pytest.approx(memory.bytes(1), rel=0.01)


def test_memory_model_is_a_line():
  assert Memory(10.0, 3.0).bytes(sets=8, devices=2) == 22.0


def test_jobs_follow_from_rates():
  job = scale.Job("some", devices=10, peak=1e12, sustained=0.5)
  assert job.hours(3.6e12, flop=5.0) == pytest.approx(1e-3)
  lines = scale.describe_jobs(0.4, "as given")
  # ResNet-50 takes 8.2 GFLOP forwards, as much again for the gradient.
  assert 14 < float(re.search(r"([0-9.]+) GFLOP per", lines[0])[1]) < 19
  assert any("v5e-256" in line for line in lines)


def test_flop_grow_with_the_area():
  result = scale.flop_by_shape("resnet8_16", sides=(16, 32), classes=(10,))
  assert result[1]["flop"] == pytest.approx(4 * result[0]["flop"], rel=0.15)


@pytest.mark.slow
def test_a_scan_and_its_steps_do_the_same():
  network = models.init("lenet5", jax.random.key(0), LENET.spec)
  step, carry = scan._synthesis(network, scan.random_samples(8, LENET.spec))
  inside = scan._run(step, carry, 3, scanned=True)()
  outside = scan._run(step, carry, 3, scanned=False)()
  np.testing.assert_allclose(inside, outside, rtol=1e-5, atol=1e-6)
  rows = scan.measure(("lenet5",), batch_size=8, steps=2, repeats=1)
  assert [row.part for row in rows] == ["synthesis"] * 2 + ["training"] * 2
  assert "of one by one" in rows[0].note


def test_a_family_is_in_the_zoo():
  assert set(scan.FAMILIES) <= set(models.names())


@pytest.mark.slow
def test_every_engine_has_a_rate():
  rows = engines.measure("small", ("float32",), repeats=1, steps=1)
  assert [row.case for row in rows] == list(engines.ENGINES)
  assert all(row.rate > 0 and row.unit == "steps" for row in rows)


@pytest.mark.slow
def test_a_grid_costs_no_more_than_its_networks_one_by_one():
  seconds = grid.epochs(networks=4, num_steps=4, repeats=3)
  assert seconds[4] / seconds[1] < 6


@pytest.mark.slow
def test_bfloat16_makes_float32_pixels_with_float32_answers():
  made = {
    dtype: synthesis.synthesis_runner(
      LENET, TINY, lenet(), 2, dtype=dtype
    ).run()
    for dtype in cases.DTYPES
  }
  full, reduced = (play.store.samples for play in made.values())
  assert reduced.images.dtype == np.float32
  assert 0 < np.median(np.abs(reduced.images - full.images)) < 0.01
  answers = jax.nn.log_softmax(lenet()(reduced.images).logits)
  np.testing.assert_allclose(reduced.targets, answers, atol=1e-5)
