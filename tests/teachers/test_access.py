"""A run that goes on has the ledger that it left."""

import numpy as np
import pytest

import jaxkd
from jaxkd.errors import JaxkdError
from jaxkd.runtime import buckets
from jaxkd.runtime.metrics import MetricsWriter
from jaxkd.teachers.access import LEDGER_NAME, open_teacher
from jaxkd.types import DataSpec

SPEC = DataSpec("toy", (4, 4, 1), 10, (0.5,), (0.5,))
CONFIG = jaxkd.load_config("configs/procedural.py:smoke")
FUNCTION = jaxkd.black_box(lambda images: [0] * len(images), num_classes=10)


def opened(folder):
  dataset = jaxkd.Dataset.without_images(SPEC)
  return open_teacher(CONFIG, dataset, None, folder, None, FUNCTION)


@pytest.mark.parametrize(
  "damage",
  [
    lambda path: path.unlink(),
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(
      path.read_bytes()[: len(path.read_bytes()) // 2]
    ),
  ],
)
def test_a_ledger_that_was_cut_is_not_gone_on_with(tmp_path, damage):
  images = np.arange(5 * 16, dtype=np.uint8).reshape(5, 4, 4, 1)
  with MetricsWriter(tmp_path) as metrics:
    for step in (1, 2):
      with opened(tmp_path) as teacher:
        teacher.oracle.answer(images + np.uint8(step))
        metrics.write("synthesis", step, **teacher.spent())
  with opened(tmp_path) as teacher:
    assert teacher.spent() == {"spent": 10}
  damage(tmp_path / LEDGER_NAME)
  for _ in range(2):
    with (
      pytest.raises(
        JaxkdError, match=r"ledger.jsonl has \d images, but .* 10:"
      ),
      opened(tmp_path),
    ):
      pass


def test_a_ledger_that_is_asked_by_it_needs_a_disk():
  with (
    pytest.raises(JaxkdError, match="--workdir=memory://a/run: a teacher beh"),
    buckets.opened("memory://a/run") as folder,
    opened(folder),
  ):
    pass
