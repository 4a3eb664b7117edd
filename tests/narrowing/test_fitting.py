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


def function_network(apply, shapes):
  """`width -> classifier`; `shapes` has a function of the width for each."""

  def network(width):
    params = {
      name: jax.ShapeDtypeStruct(shape(width), jnp.float32)
      for name, shape in shapes.items()
    }
    return models.from_function(
      lambda variables, x: apply(variables["params"], x), {"params": params}
    )

  return network


def convolved(params, x):
  return lax.conv_general_dilated(
    x, params["a"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
  )


def with_last(between):
  """A convolution, a step and a dense layer of means."""

  def apply(params, x):
    y = between(params, convolved(params, x))
    return y.mean((1, 2)) @ params["z"]

  return apply


SHAPES = {"a": lambda w: (3, 3, 1, w), "z": lambda w: (w, 4)}
MIXING_STEPS = {
  "normalisation over neighbouring channels": lambda p, y: y
  / (
    1
    + lax.reduce_window(y**2, 0.0, lax.add, (1, 1, 1, 5), (1,) * 4, "SAME")
  ),
  "fourier transform": lambda p, y: jnp.fft.fft(y, axis=-1).real,
  "reversed": lambda p, y: y[..., ::-1],
  "rolled": lambda p, y: jnp.roll(y, 1, -1),
  "rolled in a loop": lambda p, y: lax.scan(
    lambda c, _: (jnp.roll(c, 1, -1), None), y, None, 2
  )[0],
  "branch": lambda p, y: lax.cond(y.sum() > 0, lambda v: v[..., ::-1], abs, y),
  "cumulative": lambda p, y: lax.cumlogsumexp(y, 3),
  "shifted": lambda p, y: lax.pad(
    y, 0.0, [(0, 0, 0), (0, 0, 0), (0, 0, 0), (1, -1, 0)]
  ),
  "sorted": lambda p, y: lax.top_k(y, y.shape[-1])[0],
  "convolution over channels": lambda p, y: y * lax.conv_general_dilated(
    y.mean((1, 2))[..., None], jnp.ones((3, 1, 1)), (1,), "SAME",
    dimension_numbers=("NWC", "WIO", "NWC"),
  )[:, None, None, :, 0],
  "halves": lambda p, y: jnp.concatenate(
    [y[..., y.shape[-1] // 2 :], y[..., : y.shape[-1] // 2]], -1
  ),
  "groups": lambda p, y: jax.nn.standardize(
    y.reshape(*y.shape[:3], 2, -1), (1, 2, 4)
  ).reshape(y.shape),
}  # fmt: skip


@pytest.mark.parametrize("step", MIXING_STEPS.values(), ids=MIXING_STEPS)
def test_steps_that_mix_channels_are_refused(step):
  network = function_network(with_last(step), SHAPES)
  image = jax.ShapeDtypeStruct((2, 8, 8, 1), jnp.float32)
  with pytest.raises(JaxkdError, match="can't be followed"):
    narrowing.make_plan(network(16), network(8), image)


@pytest.mark.parametrize(
  "step",
  [
    lambda p, y: jax.nn.elu(y),
    lambda p, y: jax.nn.gelu(y),
    lambda p, y: y - y.mean(-1, keepdims=True),
    lambda p, y: lax.reduce_window(
      y, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"
    ),
  ],
)
def test_steps_that_take_each_channel_by_itself_are_followed(step):
  network = function_network(with_last(step), SHAPES)
  image = jax.ShapeDtypeStruct((2, 8, 8, 1), jnp.float32)
  plan = narrowing.make_plan(network(16), network(8), image)
  assert len(plan.fitted) == 2


def test_parameters_that_are_read_twice_are_not_fitted():
  """They are cut to size alone, and a constant is not added to them."""
  image = jax.ShapeDtypeStruct((2, 8, 8, 1), jnp.float32)
  vector, number = {"b": lambda w: (w,)}, {"one": lambda w: (1,)}

  def found(more, step):
    network = function_network(with_last(step), SHAPES | more)
    plan = narrowing.make_plan(network(16), network(8), image)
    return len(plan.channels.shifts), sorted(plan.fitted)

  assert found(vector, lambda p, y: y + p["b"]) == (1, [0, 1])
  assert found(number, lambda p, y: y + p["one"]) == (0, [0, 1])
  assert found(vector, lambda p, y: y + p["b"] + abs(p["b"])) == (0, [0, 1])
  assert found(vector, lambda p, y: abs(y + p["b"]) + y) == (0, [0, 1])
  assert found({}, lambda p, y: y + (p["z"] @ p["z"].T).sum(0))[1] == [0]


def test_rows_that_are_channels_are_not_compared():
  """As in an MLP-Mixer, whose layers take turns over places and channels."""

  def apply(params, x):
    y = x.reshape(len(x), 16, 4) @ params["a"]
    y = jax.nn.relu(y.swapaxes(1, 2) @ params["t"])
    return y.mean(2) @ params["z"]

  shapes = {
    "a": lambda w: (4, w), "t": lambda w: (16, 16), "z": lambda w: (w, 4),
  }  # fmt: skip
  network = function_network(apply, shapes)
  image = jax.ShapeDtypeStruct((2, 8, 8, 1), jnp.float32)
  plan = narrowing.make_plan(network(10), network(4), image)
  assert sorted(plan.fitted) == [0, 2]


def test_the_student_s_own_kinds_of_numbers_stay():
  teacher = models.init("mlp", jax.random.key(0), SPEC)
  student = models.init("mlp_half", jax.random.key(1), SPEC)
  half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), teacher.variables)
  narrowed = narrowing.narrow(
    teacher.replace(variables=half), student, images()
  )
  kinds = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), student.variables)
  assert kinds == jax.tree.map(
    lambda leaf: (leaf.shape, leaf.dtype), narrowed.variables
  )


