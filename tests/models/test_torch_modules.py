"""Classifiers from PyTorch modules."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxkd
from jaxkd.synthesis import batch_statistics
from jaxkd.types import JaxkdError

torch = pytest.importorskip("torch", reason="needs the extra torch")
pytest.importorskip("torchax", reason="needs the extra torch")
nn = torch.nn

MEAN, STD = (0.2, 0.4, 0.6), (0.3, 0.25, 0.2)
SHAPE = (8, 8, 3)
CONSTANT = torch.ones(4)  # that no module keeps
IMAGES = np.random.default_rng(3).random((4, *SHAPE), np.float32)


class Net(nn.Module):
  """Convolutions, batch normalisations, dropout, and a plain tensor."""

  def __init__(self, classes=4):
    super().__init__()
    self.features = nn.Sequential(
      nn.Conv2d(3, 6, 3, stride=2, padding=1),
      nn.BatchNorm2d(6),
      nn.ReLU(inplace=True),
      nn.Conv2d(6, 8, 3, groups=2),
      nn.BatchNorm2d(8),
      nn.GELU(),
      nn.MaxPool2d(2),
    )
    self.dropout = nn.Dropout(0.5)
    self.last = nn.Linear(8, classes)
    self.scale = torch.linspace(0.5, 1.5, classes)
    for layer in self.modules():
      if isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.running_mean, std=0.3)
        nn.init.uniform_(layer.running_var, 0.5, 2.0)

  def forward(self, x):
    offset = torch.arange(len(self.scale)) / 4  # on PyTorch's default device
    x = self.features(x).mean((2, 3))
    return self.last(self.dropout(x)) * self.scale + offset


class Wrapped(nn.Module):
  """A linear layer with something else done to its logits."""

  def __init__(self, change):
    super().__init__()
    self.last = nn.Linear(3, 4)
    self.change = change

  def forward(self, x):
    return self.change(self.last(x.mean((2, 3))))


@pytest.fixture(scope="module")
def net():
  torch.manual_seed(0)
  return Net()


@pytest.fixture(scope="module")
def classifier(net):
  return jaxkd.from_torch(
    net, mean=MEAN, std=STD, name="net", image_shape=SHAPE
  )


def normalised(images):
  inputs = (images - np.float32(MEAN)) / np.float32(STD)
  return torch.tensor(inputs.transpose(0, 3, 1, 2).copy())


def test_its_logits_are_the_modules(net, classifier):
  evaluated = copy.deepcopy(net).eval()
  expected = evaluated(normalised(IMAGES)).detach().numpy()
  np.testing.assert_allclose(
    classifier(IMAGES).logits, expected, rtol=1e-4, atol=1e-5
  )
  assert net.training
  assert classifier.name == "net"


def test_its_variables_are_parameters_and_buffers(net, classifier):
  names = {name for name, _ in net.named_parameters()}
  assert set(classifier.variables["params"]) == names
  assert "features.1.running_var" in classifier.variables["buffers"]
  np.testing.assert_array_equal(
    classifier.variables["params"]["last.weight"], net.last.weight.detach()
  )
  zeros = jax.tree.map(jnp.zeros_like, classifier.variables)
  logits = classifier.replace(variables=zeros)(IMAGES).logits
  np.testing.assert_allclose(logits, [[0, 0.25, 0.5, 0.75]] * 4)


def test_it_can_be_mapped_scanned_and_differentiated(classifier):
  sets = jnp.stack([IMAGES, IMAGES[::-1]])
  expected = classifier(IMAGES).logits
  mapped = jax.jit(jax.vmap(lambda x: classifier(x).logits))(sets)
  np.testing.assert_allclose(mapped[0], expected, atol=1e-5)
  np.testing.assert_allclose(mapped[1], expected[::-1], atol=1e-5)

  def step(images, _):
    loss = lambda x: classifier(x).logits[:, 0].sum()
    return images + jax.grad(loss)(images), loss(images)

  _, losses = jax.lax.scan(step, jnp.asarray(IMAGES), length=3)
  assert losses[0] < losses[1] < losses[2]


def test_later_changes_of_the_module_do_not_reach_it(classifier):
  module = Wrapped(lambda logits: logits)
  own = jaxkd.from_torch(module)
  before = own(IMAGES).logits
  with torch.no_grad():
    module.last.weight.zero_()
  np.testing.assert_array_equal(own(IMAGES).logits, before)


def test_inputs_of_batch_normalisations_are_visible(net, classifier):
  _, norms = batch_statistics.capture_batch_norms(classifier, IMAGES)
  evaluated = copy.deepcopy(net).eval().features
  with torch.no_grad():
    first = evaluated[0](normalised(IMAGES))
    second = evaluated[3](evaluated[2](evaluated[1](first)))
  for seen, expected in zip(norms.inputs, (first, second), strict=True):
    np.testing.assert_allclose(
      seen, expected.numpy().transpose(0, 2, 3, 1), atol=1e-5
    )
  for index, layer in enumerate((net.features[1], net.features[4])):
    np.testing.assert_array_equal(
      norms.running_means[index], layer.running_mean
    )
    np.testing.assert_array_equal(
      norms.running_variances[index], layer.running_var
    )


def test_methods_that_need_batch_normalisations_refuse_others_by_name():
  own = jaxkd.from_torch(Wrapped(lambda logits: logits), name="plain")
  spec = jaxkd.DataSpec("own", SHAPE, 4, (0.0,), (1.0,))
  with pytest.raises(JaxkdError, match="'plain' shows none"):
    batch_statistics.require_batch_norms(own, spec, "do without")


@pytest.mark.parametrize("convert", [nn.Module.half, nn.Module.double])
def test_other_dtypes_become_float32(net, convert):
  module = convert(copy.deepcopy(net))
  own = jaxkd.from_torch(module, image_shape=SHAPE)
  dtypes = {str(leaf.dtype) for leaf in jax.tree.leaves(own.variables)}
  assert dtypes == {"float32", "int32"}


def test_tied_parameters_are_one_variable():
  module = nn.Sequential(nn.Flatten(), nn.Linear(3, 3), nn.Linear(3, 3))
  module[2].weight = module[1].weight
  own = jaxkd.from_torch(
    nn.Sequential(nn.AdaptiveAvgPool2d(1), module), mean=MEAN, std=STD
  )
  assert set(own.variables["params"]) == {
    "1.1.weight",
    "1.1.bias",
    "1.2.bias",
  }


def test_a_size_that_the_module_takes_is_found():
  module = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 5))
  own = jaxkd.from_torch(module, mean=(0.5,), std=(0.5,))
  assert own(jnp.zeros((2, 28, 28, 1))).logits.shape == (2, 5)


@pytest.mark.parametrize(
  ("change", "options", "expected"),
  [
    (lambda y: (y[:, :2], y), {"output": 1}, lambda y: y),
    (lambda y: {"logits": y, "features": 2 * y}, {}, lambda y: y),
    (
      lambda y: y.softmax(-1),
      {"output_kind": "probabilities"},
      lambda y: y.log_softmax(-1),
    ),
    (
      lambda y: y[:, 0].sigmoid(),
      {"output_kind": "sigmoid"},
      lambda y: torch.stack([0 * y[:, 0], y[:, 0]], -1),
    ),
  ],
  ids=["index", "name", "probabilities", "sigmoid"],
)
def test_what_a_module_gives(change, options, expected):
  module = Wrapped(change)
  own = jaxkd.from_torch(module, image_shape=SHAPE, **options)
  logits = module.last(torch.tensor(IMAGES).mean((1, 2)))
  np.testing.assert_allclose(
    own(IMAGES).logits, expected(logits).detach(), rtol=1e-4, atol=1e-5
  )


def noisy(logits):
  return logits + torch.rand_like(logits)


@pytest.mark.parametrize(
  ("module", "options", "message"),
  [
    (noisy, {}, r"logits differ by [\d.]+ of the largest \(0.0001 is allowed"),
    (lambda y: y * float("nan"), {}, "logits differ by nan"),
    (lambda y: (y, y), {}, r"returned 0 \[3, 4\], 1 \[3, 4\]; it must"),
    (lambda y: y.sum(0), {}, r"returns \[4\] for 3 images; wrap it"),
    (lambda y: y[:, :, None], {}, r"returns \[3, 4, 1\] for 3 images"),
    (lambda y: y, {"output_kind": "odds"}, "output_kind"),
    (
      lambda y: y if y.sum() > 0 else -y,
      {},
      "'Wrapped' can't be translated to JAX .*must not depend on values",
    ),
    (
      lambda y: y + CONSTANT,
      {},
      "'Wrapped' can't be translated to JAX .*must be parameters or buffers",
    ),
    (torch.Tensor.detach, {}, "'Wrapped' has no gradient in PyTorch"),
    (lambda y: y, {"mean": MEAN}, "give both or neither"),
    (
      lambda y: y,
      {"image_shape": (8, 8, 5)},
      r"'Wrapped' does not take images \[8, 8, 5\] \(RuntimeError",
    ),
  ],
)
def test_what_is_refused(module, options, message):
  with pytest.raises(JaxkdError, match=message) as error:
    jaxkd.from_torch(Wrapped(module), **{"image_shape": SHAPE} | options)
  assert len(str(error.value).splitlines()) <= 2


def test_what_is_no_module_is_refused():
  with pytest.raises(JaxkdError, match="takes a torch.nn.Module, not a dict"):
    jaxkd.from_torch({})


def test_a_module_of_a_size_that_nobody_guesses_is_refused():
  module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 29 * 29, 5))
  with pytest.raises(JaxkdError, match="3 channels; give image_shape"):
    jaxkd.from_torch(module)
