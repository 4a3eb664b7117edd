"""How many images a device optimises at once."""

import jax
import pytest

from jaxkd import models
from jaxkd.data import spec as data_spec
from jaxkd.synthesis import memory_estimate

SPEC = data_spec("cifar10")


def network(name, dtype="float32"):
  return models.with_compute_dtype(models.abstract(name, SPEC), dtype)


class Device:
  def __init__(self, limit):
    self.stats = {"bytes_limit": limit} if limit else None

  def memory_stats(self):
    return self.stats


def test_deeper_networks_keep_more_and_bfloat16_less():
  small, large = map(network, ("resnet8_16", "resnet18"))
  kept = memory_estimate.residual_bytes(large, SPEC)
  # 17 maps of 3x3 convolutions, from 64 x 32 x 32 to 512 x 4 x 4.
  maps = 4 * (5 * 65_536 + 4 * 32_768 + 4 * 16_384 + 4 * 8_192)
  assert maps / 2 < kept < 3 * maps
  assert kept > 4 * memory_estimate.residual_bytes(small, SPEC)
  reduced = memory_estimate.residual_bytes(
    network("resnet18", "bfloat16"), SPEC
  )
  assert reduced < 0.7 * kept


@pytest.mark.parametrize(
  ("limit", "expected"), [(None, 32_000), (10**12, 32_000), (10**9, None)]
)
def test_a_round_is_what_fits(limit, expected, monkeypatch):
  monkeypatch.setattr(jax, "local_devices", lambda: [Device(limit)])
  result = memory_estimate.images_per_round(
    network("resnet18"), SPEC, 2, 32_000
  )
  kept = memory_estimate.residual_bytes(network("resnet18"), SPEC)
  assert (
    result == expected or result * kept <= 2 * memory_estimate.SHARE * limit
  )
  assert result >= 2
