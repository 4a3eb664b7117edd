import pytest


@pytest.mark.slow
def test_pytorch_makes_the_same_images_and_is_slower():
  pytest.importorskip("torch")
  from jaxkd import bench

  result = bench.compare(num_steps=10, repeats=3)
  assert result.difference < 1e-3
  assert result.ratio > 3


@pytest.mark.slow
def test_a_grid_costs_no_more_than_its_networks_one_by_one():
  from jaxkd import bench

  assert bench.grid_cost(networks=4, num_steps=4, repeats=3) < 6
