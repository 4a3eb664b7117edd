"""Whole runs with several seeds: teacher, images and student anew in each.

  python -m jaxkd.main --config=configs/repeats.py
  python -m jaxkd.main --config=configs/repeats.py:of=cake,dataset=mnist
  python -m jaxkd.main --config=configs/repeats.py:of=kd,repeats=5
  python -m jaxkd.main --config=configs/repeats.py:smoke

A row for each seed, and the mean with its standard deviation. `student.seeds`
of a run, in contrast, trains several students on the same images of the same
teacher. All other arguments are those of the config that `of` names.
"""

from jaxkd import config as c

JUDGED = {
  "teacher": "teacher.accuracy",
  "student": "student.accuracy",
  "agreement": "student.agreement",
}


def get_config(argument: str = ""):
  own = {"of": "cake", "repeats": "3"}
  for part in (argument or "").split(","):
    name, equals, value = part.strip().partition("=")
    if name in own and equals:
      own[name] = value
  count = c.number(own, "repeats")
  if count < 1:
    raise c.JaxkdError(f"repeats={count}: choose 1 or more.")
  config = c.sibling(__file__, own["of"], c.without(argument, *own))
  cells, first = {}, config.seed
  for seed in range(first, first + count):
    config.seed = seed
    for column, value in JUDGED.items():
      cells[f"seed_{seed}_{column}"] = c.cell(
        f"seed {seed}", column, config, value=value
      )
  return c.table(
    f"repeats_{own['of']}",
    f"{count} whole runs of {own['of']} on {config.dataset}",
    [f"seed {seed}" for seed in range(first, first + count)],
    tuple(JUDGED),
    cells,
    mean=True,
  )
