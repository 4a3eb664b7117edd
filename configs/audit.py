r"""How far a model can be copied, as its budget of queries is spent.

  python -m jaxkd.main --config=configs/audit.py
  python -m jaxkd.main --config=configs/audit.py:attack=dfme,dataset=mnist
  python -m jaxkd.main --config=configs/audit.py \
      --config.teacher.url=http://127.0.0.1:8000 \
      --config.teacher.model_name=teacher \
      --config.teacher.authorization="Jane Doe, security review 17"

One run of the attack, judged at every mark: accuracy and agreement against
queries, in the report. Against a service, agreement needs
`--config.queries.evaluate`, which sends the test images too, counted apart and
out of the same budget.
"""

from jaxkd import config as c

SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)


def get_config(argument: str = ""):
  found = c.arguments(argument, dataset="mnist_5k", attack="ideal")
  config = c.sibling(__file__, found["attack"], c.without(argument, "attack"))
  config.queries.marks = SHARES
  return config
