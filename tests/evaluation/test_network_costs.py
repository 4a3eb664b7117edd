"""The costs of a network are its parameters, bytes, operations and latency."""

import jax
import jax.numpy as jnp
from linear_network import SPEC, linear

from jaxkd import models
from jaxkd.evaluation.network_costs import count_flops, measure
from jaxkd.types import Classifier, DataSpec, Outputs


def test_measure_counts_parameters_bytes_and_flops():
  result = measure(linear(), SPEC)
  latency = result.pop("latency_ms")
  assert 0 < latency < 1000
  flops = result.pop("flops")
  assert 2 * 6 * 4 <= flops <= 2 * 6 * 4 + 6
  assert result == {"model": "linear", "parameters": 24, "bytes": 4 * (24 + 6)}


def test_measure_takes_any_tree_of_variables():
  def apply(variables, images, *, train=False, rng=None):
    return Outputs(images.reshape(1, -1) @ variables[0]), {}

  classifier = Classifier([jnp.ones((6, 4), jnp.bfloat16)], apply)
  result = measure(classifier, SPEC)
  assert (result["parameters"], result["bytes"]) == (24, 48)


def test_flops_are_counted_on_the_cpu_wherever_the_network_lies(monkeypatch):
  """FLOP are counted by the CPU's client; without it they are unknown."""
  backends = []
  monkeypatch.setattr(
    jax,
    "local_devices",
    lambda backend: backends.append(backend) or jax.devices(),
  )
  product = jnp.ones((2, 3))
  assert count_flops(jnp.matmul, product, product.T) == 2 * 2 * 3 * 2
  assert backends == ["cpu"]

  def gone(backend):
    raise RuntimeError(f"Unknown backend {backend}")

  monkeypatch.setattr(jax, "local_devices", gone)
  assert count_flops(jnp.matmul, product, product.T) is None


def test_flops_are_those_of_the_definition():
  spec = DataSpec("x", (32, 32, 1), 10, (0.5,), (0.5,))
  teacher = models.init("lenet5", jax.random.key(0), spec)
  # Two per multiplication in the layers, and a few more for the rest.
  convolutions = 28 * 28 * 6 * 25 + 10 * 10 * 16 * 150 + 120 * 400
  exact = 2 * (convolutions + 120 * 84 + 84 * 10)
  assert exact < measure(teacher, spec)["flops"] < 1.05 * exact
