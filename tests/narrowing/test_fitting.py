"""Narrower networks: exact where channels are copies, refused where unknown."""

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd import models, narrowing
from jaxkd.errors import JaxkdError
from jaxkd.narrowing.channels import Channels
from jaxkd.synthesis import starts
from jaxkd.types import DataSpec

SPEC = DataSpec("images", (32, 32, 1), 10, (0.3,), (0.3,))
SMALL_IMAGES = SPEC._replace(shape=(28, 28, 1))


def images(spec=SPEC, count=200):
  return jax.random.uniform(jax.random.key(5), (count, *spec.shape))


def randomised(network):
  """The network with statistics and scales that are not 0 and 1."""
  leaves, tree = jax.tree.flatten(network.variables)
  keys = jax.random.split(jax.random.key(7), len(leaves))
  leaves = [
    leaf * jax.random.uniform(key, leaf.shape, minval=0.5, maxval=1.5)
    if leaf.ndim == 1
    else leaf
    for key, leaf in zip(keys, leaves, strict=True)
  ]
  return network.replace(variables=jax.tree.unflatten(tree, leaves))


def widened(small, large, inputs):
  """The large network, with the small one's channels several times."""
  channels = Channels(small, inputs[:1])
  rng = np.random.default_rng(0)
  copies = {}

  def places(axis, before, after):
    times = axis.outer * axis.inner
    count, more = before // times, (after - before) // times
    if axis.group not in copies:
      extra = rng.integers(count, size=more)
      order = rng.permutation([*range(count), *extra])
      copies[axis.group] = order if more else np.arange(count)
    index = np.arange(before).reshape(axis.outer, count, axis.inner)
    return index[:, copies[axis.group]].reshape(-1)

  shapes = [leaf.shape for leaf in jax.tree.leaves(large.variables)]
  leaves, tree = jax.tree.flatten(small.variables)
  summed = {}  # axis of a kernel that is summed, by parameter
  for layer in channels.layers:
    if layer is not None:
      summed[layer.kernel] = layer.order[layer.product.kernel[0]]
  for number, shape in enumerate(shapes):
    axes = channels.leaf_axes(number)
    for index, axis in enumerate(axes):
      if axis is not None:
        leaf = leaves[number]
        taken = places(axis, leaf.shape[index], shape[index])
        leaf = jnp.take(leaf, taken, index)
        if summed.get(number) == index:
          # A sum over copies has to give what one channel gave.
          share = 1 / np.bincount(taken)[taken]
          side = [-1 if i == index else 1 for i in range(leaf.ndim)]
          leaf = leaf * share.reshape(side)
        leaves[number] = leaf
  return large.replace(variables=jax.tree.unflatten(tree, leaves))


@pytest.mark.parametrize(
  ("small", "large", "spec"),
  [
    ("lenet5_half", "lenet5", SPEC),
    ("mlp_half", "mlp", SPEC),
    ("zsdb3kd_lenet5_fifth", "zsdb3kd_lenet5_half", SMALL_IMAGES),
    ("resnet8_8", "resnet8_16", SPEC),
  ],
)
def test_copies_of_channels_are_left_out(small, large, spec):
  inputs = images(spec)
  small = randomised(models.init(small, jax.random.key(0), spec))
  student = models.init(small.name, jax.random.key(1), spec)
  teacher = models.init(large, jax.random.key(2), spec)
  teacher = widened(small, teacher, inputs)
  wanted = small(inputs).logits
  np.testing.assert_allclose(teacher(inputs).logits, wanted, atol=1e-4)
  narrowed = narrowing.narrow(teacher, student, inputs)
  shapes = jax.tree.map(jnp.shape, student.variables)
  assert jax.tree.map(jnp.shape, narrowed.variables) == shapes
  # The ridge of the least squares takes a thousandth.
  error = jnp.square(narrowed(inputs).logits - wanted).mean()
  assert error < 0.01 * wanted.var(0).mean()


