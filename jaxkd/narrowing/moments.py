"""Sums over positions of images, and least squares."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxkd.narrowing.matrices import Product
from jaxkd.types import Array

RIDGE = 1e-3  # relative to the mean of the diagonal
CHUNK = 2**25  # elements of the inputs of a product that exist at once


class Moments(NamedTuple):
  """Sums over the rows of a layer's inputs and results, in float64.

  Attributes:
    count: number of rows.
    inputs: sum of the inputs `[D]`.
    gram: their products `[D, D]`.
    results: sum of the results `[O]`.
    products: of inputs and results `[D, O]`.
  """

  count: int
  inputs: np.ndarray
  gram: np.ndarray
  results: np.ndarray
  products: np.ndarray

  def solve(self, shifted: bool) -> tuple[np.ndarray, np.ndarray]:
    """Returns the matrix that gives the results by least squares.

    Args:
      shifted: whether a constant may be added to each result.

    Returns:
      The matrix `[D, O]`, and the constants `[O]`, which are 0 otherwise.
    """
    gram, products = self.gram, self.products
    if shifted:
      mean = self.inputs / self.count
      gram = gram - np.outer(mean, self.inputs)
      products = products - np.outer(mean, self.results)
    # A unit that is never active has a zero on the diagonal.
    ridge = max(RIDGE * np.trace(gram) / len(gram), 1e-9)
    matrix = np.linalg.solve(gram + ridge * np.eye(len(gram)), products)
    shift = (self.results - self.inputs @ matrix) / self.count
    return matrix, shift * shifted


def measure(product: Product, x: Array, results: Array) -> Moments:
  """Sums over the rows of a layer's inputs and results, some images at a time.

  Args:
    product: the layer.
    x: its inputs, for some images.
    results: `[R, O]`, a row for each row of the inputs.
  """
  rows = product.rows(x[:1])
  step = max(CHUNK // rows.size, 1)
  sums = [0.0] * 4
  for first in range(0, len(x), step):
    rows = product.rows(x[first : first + step]).astype(jnp.float32)
    start = first * (len(results) // len(x))
    some = results[start : start + len(rows)]
    parts = rows.sum(0), _dot(rows, rows), some.sum(0), _dot(rows, some)
    sums = [
      total + np.asarray(part, np.float64)
      for total, part in zip(sums, parts, strict=True)
    ]
  return Moments(len(results), *sums)


def covariance(product: Product, x: Array) -> np.ndarray:
  """Returns the covariance `[D, D]` of the rows of a layer's inputs.

  Args:
    product: the layer.
    x: its inputs, for some images.
  """
  count = len(product.rows(x[:1])) * len(x)
  sums = measure(product, x, jnp.zeros((count, 0)))
  mean = sums.inputs / count
  return sums.gram / count - np.outer(mean, mean)


def _dot(a: Array, b: Array) -> Array:
  # Accelerators round to bfloat16 otherwise, and means are taken off later.
  return jnp.matmul(a.T, b, precision="highest")


def as_array(values: np.ndarray) -> Array:
  """Returns float32 numbers on the device."""
  return jnp.asarray(values, jnp.float32)
