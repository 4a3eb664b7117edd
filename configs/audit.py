r"""How far a model can be copied, as its budget of queries is spent.

  python -m jaxkd.main --config=configs/audit.py
  python -m jaxkd.main --config=configs/audit.py:attack=dfme,dataset=mnist
  python -m jaxkd.main --config=configs/audit.py:attack=procedural
  python -m jaxkd.main --config=configs/audit.py:attack=both
  python -m jaxkd.main --config=configs/audit.py:attack=procedural,defenses=all
  python -m jaxkd.main --config=configs/audit.py:attack=ideal,recipe=published
  python -m jaxkd.main --config=configs/audit.py \
      --config.teacher.url=http://127.0.0.1:8000 \
      --config.teacher.model_name=teacher \
      --config.teacher.authorization="Jane Doe, security review 17"

One run of the attack. The student is evaluated at every share of the budget in
`queries.eval_at`: accuracy and agreement against queries, in the report. All
arguments but `attack` and `defenses` are those of the attack's own config.
`attack=both` is a table of two runs, IDEAL and procedural images, each with
half of `budget` and a ledger of its own; against a service the flags of the
teacher are set for each, as `--config.cells.ideal.config.teacher.url=...`.
Before the end, procedural images and Knockoff Nets evaluate one of the students
that select, which is trained for less long than the final one. ZSDB3KD trains
its student after the last query, hence is evaluated at the end alone. Against a
service, agreement needs `--config.queries.evaluate`, which sends the test
images too, counted apart and out of the same budget.

`defenses` makes a table of the attack on a teacher in process, without a
defence and with each one that changes answers: `all`, or names with `+` between
them. Where the attack does with labels it runs with these and with
probabilities, as an attacker may. The last line names the cheapest defence that
was measured to help, with its price, or says that there is none.
"""

from jaxkd import config as c, defenses, methods

ATTACKS = (
  "dast", "dfme", "ideal", "knockoff", "maze", "procedural", "zsdb3kd",
)  # fmt: skip
ACCESSES = {"labels": "label", "probabilities": "probs"}
BOTH = {"IDEAL": "ideal", "procedural": "procedural"}
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)


def get_config(argument: str = ""):
  parts = [part.strip().partition("=") for part in (argument or "").split(",")]
  given = {name: value for name, _, value in parts}
  attack, chosen = given.get("attack", "ideal"), given.get("defenses", "")
  rest = c.without(argument, "attack", "defenses")
  if attack == "both" and not chosen:
    return both(rest)
  if attack not in ATTACKS:
    raise c.JaxkdError(
      f"attack={attack}: an audit needs an attack on a black box; choose one "
      f"of {', '.join(ATTACKS)}, or without defenses both for IDEAL and "
      "procedural images."
    )
  if chosen:
    return defended(attack, rest, chosen, given.get("access"))
  return audit(attack, rest)


def audit(attack: str, rest: str):
  """One attack, evaluated at every share of its budget."""
  config = c.sibling(__file__, attack, rest)
  selection = config.synthesis.get("selection", {"criterion": "none"})
  selects = selection["criterion"] != "none"
  if selects or "round_optimizer" in config.student:  # else none in between
    config.queries.eval_at = SHARES
  return config


def both(rest: str):
  """Two attacks, each with half of the budget."""
  parts = dict(part.partition("=")[::2] for part in rest.split(","))
  rest = c.without(rest, "budget")
  budget = audit("ideal", rest).queries.budget
  half = c.number({"budget": budget, **parts}, "budget") // 2
  if half < 1:
    raise c.JaxkdError(
      f"budget={parts['budget']}: two attacks share it; choose 2 or more."
    )
  rest = f"{rest},budget={half}".strip(",")
  cells = {
    attack: c.cell(row, "student", audit(attack, rest))
    for row, attack in BOTH.items()
  }
  title = f"Two attacks that share a budget of {2 * half:,} queries"
  return c.table("both_attacks", title, tuple(BOTH), ("student",), cells)


def defended(attack: str, rest: str, chosen: str, access: str | None):
  """One attack on a teacher without a defence, and with each of some."""
  names = defenses.answer_names() if chosen == "all" else chosen.split("+")
  for name in names:
    if not defenses.changes_answers(name):
      raise c.JaxkdError(
        f"defenses={name} trains another teacher; choose all or some of "
        f"{'+'.join(defenses.answer_names())}."
      )
  if access not in (None, *ACCESSES.values()):
    raise c.JaxkdError(
      f"access={access}: defences change answers; choose label or probs, or "
      "leave it out for both."
    )
  attacks = {}
  for column, level in ACCESSES.items():
    if level == access or (not access and has_access(attack, level)):
      attacks[column] = c.sibling(__file__, attack, rest)
      attacks[column].teacher.access = level
  dataset = next(iter(attacks.values())).dataset
  return c.table(
    f"audit_{attack}",
    f"{attack} on {dataset}, with defences of the teacher's answers",
    (c.UNDEFENDED, *names),
    (*c.HONEST, *attacks),
    c.cells_of_defenses(names, attacks),
    prices=tuple(c.HONEST),
  )


def has_access(attack: str, level: str) -> bool:
  """Whether an access is enough for an attack."""
  needed = methods.info(attack).access
  return c.ACCESS_LEVELS.index(level) >= c.ACCESS_LEVELS.index(needed)
