"""The registry of generators: sizes, modes, initialisation and errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd import models
from jaxkd.models.dast import DaST
from jaxkd.models.generators.registry import create_generator, generator_names
from jaxkd.models.generators.transformer_gan import Layer, TransformerGAN
from jaxkd.types import DataSpec, JaxkdError


def spec(side=32, channels=3, classes=10):
  half = (0.5,) * channels
  return DataSpec("test", (side, side, channels), classes, half, half)


def draw(seed, *shapes):
  rng = np.random.default_rng(seed)
  return [np.float32(rng.normal(size=shape)) for shape in shapes]


def fill(init, *args):
  """Returns random positive variables without compiling anything."""
  rng = np.random.default_rng(9)
  return jax.tree.map(
    lambda leaf: np.float32(rng.uniform(0.1, 0.5, leaf.shape)),
    jax.eval_shape(init, jax.random.key(0), *args),
  )


@pytest.mark.parametrize(
  ("name", "inputs", "latents", "count"),
  [
    ("upsampling", spec(), 0, 2_328_899),
    ("upsampling", spec(28, 1), 0, 1_834_305),
    ("upsampling_large", spec(), 0, 4_581_955),
    ("upsampling_large", spec(), 512, 8_776_259),
    ("dfme", spec(), 0, 2_329_091),
    ("maze", spec(28, 1), 0, 856_067),
    ("maze", spec(), 0, 1_051_145),
    ("dcgan", spec(), 0, 3_348_163),
    ("transformer", spec(), 0, 34_591_275),
    ("dafl", spec(32, 1), 100, 1_049_985),
    ("dafl", spec(), 0, 8_423_939),
    ("dfad", spec(), 0, 2_329_091),
    ("zskt", spec(), 0, 1_051_145),
    ("dast", spec(28, 1), 0, 10 * 1_459_712 + 3_025_867),
    ("dast", spec(), 0, 10 * 1_459_712 + 3_027_095),
    ("dast", spec(64), 0, 10 * 1_722_112 + 3_027_095),
  ],
)
def test_parameter_counts(name, inputs, latents, count):
  generator = create_generator(name, inputs, latents=latents)
  variables = jax.eval_shape(generator.init, jax.random.key(0))
  assert models.count_parameters(variables) == count


SMALL = {"dcgan": 8, "transformer": 64, "upsampling_large": 4}


@pytest.mark.parametrize("name", generator_names())
@pytest.mark.parametrize("inputs", [spec(28, 1, 2), spec(32, 3, 2)])
def test_contract(name, inputs):
  """Checks shapes and changed collections in both modes, without computing."""
  generator = create_generator(
    name, inputs, latents=5, width=SMALL.get(name, 2)
  )
  assert generator.latents == 5
  assert not jax.tree.leaves(generator)
  variables = jax.eval_shape(generator.init, jax.random.key(0))
  latents = jax.ShapeDtypeStruct((4, 5), jnp.float32)
  for train in (True, False):
    apply = functools.partial(generator.apply, train=train)
    pre, changed = jax.eval_shape(apply, variables, latents)
    assert (pre.shape, pre.dtype) == ((4, *inputs.shape), jnp.float32)
    expected = {k: v for k, v in variables.items() if train and k != "params"}
    assert changed == expected
  if name not in ("dafl", "dfad", "zskt"):  # which are not bounded
    pixels = generator.to_pixels(jnp.array([-1e4, 0.0, 1e4]))
    np.testing.assert_allclose(pixels, [0, 0.5, 1], atol=1e-6)


def test_modes():
  """Training normalises by the batch, evaluation by the running statistics."""
  generator = create_generator("dfme", spec(8, 2), latents=3, width=4)
  variables = jax.jit(generator.init)(jax.random.key(0))
  assert "BatchNorm_3" not in variables["params"]  # no scale, no bias
  (latents,) = draw(1, (6, 3))
  train = jax.jit(generator.apply)
  pre, _ = train(variables, latents)
  np.testing.assert_allclose(pre.mean((0, 1, 2)), 0, atol=1e-5)
  np.testing.assert_allclose(pre.std((0, 1, 2)), 1, atol=1e-3)
  changed = variables
  for _ in range(200):
    changed = {**variables, **train(changed, latents)[1]}
  evaluate = jax.jit(functools.partial(generator.apply, train=False))
  evaluated, unchanged = evaluate(changed, latents)
  assert unchanged == {}
  np.testing.assert_allclose(evaluated, pre, rtol=0, atol=2e-2)
  assert not np.allclose(evaluate(variables, latents)[0], pre, atol=0.2)


def test_dafl_images_have_the_mean_and_std_of_the_spec():
  """Checks the mean and standard deviation of a batch of images."""
  inputs = DataSpec("test", (8, 8, 2), 2, (0.1, 0.6), (0.3, 0.2))
  generator = create_generator("dafl", inputs, latents=3, width=4)
  variables = jax.jit(generator.init)(jax.random.key(0))
  (latents,) = draw(1, (6, 3))
  apply = jax.jit(generator.apply)
  images = generator.to_pixels(apply(variables, latents)[0])
  np.testing.assert_allclose(images.mean((0, 1, 2)), inputs.mean, atol=1e-4)
  np.testing.assert_allclose(images.std((0, 1, 2)), inputs.std, atol=3e-3)
  # With saturated tanh before the normalisation, there are two values only.
  variables["params"]["Conv_2"]["kernel"] *= 1e9
  for channel in np.moveaxis(apply(variables, latents)[0], -1, 0):
    assert len(np.unique(channel)) == 2


def test_dafl_has_a_large_epsilon():
  """The two inner normalisations divide by sqrt(variance + 0.8)."""
  generator = create_generator("dafl", spec(8, 1), latents=3, width=4)
  variables = jax.jit(generator.init)(jax.random.key(0))
  (latents,) = draw(1, (6, 3))

  @jax.jit
  def hidden(latents):
    module = generator.apply.args[0]
    captured = module.apply(
      variables, latents, train=True, capture_intermediates=True,
      mutable=["batch_stats", "intermediates"],
    )[1]["intermediates"]  # fmt: skip
    names = [f"BatchNorm_{index}" for index in range(4)]
    return [captured[name]["__call__"][0] for name in names]

  first, *inner, last = [float(x.std()) for x in hidden(latents)]
  assert first == pytest.approx(1, abs=1e-3)
  assert last == pytest.approx(1, abs=1e-2)
  assert all(spread < 0.6 for spread in inner)


def test_dcgan_keeps_the_centre():
  """Compares 28x28 images with 32x32 images without their border."""
  small, large = (
    create_generator("dcgan", spec(side, 1), latents=2, width=8)
    for side in (28, 32)
  )
  variables = fill(small.init)
  (latents,) = draw(2, (2, 2))

  @jax.jit
  def both(variables, latents):
    return [
      generator.apply(variables, latents)[0] for generator in (small, large)
    ]

  actual, full = both(variables, latents)
  assert full.std() > 0.01
  np.testing.assert_allclose(actual, full[:, 2:-2, 2:-2], rtol=1e-4, atol=1e-5)


def test_initialisation():
  """Checks DCGAN's initialisation where published, and PyTorch's elsewhere."""
  first, again, other, pytorch = (
    create_generator(name, spec(8, 1), width=32).init(jax.random.key(seed))
    for name, seed in (
      ("upsampling", 0),
      ("upsampling", 0),
      ("upsampling", 1),
      ("maze", 0),
    )  # fmt: skip
  )
  jax.tree.map(np.testing.assert_array_equal, first, again)
  params = first["params"]
  for layer in ("Dense_0", "Conv_0", "Conv_2"):
    np.testing.assert_allclose(params[layer]["kernel"].std(), 0.02, rtol=0.1)
    assert not np.array_equal(
      params[layer]["kernel"], other["params"][layer]["kernel"]
    )
  assert not params["Dense_0"]["bias"].any()
  scale = params["BatchNorm_0"]["scale"]
  assert 0.01 < scale.std() < 0.03
  assert 0.98 < scale.mean() < 1.02
  kernel = pytorch["params"]["Conv_0"]["kernel"]
  bound = (9 * 32) ** -0.5
  assert 0.98 * bound < np.abs(kernel).max() <= bound
  assert (pytorch["params"]["BatchNorm_0"]["scale"] == 1).all()


def test_dast_has_a_branch_for_each_class():
  """Row i goes through branch i // (N / K) only, also in its statistics."""
  generator = create_generator("dast", spec(28, 1, 3), latents=4, width=2)
  variables = generator.init(jax.random.key(0))
  params = variables["params"]
  assert 0.01 < params["trunk"]["Conv_1"]["kernel"].std() < 0.03
  assert params["branches"]["Conv_1"]["kernel"].std() > 0.05
  assert {len(leaf) for leaf in jax.tree.leaves(params["branches"])} == {3}
  (latents,) = draw(3, (6, 4))

  @jax.jit
  def images(latents):
    return generator.apply(variables, latents, train=False)[0]

  @jax.jit
  def means(latents):
    changed = generator.apply(variables, latents)[1]
    return changed["batch_stats"]["branches"]["BatchNorm_5"]["mean"]

  for row in (0, 3, 5):
    other = latents.copy()
    other[row] += 3
    moved = np.abs(images(latents) - images(other)).max((1, 2, 3))
    assert list(np.flatnonzero(moved)) == [row]
    moved = np.abs(means(latents) - means(other)).max(1)
    assert list(np.flatnonzero(moved)) == [row // 2]
  # Different branches make different images of the same latents.
  same = images(np.tile(latents[:1], (6, 1)))
  distance = np.abs(same - same[0]).max((1, 2, 3)) / np.abs(same[0]).max()
  assert distance[1] < 1e-4
  assert distance[2:].min() > 1e-2


def test_transformer_layer():
  """Compares with pre-norm, four heads and scores over sqrt(dim) in NumPy."""
  (x,) = draw(5, (1, 3, 8))
  layer = Layer()
  variables = fill(layer.init, x)
  params = variables["params"]
  linear = lambda x, name: (
    x @ params[name]["kernel"] + params[name].get("bias", 0)
  )

  def norm(x, name):
    centred = x - x.mean(-1, keepdims=True)
    x = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return x * params[name]["scale"] + params[name]["bias"]

  query, key, value = np.split(
    linear(norm(x[0], "LayerNorm_0"), "Dense_0"), 3, axis=-1
  )
  heads = []
  for head in range(4):
    part = slice(2 * head, 2 * head + 2)
    weights = np.exp(query[:, part] @ key[:, part].T / np.sqrt(8))
    weights /= weights.sum(-1, keepdims=True)
    heads.append(weights @ value[:, part])
  y = x[0] + linear(np.concatenate(heads, -1), "Dense_1")
  hidden = jax.nn.gelu(
    linear(norm(y, "LayerNorm_1"), "Dense_2"), approximate=False
  )
  expected = y + linear(hidden, "Dense_3")
  actual = jax.jit(layer.apply)(variables, x)[0]
  np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_transformer_tokens_become_neighbouring_pixels():
  """Without layers, the first token becomes the upper left 4x4 pixels."""
  module = TransformerGAN((8, 12, 1), 64, depths=(0, 0, 0))
  init = functools.partial(module.init, train=True)
  params = jax.tree.map(np.zeros_like, fill(init, jnp.zeros((1, 2))))["params"]
  params["Conv_0"]["kernel"] += 1
  params["Dense_0"]["kernel"][:, :64] = 1
  pre = module.apply({"params": params}, jnp.ones((1, 2)), train=True)
  expected = np.zeros((8, 12))
  expected[:4, :4] = 2 * 4  # two latents, four of the 64 dimensions
  np.testing.assert_array_equal(pre[0, ..., 0], expected)


@pytest.mark.parametrize(
  ("name", "inputs", "width", "message"),
  [
    ("upsamplin", spec(), 0, "Did you mean upsampling"),
    ("upsampling", spec(30), 0, "multiples of 4"),
    ("dfme", DataSpec("moons", (2,), 2, (0, 0), (1, 1)), 0, "image_size"),
    ("transformer", spec(), 100, "multiple of 64; .* width is 384"),
    ("upsampling", spec(), -2, "width=-2"),
    ("dast", spec(48), 0, "image_size=32"),
  ],
)
def test_errors_name_a_remedy(name, inputs, width, message):
  with pytest.raises(JaxkdError, match=message):
    create_generator(name, inputs, width=width)


def test_dast_refuses_a_number_of_rows_that_classes_do_not_divide():
  module = DaST((28, 28, 1), 3, 2)
  with pytest.raises(JaxkdError, match="classes=3"):
    jax.eval_shape(
      functools.partial(module.init, train=False),
      jax.random.key(0),
      jnp.zeros((4, 2)),
    )
