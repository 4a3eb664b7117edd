"""State dicts with prefixes, and with tensors that are not the network's."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd import models
from jaxkd.serialization.pytorch.weights import convert, to_torch
from jaxkd.types import DataSpec, JaxkdError

MODEL = "ideal_lenet"
SPEC = DataSpec("net", (8, 8, 3), 4, (0.2, 0.4, 0.6), (0.3, 0.25, 0.2))
MEAN = np.array(SPEC.mean, np.float32).reshape(1, 3, 1, 1)
STD = np.array(SPEC.std, np.float32).reshape(1, 3, 1, 1)


@pytest.fixture(autouse=True, scope="module")
def traced_once():
  with pytest.MonkeyPatch.context() as patched:
    patched.setattr(models, "shapes", functools.cache(models.shapes))
    yield


@functools.cache
def network(seed=0, classes=4):
  spec = SPEC._replace(num_classes=classes)
  rng = np.random.default_rng(seed)
  variables = jax.tree.map(
    lambda leaf: jnp.asarray(rng.random(leaf.shape, np.float32)),
    models.shapes(MODEL, spec),
  )
  return variables, to_torch(MODEL, spec, variables)


def under(prefix, seed=0):
  return {prefix + name: leaf for name, leaf in network(seed)[1].items()}


def same(actual, expected):
  jax.tree.map(np.testing.assert_array_equal, actual, expected)


def read(tensors, **options):
  return convert(MODEL, SPEC, tensors, **options)


HARMLESS = {
  "n_averaged": np.array(3),
  "best_acc": np.float32(0.9),
  "criterion.weight": np.ones(4, np.float32),
  "train_acc.total": np.float32(7),
  "loss_fn.pos_weight": np.ones(4, np.float32),
  "class_weights": np.ones(4, np.float32),
}


@pytest.mark.parametrize(
  "prefix",
  ["", "module.", "model.", "_orig_mod.", "backbone.", "_orig_mod.module.",
   "module._orig_mod.", "net.0.", "state_dict.model.", "1.", "state_dict/",
   "net_", "ema:model."],
)  # fmt: skip
@pytest.mark.parametrize("beside", ["n_averaged", "all"])
def test_a_prefix_beside_tensors_without_one(prefix, beside):
  others = {"n_averaged": np.array(3)} if beside == "n_averaged" else HARMLESS
  converted = read(under(prefix) | others)
  same(converted.variables, network()[0])
  assert converted.used == len(network()[1])
  assert converted.notes[0].startswith("left out: ")
  assert min(others) in converted.notes[0]


def test_wrappers_inside_of_names_are_removed():
  tensors = {
    f"features.module.{name}" if "conv" in name else f"features.{name}": leaf
    for name, leaf in network()[1].items()
  }
  same(read(tensors).variables, network()[0])
  tensors = {
    name.replace("conv1.", "conv1._orig_mod."): leaf
    for name, leaf in network()[1].items()
  }
  assert read(tensors).notes == ()


def test_other_networks_beside_it_are_left_out():
  others = {f"projector.{k}.weight": np.ones((9, 9)) for k in range(5)}
  converted = read(under("backbone.") | others)
  same(converted.variables, network()[0])
  assert "projector.2.weight and 2 more" in converted.notes[0]


def test_states_of_an_optimiser_are_not_the_network():
  states = under("optimizer_state.exp_avg.", seed=1) | {
    "scaler.scale": np.float32(65536),
    "rng_state": np.zeros(9, np.uint8),
    "fc1.weight.exp_avg": network(1)[1]["fc1.weight"],
  }
  for prefix in ("", "model."):
    converted = read(under(prefix) | states)
    same(converted.variables, network()[0])
    assert converted.notes[0].startswith("left out: ")


def test_layers_that_are_tied_to_others():
  tensors = under("")
  for name in ("fc1.weight", "fc1.bias"):
    tensors[name.replace("fc1", "classifier")] = tensors[name]
  converted = read(tensors)
  same(converted.variables, network()[0])
  assert converted.notes == ("left out: classifier.bias, classifier.weight",)
  for part in ("weight", "bias"):  # two names, neither of them the usual one
    tensors[f"head.{part}"] = tensors.pop(f"fc1.{part}")
  same(read(tensors).variables, network()[0])
  tensors["head.weight"] = tensors["head.weight"] + 1
  with pytest.raises(JaxkdError, match="missing"):
    read(tensors)


def test_two_copies_are_taken_if_they_are_equal():
  same(read(under("model.") | under("attacker.model.")).variables, network()[0])


def test_of_two_different_networks_the_flag_chooses():
  tensors = under("model.") | under("ema.module.", seed=1)
  with pytest.raises(JaxkdError, match=r"more than once.*--prefix=model\."):
    read(tensors)
  for prefix in ("ema", "ema.", "ema.module."):
    converted = read(tensors, prefix=prefix)
    same(converted.variables, network(1)[0])
    assert "left out: model.bn1" in converted.notes[0]
  with pytest.raises(JaxkdError, match="no tensor has a name"):
    read(tensors, prefix="student.")


def test_the_same_network_with_a_wrapper_and_without():
  tensors = under("") | under("module.", seed=1)
  same(read(tensors, prefix="module.").variables, network(1)[0])
  with pytest.raises(JaxkdError, match="more than once"):
    read(tensors)


@pytest.mark.parametrize("head", ["head", "classifier.1", "linear", "1.fc2"])
@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_a_head_of_another_name(head, prefix):
  tensors = under(prefix)
  for part in ("weight", "bias"):
    tensors[f"{head}.{part}"] = tensors.pop(f"{prefix}fc1.{part}")
  converted = read(tensors)
  same(converted.variables, network()[0])
  assert converted.notes == (f"{head} is the last layer",)


def test_of_two_heads_none_is_guessed():
  tensors = under("backbone.")
  for part in ("weight", "bias"):
    leaf = tensors.pop(f"backbone.fc1.{part}")
    tensors |= {f"head1.{part}": leaf, f"head2.{part}": leaf + 1}
  with pytest.raises(JaxkdError, match=r"fc1.bias, fc1.weight missing"):
    read(tensors)


def test_layers_that_the_network_lacks_are_refused():
  tensors = under("model.") | {"model.se.0.weight": np.ones((4, 4), "f4")}
  with pytest.raises(JaxkdError, match=r"se.0.weight not used"):
    read(tensors)


NORMALISERS = [
  ("mu", "sigma"),
  ("mean", "std"),
  ("normalize.mean", "normalize.std"),
  ("0.mean", "0.std"),
  ("module.normalizer.new_mean", "module.normalizer.new_std"),
  ("pixel_mean", "pixel_std"),
]


@pytest.mark.parametrize("names", NORMALISERS)
@pytest.mark.parametrize("prefix", ["", "1."])
def test_a_normaliser_that_is_that_of_the_flags(names, prefix):
  tensors = under(prefix) | dict(zip(names, (MEAN, STD), strict=True))
  converted = read(tensors)
  same(converted.variables, network()[0])
  for name in names:
    assert name.removeprefix("module.") in converted.notes[0]


@pytest.mark.parametrize("names", NORMALISERS)
@pytest.mark.parametrize("scale", [1, 255])
def test_another_normaliser_is_named_with_its_flags(names, scale):
  other = (MEAN.ravel() * 0.5 * scale, np.array([0.5 * scale], np.float32))
  tensors = under("model.") | dict(zip(names, other, strict=True))
  with pytest.raises(JaxkdError, match=r"=0\.1,0\.2,0\.3 --std=0\.5") as error:
    read(tensors)
  assert names[1].removeprefix("module.") in str(error.value)
  assert str(error.value).count("\n") < 2


def test_a_variance_is_that_of_the_normaliser():
  tensors = under("model.") | {"mean": MEAN, "variance": STD**2}
  same(read(tensors).variables, network()[0])
  with pytest.raises(JaxkdError, match=r"--std=0\.6,0\.5,0\.4"):
    read(tensors | {"variance": 4 * STD**2})


def test_a_normaliser_that_divides_by_255():
  spec = SPEC._replace(mean=(0.0,) * 3, std=(1.0,) * 3)
  tensors = under("") | {
    "mean": np.zeros(1, "f4"),
    "std": np.full(1, 255, "f4"),
  }
  same(convert(MODEL, spec, tensors).variables, network()[0])
  with pytest.raises(JaxkdError, match="--mean=0 --std=1"):
    read(tensors)


def test_a_normaliser_of_integers():
  tensors = under("") | {
    "mean": np.array([51, 102, 153]),
    "std": np.full(3, 51),
  }
  with pytest.raises(JaxkdError, match=r"--mean=0.2,0.4,0.6 --std=0.2,0.2,0.2"):
    read(tensors)


def test_a_prefix_that_no_tensor_has():
  with pytest.raises(JaxkdError, match=r"--prefix=ema.: no tensor .* model\."):
    convert(MODEL, SPEC, under("model."), prefix="ema")


def test_an_empty_tensor_is_left_out():
  tensors = under("") | {"history": np.zeros((0, 3), np.float32)}
  assert read(tensors).notes == ("left out: history",)


def test_a_mean_alone_is_subtracted():
  spec = SPEC._replace(std=(1.0,) * 3)
  tensors = under("") | {"mean": MEAN}
  same(convert(MODEL, spec, tensors).variables, network()[0])
  with pytest.raises(JaxkdError, match="--mean=0.2,0.4,0.6 --std=1"):
    read(tensors)


def test_statistics_of_layers_are_no_normaliser():
  tensors = under("") | {"extra.running_mean": np.ones(3, np.float32)}
  with pytest.raises(JaxkdError, match="extra.running_mean not used"):
    read(tensors)


def test_one_output_for_two_classes():
  variables, tensors = network(classes=2)
  single = {
    name: leaf[1:] if name.startswith("fc1.") else leaf
    for name, leaf in tensors.items()
  }
  spec = SPEC._replace(num_classes=2)
  converted = convert(MODEL, spec, single)
  assert "one output" in converted.notes[0]
  dense = converted.variables["params"]["Dense_0"]
  expected = variables["params"]["Dense_0"]
  np.testing.assert_array_equal(dense["kernel"][:, 1], expected["kernel"][:, 1])
  assert not dense["kernel"][:, 0].any() and not dense["bias"][0]


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16, np.float64])
def test_other_floats(dtype):
  tensors = {name: leaf.astype(dtype) for name, leaf in under("").items()}
  converted = read(tensors)
  expected = jax.tree.map(
    lambda leaf: np.asarray(leaf).astype(dtype).astype(np.float32),
    network()[0],
  )
  same(converted.variables, expected)


LEAVES = {
  "weight": "gamma", "bias": "beta", "running_mean": "moving_mean",
  "running_var": "moving_variance",
}  # fmt: skip


@pytest.mark.parametrize(
  "rename",
  [
    lambda name: name.replace(".", "/"),
    lambda name: f" {name} ",
    lambda name: ".".join(
      LEAVES.get(part, part) if "bn" in name else part
      for part in name.split(".")
    ),
  ],
  ids=["slashes", "spaces", "gamma and beta"],
)
def test_names_as_other_libraries_write_them(rename):
  variables, tensors = network()
  given = {rename(name): tensor for name, tensor in tensors.items()}
  same(read(given).variables, variables)


@pytest.mark.parametrize("head", ["fc1", "head"])
def test_a_last_layer_without_bias_gets_zeros(head):
  tensors = under("module.")
  tensors[f"module.{head}.weight"] = tensors.pop("module.fc1.weight")
  del tensors["module.fc1.bias"]
  converted = read(tensors)
  params = network()[0]["params"]
  head = params["Dense_0"] | {"bias": jnp.zeros(4)}
  same(converted.variables["params"], params | {"Dense_0": head})
  assert "fc1.bias is 0, the file has none" in converted.notes


def test_fused_batch_normalisation_is_named():
  tensors = under("")
  fused = {
    name: tensor for name, tensor in tensors.items() if "bn" not in name
  } | {"conv1.bias": np.ones(len(tensors["conv1.weight"]), "f4")}
  with pytest.raises(JaxkdError, match=r"has been fused.*--torch="):
    read(fused)
  with pytest.raises(JaxkdError, match="jaxkd.from_linen"):
    read(fused | {"se.weight": np.ones((4, 4), "f4")})


def test_missing_statistics_are_not_taken_for_fused_layers():
  tensors = under("")
  averaged = {n: t for n, t in tensors.items() if ".running_" not in n}
  with pytest.raises(JaxkdError, match=r"running_mean.*missing") as error:
    read(averaged)
  assert "fused" not in str(error.value)


def test_numbers_of_moving_averages_are_left_out():
  tensors = under("") | {
    "model_ema.decay": np.float32(0.999),
    "model_ema.num_updates": np.int64(7),
  }
  same(read(tensors).variables, network()[0])
