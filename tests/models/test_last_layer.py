"""The last layer of a network is found by what its weights do."""

import flax.linen as nn
import jax
import numpy as np
import pytest

import jaxkd
from jaxkd import data, models
from jaxkd.models import last_layer

SPEC = data.spec("mnist_5k", image_size=32)


def scaled(network):
  images = jax.random.uniform(jax.random.key(1), (4, *SPEC.shape))
  return images, last_layer.with_scaled_logits(network, 6.0, images)


@pytest.mark.parametrize(
  "name",
  [
    "lenet5",
    "mlp",
    *(
      pytest.param(name, marks=pytest.mark.slow)
      for name in ("resnet8_8", "vit4_half", "vgg8_half", "cnn_quarter")
    ),
  ],
)
def test_networks_of_the_package(name):
  network = models.init(name, jax.random.key(0), SPEC)
  images, larger = scaled(network)
  before = network(images).logits
  np.testing.assert_allclose(
    larger(images).logits, 6 * before, atol=6e-3 * abs(before).max()
  )


class Own(nn.Module):
  """The classes by convolution; `normalised` makes them log-probabilities."""

  normalised: bool = False

  @nn.compact
  def __call__(self, images):
    x = nn.relu(nn.Conv(10, (3, 3), strides=2)(images))
    x = nn.Conv(10, (3, 3))(x).mean((1, 2))
    return nn.log_softmax(x) if self.normalised else x


def own(**fields):
  net = Own(**fields)
  variables = net.init(jax.random.key(0), np.zeros((1, *SPEC.shape)))
  return jaxkd.from_linen(net, variables, mean=SPEC.mean, std=SPEC.std)


def test_a_layer_that_is_a_convolution():
  images, larger = scaled(own())
  expected = 6 * own()(images).logits
  np.testing.assert_allclose(larger(images).logits, expected, atol=1e-4)
  (name,) = [
    name
    for name, layer in larger.variables["params"].items()
    if not np.array_equal(
      layer["kernel"], own().variables["params"][name]["kernel"]
    )
  ]
  assert name == "Conv_1"


def test_log_probabilities_have_no_such_layer():
  assert scaled(own(normalised=True))[1] is None
