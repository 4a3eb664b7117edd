"""CaBaGE: a classifier copied through labels of images that its clones select.

  python -m jaxkd.main --config=configs/cabage.py
  python -m jaxkd.main --config=configs/cabage.py:access=probs
  python -m jaxkd.main --config=configs/cabage.py:dataset=cifar10
  python -m jaxkd.main --config=configs/cabage.py:smoke

No published numbers could be read: those that DisGUIDE has as well are of
`disguide.py`; `generators`, `candidates` and `criterion` are ours. The budgets
are those that IDEAL (ICLR 2023) compares methods at.
"""

from jaxkd import config as c

# IDEAL's, where DisGUIDE's script has a larger one.
BUDGETS = {"svhn_cropped": 100_000, "cifar10": 250_000, "cifar100": 2_000_000}


def get_config(argument: str = ""):
  args = c.arguments(argument, dataset="mnist_5k", access="label")
  config = c.sibling(__file__, "disguide", argument)
  config.method = "cabage"
  made = config.synthesis
  made.update(
    generators=2 if args["smoke"] else 4, candidates=4, criterion="margin"
  )
  # There are several generators to train.
  made.generator_steps = min(made.generator_steps, 2)
  # Three seeds of mnist_5k do not diverge without it; the records have it.
  made.clone_optimizer.clip_norm = 1.0
  if args["dataset"] in BUDGETS and not args["smoke"]:
    config.queries.budget = BUDGETS[args["dataset"]]
  return config
