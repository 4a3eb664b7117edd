"""Fixtures of several modules of whole runs."""

from dense_generator import dense_generator
import pytest

from jaxkd.methods import ideal


@pytest.fixture(scope="module")
def dense():
  """A generator that compiles at once, for images of any size."""

  def create(name, spec, **fields):
    return dense_generator(side=spec.shape[0])

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(ideal, "create_generator", create)
    yield