def test_weights_that_are_not_finite_are_refused():
  teacher = models.init("mlp", jax.random.key(0), SPEC)
  variables = jax.tree.map(lambda leaf: leaf * jnp.nan, teacher.variables)
  student = models.init("mlp_half", jax.random.key(1), SPEC)
  with pytest.raises(JaxkdError, match="not finite"):
    narrowing.narrow(teacher.replace(variables=variables), student, images())


def test_networks_that_cannot_be_traced_are_refused():
  def apply(params, x):
    jax.debug.print("sum {}", x.sum())
    if len(x) == 2:
      raise ValueError("too few")
    return convolved(params, x).mean((1, 2)) @ params["z"]

  network = function_network(apply, SHAPES)
  image = jax.ShapeDtypeStruct((2, 8, 8, 1), jnp.float32)
  with pytest.raises(JaxkdError, match="can't be traced: too few"):
    narrowing.make_plan(network(16), network(8), image)
  image = jax.ShapeDtypeStruct((3, 8, 8, 1), jnp.float32)
  assert narrowing.make_plan(network(16), network(8), image).fitted


def test_plain_numbers_among_the_variables_stay():
  def network(width):
    keys = jax.random.split(jax.random.key(width))
    params = {
      "a": jax.random.normal(keys[0], (3, 3, 1, width)),
      "scale": 2.0,
      "z": jax.random.normal(keys[1], (width, 4)),
    }

    def apply(variables, x):
      params = variables["params"]
      return params["scale"] * convolved(params, x).mean((1, 2)) @ params["z"]

    return models.from_function(apply, {"params": params})

  inputs = images(SPEC._replace(shape=(8, 8, 1)))
  narrowed = narrowing.narrow(network(16), network(8), inputs)
  assert narrowed.variables["params"]["scale"] == 2.0


def test_the_largest_activation_bounds_the_number_of_images():
  teacher = models.init("lenet5", jax.random.key(0), SPEC)
  largest = 28 * 28 * 6  # the first convolution's results for 32 x 32 pixels
  assert narrowing.max_images(teacher, SPEC.shape) == 2**27 // largest
