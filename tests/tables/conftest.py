"""Fixtures of the tests of tables."""

import pytest
from table_cells import Runs

from jaxkd.pipeline import distill
from jaxkd.tables import runner


@pytest.fixture
def runs(monkeypatch):
  runs = Runs()
  monkeypatch.setattr(distill, "distill", runs)
  monkeypatch.setattr(runner, "check_cells", lambda config, folder: None)
  return runs