def network(width, kernel_key=0):
  """A convolution and a dense layer as PyTorch has them, channels first."""
  keys = jax.random.split(jax.random.key(kernel_key), 3)
  params = {
    "first": jax.random.normal(keys[0], (width, 1, 3, 3)),
    "bias": jax.random.normal(keys[1], (width,)),
    "last": jax.random.normal(keys[2], (4, width * 36)) / 10,
  }

  def apply(variables, x):
    params = variables["params"]
    y = lax.conv_general_dilated(
      x.transpose(0, 3, 1, 2), params["first"], (1, 1), "VALID"
    )
    y = jax.nn.relu(y + params["bias"][None, :, None, None])
    return y.reshape(len(x), -1) @ params["last"].T

  return models.from_function(apply, {"params": params})


def test_a_network_with_channels_first_and_transposed_weights():
  spec = DataSpec("images", (8, 8, 1), 4, (0.0,), (1.0,))
  inputs = images(spec)
  small = network(3)
  teacher = widened(small, network(7), inputs)
  narrowed = narrowing.narrow(teacher, network(3, 9), inputs)
  wanted = small(inputs).logits
  error = jnp.square(narrowed(inputs).logits - wanted).mean()
  assert error < 0.01 * wanted.var(0).mean()


def test_a_layer_makes_up_for_channels_that_are_gone():
  """Least squares is better than the teacher's weights cut to size."""
  teacher = randomised(models.init("lenet5", jax.random.key(0), SPEC))
  student = models.init("lenet5_half", jax.random.key(1), SPEC)
  narrowed = narrowing.narrow(
    teacher, student, starts.probe_images(SPEC, jax.random.key(3), 1000)
  )
  shapes = jax.tree.map(jnp.shape, student.variables)
  cut = jax.tree.map(
    lambda leaf, shape: leaf[tuple(slice(size) for size in shape)],
    teacher.variables,
    shapes,
    is_leaf=lambda leaf: isinstance(leaf, jax.Array),
  )
  others = starts.probe_images(SPEC, jax.random.key(4), 200)
  wanted = teacher(others).logits
  wanted -= wanted.mean(0)

  def error(network):
    given = network(others).logits
    return jnp.square(given - given.mean(0) - wanted).sum() / (wanted**2).sum()

  assert error(narrowed) < 0.7 * error(student.replace(variables=cut))


def test_logits_have_the_scale_that_the_teacher_is_given():
  teacher = models.init("mlp", jax.random.key(0), SPEC)
  student = models.init("mlp_half", jax.random.key(1), SPEC)
  plain = narrowing.narrow(teacher, student, images())
  scaled = narrowing.narrow(
    models.with_logit_scale(teacher, 20.0), student, images()
  )
  ratio = scaled(images()).logits / plain(images()).logits
  np.testing.assert_allclose(ratio, jnp.median(ratio), rtol=1e-2)
  assert 15 < jnp.median(ratio) < 25


@pytest.mark.parametrize(
  ("teacher", "student", "message"),
  [
    ("lenet5", "mlp", "other names"),
    ("lenet5_half", "lenet5", "more of some channels"),
    ("lenet5", "lenet5", "as many channels"),
    ("vit4", "vit4_half", "can't be followed"),
    ("shufflenet_v2", "shufflenet_v2_quarter", "can't be followed"),
  ],
)
def test_networks_that_do_not_belong_together_are_refused(
  teacher, student, message
):
  image = jax.ShapeDtypeStruct((1, *SPEC.shape), jnp.float32)
  with pytest.raises(JaxkdError, match=message):
    narrowing.make_plan(
      models.abstract(teacher, SPEC), models.abstract(student, SPEC), image
    )


@pytest.mark.parametrize(
  ("teacher", "student"),
  [
    ("cnn", "cnn_half"),
    ("vgg8", "vgg8_half"),
    ("zsdb3kd_alexnet", "zsdb3kd_alexnet_half"),
    ("mobilenet_v2", "mobilenet_v2_quarter"),
  ],
)
def test_every_parameter_has_its_channels(teacher, student):
  image = jax.ShapeDtypeStruct((1, *SPEC.shape), jnp.float32)
  teacher = models.abstract(teacher, SPEC)
  plan = narrowing.make_plan(teacher, models.abstract(student, SPEC), image)
  assert plan.narrowed
  assert len(plan.fitted) == len([x for x in plan.channels.layers if x])
