r"""How far a model can be copied, as its budget of queries is spent.

  python -m jaxkd.main --config=configs/audit.py
  python -m jaxkd.main --config=configs/audit.py:attack=dfme,dataset=mnist
  python -m jaxkd.main --config=configs/audit.py:attack=ideal,paper
  python -m jaxkd.main --config=configs/audit.py \
      --config.teacher.url=http://127.0.0.1:8000 \
      --config.teacher.model_name=teacher \
      --config.teacher.authorization="Jane Doe, security review 17"

One run of the attack. The student is evaluated at every share of the budget in
`queries.eval_at`: accuracy and agreement against queries, in the report. All
arguments but `attack` are those of the attack's own config. ZSDB3KD trains its
student after the last query, hence is evaluated at the end alone. Against a
service, agreement needs `--config.queries.evaluate`, which sends the test
images too, counted apart and out of the same budget.
"""

from jaxkd import config as c

ATTACKS = ("dast", "dfme", "ideal", "maze", "zsdb3kd")
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)


def get_config(argument: str = ""):
  parts = [part.strip().partition("=") for part in (argument or "").split(",")]
  attack = {name: value for name, _, value in parts}.get("attack", "ideal")
  if attack not in ATTACKS:
    raise c.JaxkdError(
      f"attack={attack}: an audit needs an attack on a black box; choose one "
      f"of {', '.join(ATTACKS)}."
    )
  config = c.sibling(__file__, attack, c.without(argument, "attack"))
  if "round_optimizer" in config.student:  # else there is nothing in between
    config.queries.eval_at = SHARES
  return config
