"""The weights of a narrower network, layer by layer."""

from collections.abc import Sequence
import math
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np

from jaxkd.models import last_layer
from jaxkd.models.cpu.stored_equations import bind
from jaxkd.narrowing import equations, moments
from jaxkd.narrowing.channels import Layer
from jaxkd.narrowing.choice import Reader, choose
from jaxkd.narrowing.matrices import is_linear
from jaxkd.narrowing.plan import Plan, make_plan, slice_leaf
from jaxkd.types import Array, Classifier, JaxkdError

MAX_RESULTS = 2**23  # elements of a layer's results that are kept
NUM_TRACED = 2  # some networks take no single image
MAX_VALUES = 2**27  # elements of a network's largest array, for all images
NUM_SCALED = 64  # images by which the logits' scale is found


def narrow(
  teacher: Classifier, student: Classifier, images: Array
) -> Classifier:
  """Returns a student with weights of its teacher, for fewer channels.

  Args:
    teacher: the wider network.
    student: the narrower one; of its weights only the shapes count.
    images: `[N, ...]` floats in pixel space, on which layers are compared, at
      most `max_images`. The more, the better: half a LeNet-5 that is trained
      afterwards ends at 83.2 to 84.8 % on Fashion-MNIST with 2,000 images, by
      their draw, and at 85.1 to 85.3 % with 8,000.

  Raises:
    JaxkdError: if the student is not the teacher with fewer channels, if it
      can't be followed through the network which parameters belong together, or
      if weights are not finite.
  """
  plan = make_plan(teacher, student, images[:NUM_TRACED])
  # A user's own function may have plain numbers among its variables.
  leaves = list(map(jnp.asarray, jax.tree.leaves(teacher.variables)))
  wide = _Wide(plan)
  equations.evaluate(
    equations.trace(teacher, images), [*leaves, images], wide.rule, _same
  )
  kept = {
    group: choose(wide.readers[group], after)
    if before > after
    else np.arange(after)
    for group, (before, after) in plan.sizes.items()
  }
  sliced = [
    slice_leaf(leaf, plan.channels.leaf_axes(index), kept)
    for index, leaf in enumerate(leaves)
  ]
  own, tree = jax.tree.flatten(student.variables)
  student = student.replace(variables=jax.tree.unflatten(tree, sliced))
  fit = _Fit(plan, wide.results, kept, sliced)
  equations.evaluate(
    equations.trace(student, images), [*sliced, images], fit.rule, _same
  )
  fitted = [
    leaf.astype(jnp.result_type(like))
    for leaf, like in zip(fit.leaves, own, strict=True)
  ]
  if not all(np.isfinite(leaf).all() for leaf in fitted):
    raise JaxkdError(
      f"The weights of {teacher.name!r} for fewer channels are not finite; "
      "choose student.start=random."
    )
  student = student.replace(variables=jax.tree.unflatten(tree, fitted))
  return _with_scale(teacher, student, images[:NUM_SCALED])


