"""How many images a device optimises at once."""

import jax
import pytest

from jaxkd import models
from jaxkd.data import spec as data_spec
from jaxkd.export.stablehlo import serialize
from jaxkd.runtime import compile_target
from jaxkd.serialization.stablehlo import from_export
from jaxkd.synthesis import memory_estimate

SPEC = data_spec("cifar10")


def network(name, dtype="float32"):
  return models.with_compute_dtype(models.abstract(name, SPEC), dtype)


class Device:
  platform = "gpu"

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


def test_an_artefact_is_estimated_from_its_maps():
  network = models.init("resnet8_8", jax.random.key(0), SPEC)
  artefact = from_export(serialize(network, SPEC), SPEC)
  estimate = memory_estimate.residual_bytes(artefact, SPEC)
  kept = memory_estimate.residual_bytes(network, SPEC)
  assert kept / 3 < estimate < 3 * kept


def test_candidates_of_a_set_leave_room_for_fewer_images(monkeypatch):
  monkeypatch.setattr(jax, "local_devices", lambda: [Device(10**9)])
  none, some, many = (
    memory_estimate.images_per_round(
      network("resnet18"), SPEC, 1, 32_000, matched
    )
    for matched in (0, 1000, 100_000)
  )
  assert none > some > many == 1


@pytest.mark.parametrize(
  ("shape", "images", "compiled"),
  [((32, 32, 1), 256_000, 1.065e9), ((224, 224, 3), 12_800, 8.867e9)],
)
def test_copies_from_all_devices_are_what_the_compiler_makes(
  shape, images, compiled
):
  """The all-gathers of CAKE's rounds in jaxkd/bench/aot/results.md."""
  spec = SPEC._replace(shape=shape)
  copied = memory_estimate.copied_bytes(images, spec, 8)
  assert copied == pytest.approx(compiled, rel=0.2)
  assert memory_estimate.copied_bytes(images, spec, 1) == 0


def test_copies_from_many_devices_leave_less_room_on_each(monkeypatch):
  monkeypatch.setattr(jax, "local_devices", lambda: [Device(10**9)])
  on_one, on_two, on_many = (
    memory_estimate.images_per_round(network("resnet8_8"), SPEC, devices, 10**8)
    / devices
    for devices in (1, 2, 256)
  )
  assert on_one == on_two > 2 * on_many


def test_devices_of_the_cpu_share_its_memory():
  """The tests have two."""
  total = 2 * compile_target.memory_bytes()
  assert 2**30 < total < 2**50


@pytest.mark.parametrize(
  ("limit", "fills"), [(None, False), (10**12, False), (10**9, True)]
)
def test_a_round_is_what_fits(limit, fills, monkeypatch):
  monkeypatch.setattr(jax, "local_devices", lambda: [Device(limit)])
  result = memory_estimate.images_per_round(
    network("resnet18"), SPEC, 2, 32_000
  )
  if not fills:
    assert result == 32_000
    return
  each = memory_estimate.image_bytes(network("resnet18"), SPEC, 2)
  free = 2 * memory_estimate.SHARE * limit
  assert result * each <= free < (result + 2) * each
