"""Images are optimised at half the resolution first, then at the full one."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxkd import models
from jaxkd.data import spec as data_spec
from jaxkd.export.stablehlo import serialize
from jaxkd.serialization.stablehlo import from_export
from jaxkd.synthesis import multi_resolution
from jaxkd.synthesis.multi_resolution import Stage
from jaxkd.types import DataSpec, JaxkdError

SPEC = data_spec("cifar10")
KEY = jax.random.key(0)
IMAGES = jax.random.normal(KEY, (2, 4, 6, 3))


def test_a_coarse_stage_shows_the_means_of_blocks():
  assert Stage(1).show(IMAGES) is IMAGES
  half = Stage(1, 2).show(IMAGES)
  expected = np.zeros((2, 2, 3, 3))
  for row in range(2):
    for column in range(3):
      block = IMAGES[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
      expected[:, row, column] = block.mean((1, 2))
  np.testing.assert_allclose(half, expected, atol=1e-6)
  enlarged = Stage(1, 2, enlarged=True).show(IMAGES)
  np.testing.assert_allclose(enlarged[:, ::2, 1::2], half, atol=1e-6)
  assert [Stage(1, 2).pixels(5), Stage(1, 2, True).pixels(5)] == [2, 5]


@pytest.mark.parametrize(
  ("name", "half"), [("resnet8_8", True), ("vit4", False), ("lenet5", False)]
)
def test_networks_of_one_size_are_shown_enlarged_images(name, half):
  network = models.abstract(name, SPEC)
  coarse, fine = multi_resolution.stages(5, 2, SPEC, network)
  assert coarse == Stage(2, 2, enlarged=not half) and fine == Stage(3)
  assert multi_resolution.stages(5, 0, SPEC, network) == (Stage(5),)


def test_an_artefact_is_shown_enlarged_images():
  network = models.init("mlp", KEY, SPEC)
  artefact = from_export(serialize(network, SPEC), SPEC)
  assert not multi_resolution.takes_half(artefact, SPEC)


def test_each_stage_descends_by_what_it_shows():
  """Of half the squares of the means, a step takes its share from each block;
  what varies inside of a block is first changed at the full resolution.
  """

  def loss(shown, key, stage):
    value = 0.5 * jnp.square(shown).sum() * stage.factor**2
    return value, {"key": jax.random.uniform(key), "side": shown.shape[1] * 1.0}

  def optimise(*plan):
    return multi_resolution.optimise(
      loss, IMAGES, lambda stage: optax.sgd(0.5), KEY, plan
    )

  means = Stage(1, 2, True).show(IMAGES)
  coarse, terms = optimise(Stage(2, 2))
  np.testing.assert_allclose(coarse, IMAGES - 0.75 * means, atol=1e-6)
  assert terms["side"] == 2
  both, terms = optimise(Stage(2, 2), Stage(1))
  np.testing.assert_allclose(both, coarse / 2, atol=1e-6)
  assert terms["side"] == 4
  assert terms["first_loss"] == terms["loss"]  # of the last stage alone


@pytest.mark.parametrize(
  ("shape", "steps", "message"),
  [
    ((8, 8, 1), (4, 4), "coarse_steps=4: they are some of synthesis.num_ste"),
    ((8, 7, 1), (4, 2), r"inputs of shape \(8, 7, 1\).*set it to 0"),
    ((2,), (4, 2), r"inputs of shape \(2,\).*set it to 0"),
  ],
)
def test_steps_and_images_that_can_not_be_halved(shape, steps, message):
  spec = DataSpec("toy", shape, 2, (0.0,), (1.0,))
  with pytest.raises(JaxkdError, match=message):
    multi_resolution.check(spec, *steps)
  multi_resolution.check(spec, steps[0], 0)
