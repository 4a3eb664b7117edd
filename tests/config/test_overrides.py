"""What is set on the command line, before it is applied."""

import pytest

from jaxkd import config as c
from jaxkd.config import overrides
from jaxkd.errors import JaxkdError
from jaxkd.pipeline import resolution
from jaxkd.tables import runner


@pytest.mark.parametrize(
  ("override", "message"),
  [
    ("student.augment=5", r"student.augment=\(5,\): .* strings"),
    ("student.optimizer=sgd", "student.optimizer='sgd': a block .*milestones"),
    (
      "student.optimizer={'name': 5}",
      "student.optimizer.name=5: choose",
    ),
    ("student.optimizer.milestones=x", "milestones=.'x',.: .* numbers"),
    ("student.optimizer.learning_rate=fast", "learning_rate='fast': .* number"),
    ("student.epochs=1e3", "student.epochs=1000.0: choose an integer"),
    ("student.epochs.more=1", "student.epochs holds no further fields"),
    ("seed=99999999999999999999", "seed=9+: choose an integer"),
    ("tensorboard=maybe", "tensorboard='maybe': choose True or False"),
    ("teacher.access", None),
    ("teacher.validation_fraction=0.5", None),
    ("teacher.optimizer.name=adam", None),
    ("teacher.url=5", None),
    ("student.augment=crop", None),
    ("student.augment=('crop', 'flip')", None),
    ("queries.evaluate=true", None),
    ("grid.temperature=(20, 50)", None),
    ("grid.temperature=(20, 'a')", r"grid.temperature=\(20, 'a'\): .* numbers"),
    ("grid.beta=(1,)", "Unknown field in grid 'beta'"),
    ("quries.budget=5", "Unknown field 'quries'. Did you mean queries"),
    ("queries.marks=(0.5,)", "queries.marks is called queries.eval_at now"),
    ("queries.bugdet=5", "field in queries 'bugdet'. Did you mean budget"),
    ("synthesis.num_sets=5", "field in synthesis 'num_sets'.* fraction"),
  ],
)
def test_overrides_of_a_run(override, message):
  check("configs/kd.py:smoke", f"--config.{override}", message)


@pytest.mark.parametrize(
  ("override", "message"),
  [
    ("cells.lenet5_half_htc.config.seed=1", None),
    ("cells.lenet5_half_htc.config.sed=1", "Did you mean seed"),
    ("cells.lenet5_half_hct.config.seed=1", "Did you mean lenet5_half_htc"),
    ("unit=nat", "Did you mean nats"),
  ],
)
def test_overrides_of_a_table(override, message):
  check("configs/nasty_table.py:smoke", f"--config.{override}", message)


def check(name, argument, message):
  config = c.load_config(name)
  block = (runner if "cells" in config else resolution).declared(config)
  texts = overrides.overrides([f"--config={name}", argument, "--plan"])
  assert len(texts) == 1
  if message is None:
    overrides.check(block, texts)
  else:
    with pytest.raises(JaxkdError, match=message):
      overrides.check(block, texts)