def max_images(classifier: Classifier, shape: tuple[int, ...]) -> int:
  """Returns how many images fit into the memory with all their activations.

  Args:
    classifier: the wider network.
    shape: of an image.
  """
  sizes = [0]

  def rule(eqn: jex.JaxprEqn, values: list[Any]) -> Sequence[Any]:
    sizes.extend(math.prod(var.aval.shape) for var in eqn.outvars)
    return [var.aval for var in eqn.outvars]

  images = jax.ShapeDtypeStruct((NUM_TRACED, *shape), jnp.float32)
  leaves = jax.tree.leaves(classifier.variables)
  equations.evaluate(
    equations.trace(classifier, images), [*leaves, images], rule, _same
  )
  return max(MAX_VALUES * NUM_TRACED // max(sizes), 1)


class _Wide:
  """Measures the layers of the wider network.

  Attributes:
    readers: by group, the layers that read channels of which some go.
    results: by the number of a layer, its results for the first images.
  """

  def __init__(self, plan: Plan):
    self.readers: dict[int, list[Reader]] = {g: [] for g in plan.narrowed}
    self.results: dict[int, Array] = {}
    self._plan, self._number = plan, -1

  def rule(self, eqn: jex.JaxprEqn, values: list[Array]) -> Sequence[Array]:
    """Evaluates an equation."""
    outputs = bind(eqn, values, eqn.params)
    if not is_linear(eqn):
      return outputs
    self._number += 1
    layer = self._plan.channels.layers[self._number]
    if layer is None:
      return outputs
    product, result = layer.product._replace(eqn=eqn), outputs[0]
    count = max(min(MAX_RESULTS * len(result) // result.size, len(result)), 1)
    if self._number in self._plan.fitted:
      self.results[self._number] = result[:count]
    x, kernel = values
    self._add_reader(layer._replace(product=product), x[:count], kernel)
    return outputs

  def _add_reader(self, layer: Layer, x: Array, kernel: Array) -> None:
    axis = layer.channels and self._plan.channels.resolve(layer.channels)
    if axis is None or axis.group not in self.readers:
      return
    product = layer.product
    covariance = moments.covariance(product, x)
    matrix = product.matrix(kernel)
    width = x.shape[product.inputs[0]]
    # Inputs in the order of channels, whose places are not always side by side.
    order = np.arange(len(matrix))
    order = order.reshape(axis.outer, -1, axis.inner * (len(matrix) // width))
    channels = order.shape[1]
    order = order.transpose(1, 0, 2).reshape(-1)
    gram = covariance[np.ix_(order, order)]
    block = len(matrix) // channels
    self.readers[axis.group].append(
      Reader(
        gram.reshape(channels, block, channels, block),
        matrix[order].reshape(channels, block, -1),
      )
    )


class _Fit:
  """Fits the layers of the narrower network, each to what the wider one has.

  Attributes:
    leaves: the narrower network's parameters.
  """

  def __init__(
    self,
    plan: Plan,
    results: dict[int, Array],
    kept: dict[int, np.ndarray],
    leaves: list[Array],
  ):
    self.leaves = list(leaves)
    self._plan, self._results, self._kept = plan, results, kept
    self._number = -1

  def rule(self, eqn: jex.JaxprEqn, values: list[Array]) -> Sequence[Array]:
    """Evaluates an equation; a layer has its new weights."""
    self._number += is_linear(eqn)
    layer = self._plan.fitted.get(self._number) if is_linear(eqn) else None
    if layer is None:
      return bind(eqn, values, eqn.params)
    x, old = values
    product = layer.product._replace(eqn=eqn)
    wanted = product.columns(self._results[self._number])
    axes = self._plan.channels.leaf_axes(layer.kernel)
    wanted = slice_leaf(
      wanted,
      [None, *(axes[layer.order[i]] for i in product.outputs)],
      self._kept,
    )
    shift = self._plan.channels.shifts.get(self._number)
    count = len(self._results[self._number])
    matrix, constants = moments.measure(
      product, x[:count], wanted.reshape(len(wanted), -1)
    ).solve(shifted=shift is not None)
    kernel = product.kernel_of(matrix)
    self.leaves[layer.kernel] = kernel.transpose(np.argsort(layer.order))
    (result,) = bind(eqn, [x, kernel.astype(old.dtype)], eqn.params)
    if shift is None:
      return [result]
    constants = moments.as_array(constants)
    leaf, sign = shift
    self.leaves[leaf] += sign * constants
    place = [1] * result.ndim
    place[product.result_axis(result.ndim)] = -1
    return [result + constants.astype(result.dtype).reshape(place)]


def _same(array: Array) -> Array:
  return array


def _with_scale(
  teacher: Classifier, student: Classifier, images: Array
) -> Classifier:
  """Returns the student with logits of the teacher's scale.

  They differ where the teacher's logits are scaled after its last layer. A
  network whose last layer is not found stays as it is.
  """
  wanted, given = teacher(images).logits, student(images).logits
  factor = float((wanted * given).sum() / (given**2).sum())
  if not 0 < factor < np.inf:
    return student
  return last_layer.with_scaled_logits(student, factor, images) or student
