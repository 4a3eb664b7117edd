"""Processes that share a run ask no paid teacher, and have config and data in
common.
"""

import numpy as np
import pytest

import jaxkd
from jaxkd.pipeline import hosts
from jaxkd.runtime import processes

CONFIG = "configs/cake.py:dataset=two_moons,smoke"
SPEC = jaxkd.DataSpec("mine", (2,), 2, (0.0,), (1.0,))
DATASET = jaxkd.Dataset.without_images(SPEC)


@pytest.mark.parametrize("field", ["url", "replay"])
def test_several_processes_ask_no_paid_teacher(monkeypatch, field):
  config = jaxkd.load_config(CONFIG)
  config.teacher[field] = "there"
  assert hosts.check(config, DATASET) is None  # one process may
  monkeypatch.setattr(processes, "is_multiprocess", lambda: True)
  with pytest.raises(jaxkd.JaxkdError, match=rf"teacher.{field}=there: only"):
    hosts.check(config, DATASET)


def test_a_fingerprint_is_of_config_and_data():
  config = jaxkd.load_config(CONFIG)
  other = DATASET._replace(train_labels=np.ones(1, np.int32))
  first = hosts.fingerprint(config, DATASET)
  assert first == hosts.fingerprint(config, DATASET)
  assert first != hosts.fingerprint(config, other)
  config.seed = 1
  assert first != hosts.fingerprint(config, DATASET)
