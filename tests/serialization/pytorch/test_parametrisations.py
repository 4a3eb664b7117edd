"""Weights that PyTorch computes from several tensors."""

import numpy as np
import pytest

from jaxkd.serialization.pytorch.normalisers import find_normaliser
from jaxkd.serialization.pytorch.parametrisations import computed_weights
from jaxkd.types import JaxkdError

RNG = np.random.default_rng(0)
DIRECTION = RNG.normal(size=(3, 2, 2, 2)).astype(np.float32)


@pytest.mark.parametrize(
  "names",
  [("a.weight_g", "a.weight_v"),
   ("a.parametrizations.weight.original0",
    "a.parametrizations.weight.original1"),
   ("weight_g", "weight_v")],
)  # fmt: skip
@pytest.mark.parametrize("axis", [0, 1, None])
def test_weight_normalisation(names, axis):
  others = tuple(other for other in range(4) if other != axis)
  norm = np.sqrt((DIRECTION**2).sum(others, keepdims=True))
  length = RNG.random(norm.shape if axis is not None else ()).astype("f4")
  given = dict(zip(names, (length, DIRECTION), strict=True)) | {"b": length}
  tensors, notes = computed_weights(given)
  weight = "weight" if names[0] == "weight_g" else "a.weight"
  assert tensors.keys() == {weight, "b"}
  np.testing.assert_allclose(
    tensors[weight], length * DIRECTION / norm, rtol=1e-6
  )
  assert notes == ["weight norm of 1 tensors computed"]


@pytest.mark.parametrize(
  "names",
  [("a.weight_orig", "a.weight_u", "a.weight_v"),
   ("a.parametrizations.weight.original", "a.parametrizations.weight.0._u",
    "a.parametrizations.weight.0._v")],
)  # fmt: skip
def test_spectral_normalisation_divides_by_the_largest_singular_value(names):
  left, values, right = np.linalg.svd(DIRECTION.reshape(3, 8))
  given = (DIRECTION, left[:, 0], right[0])
  tensors, _ = computed_weights(dict(zip(names, given, strict=True)))
  np.testing.assert_allclose(
    tensors["a.weight"], DIRECTION / values[0], rtol=1e-5
  )


def test_pruned_weights_are_zero():
  mask = (DIRECTION > 0).astype(np.float32)
  tensors, _ = computed_weights({"w_orig": DIRECTION, "w_mask": mask})
  np.testing.assert_array_equal(tensors["w"], np.maximum(DIRECTION, 0))


def test_another_parametrisation_is_named():
  names = ("f.0.parametrizations.weight.original",
           "f.0.parametrizations.weight.0.base")  # fmt: skip
  with pytest.raises(JaxkdError, match=r"remove_parametrizations\(net.f.0, 'w"):
    computed_weights(dict.fromkeys(names, DIRECTION))


@pytest.mark.parametrize(
  ("mean", "std"),
  [("mean_", "std_"), ("norm.mean_", "norm.std_"), ("MEAN", "STD"),
   ("_mean_buffer", "_std_buffer")],
)  # fmt: skip
def test_names_of_normalisers(mean, std):
  values = np.float32([0.4, 0.5, 0.6])
  normaliser = find_normaliser({mean: values, std: values / 2}, 3)
  assert normaliser.names == (mean, std)
  np.testing.assert_allclose(normaliser.std, values / 2)
