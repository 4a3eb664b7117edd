"""Processes of one run agree on values, errors and arrays."""

from process_groups import free_port, logs, start, statuses
import pytest

import jaxkd
from jaxkd.runtime import processes

PROGRAM = """
import sys
import jax, jax.numpy as jnp, numpy as np
from jaxkd.errors import BudgetExhausted, JaxkdError
from jaxkd.runtime import devices, parallel, processes

me, port = int(sys.argv[1]), sys.argv[2]
processes.join(
  f"127.0.0.1:{port}", 2, me, initialization_s=120, heartbeat_s=100
)
assert processes.is_multiprocess() and processes.is_primary() == (me == 0)
assert processes.broadcast(7 + me) == 7
assert processes.any_process(me == 1, False) == (True, False)

def raised(kind, by):
  try:
    with processes.raise_on_all():
      if me == by:
        raise kind(f"raised by {by}")
  except JaxkdError as error:
    assert type(error) is kind and str(error) == f"raised by {by}", error
    return True

assert raised(JaxkdError, 0) and raised(JaxkdError, 1)
assert raised(BudgetExhausted, 0)
with processes.raise_on_all():
  pass
processes.check_same("this", "equal")
try:
  processes.check_same("that", f"{me}")
  raise AssertionError
except JaxkdError as error:
  assert "differ in that" in str(error)

tree = {"x": np.arange(4.0), "key": jax.random.key(3), "n": 2, "none": None}
there = devices.replicate(tree)
assert not there["x"].is_fully_addressable
back = devices.to_local(jax.jit(lambda tree: tree)(there))
assert back["x"].is_fully_addressable and back["key"].is_fully_addressable
np.testing.assert_array_equal(back["x"], tree["x"])
assert jax.random.bits(back["key"]) == jax.random.bits(tree["key"])
doubled = devices.over_sets(lambda shared, batched: shared * batched)
result = jax.jit(doubled)(devices.replicate(2.0), there["x"])
assert not result.is_fully_replicated
np.testing.assert_array_equal(devices.to_local(result), 2 * np.arange(4.0))

def step(state, shared, batch):
  return state + parallel.mean(batch.sum()) + 0 * parallel.device_index()

step = parallel.DataParallel(step)
split = parallel.split_batches(jnp.arange(8.0).reshape(2, 4))
state = step(devices.replicate(jnp.float32(1)), None, split)
state = step(state, None, split)
assert float(devices.to_local(state)) == 1 + 28 / 2 * 2
print("all is well")
"""


def test_what_processes_share(tmp_path):
  port = str(free_port())
  processes = [
    start(["-c", PROGRAM, str(index), port], tmp_path / f"log{index}")
    for index in range(2)
  ]
  assert statuses(processes) == [0, 0], logs(tmp_path)
  for index in range(2):
    assert "all is well" in (tmp_path / f"log{index}").read_text()


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ((None, 2, None), "belong together"),
    (("here", 2, 0), "--coordinator=here is no address; write HOST:PORT"),
  ],
)
def test_processes_that_can_not_be_joined_are_refused_with_the_reason(
  arguments, message
):
  with pytest.raises(jaxkd.JaxkdError, match=message):
    processes.join(*arguments, initialization_s=1, heartbeat_s=10)
