"""What defences of the answer cost honest users, and what attacks still get.

  python -m jaxkd.main --config=configs/answer_defenses.py --workdir=DIR
  python -m jaxkd.main --config=configs/answer_defenses.py:dataset=mnist
  python -m jaxkd.main --config=configs/answer_defenses.py:smoke

A row for each defence of `jaxkd.defenses` that changes answers alone, with the
defaults of its fields, and one without. Honest users see the teacher's accuracy
and calibration error on test data. The attacks are all on the same LeNet-5,
with a LeNet-5 as student: knowledge distillation on the owner's training images
with the teacher's answers, procedural images that nobody optimised, with the
probabilities and with the labels of the answers, DFME with probabilities, and
IDEAL with labels, without its ensemble. Where a defence never changes a label,
the attacks by labels are the run without one. The lines below the table name
the cheapest defence that was measured to help against each attack, and against
the strongest one of each row.
`mnist_5k` is sized for two CPU cores; the others have the budgets of IDEAL's
paper, for DFME as well.
"""

from jaxkd import config as c, defenses

# By data set: queries of procedural images and of IDEAL, of DFME, and epochs of
# their students and of distillation.
RECIPES = {
  "mnist_5k": dict(budget=2_000, dfme=60_000, epochs=40, kd_epochs=10),
  "mnist": dict(budget=25_000, dfme=25_000, epochs=36, kd_epochs=10),
  "fashion_mnist": dict(
    budget=100_000, dfme=100_000, epochs=9, kd_epochs=10
  ),
}  # fmt: skip
SMOKE = dict(budget=200, dfme=560, epochs=2, kd_epochs=2)


def get_config(argument: str = ""):
  args = c.arguments(argument, dataset="mnist_5k")
  c.forbid(args, "teacher", "student")
  recipe = c.lookup(RECIPES, args["dataset"])
  if args["smoke"]:
    recipe = {**recipe, **SMOKE}
  attacks = make_attacks(argument, recipe)
  names = defenses.answer_names()
  return c.table(
    "answer_defenses",
    f"Defences of the answer by attack, on {args['dataset']}",
    (c.UNDEFENDED, *names),
    (*c.HONEST, *attacks),
    c.cells_of_defenses(names, attacks, [*filter(defenses.keeps_label, names)]),
    prices=tuple(c.HONEST),
  )


def make_attacks(argument: str, recipe: dict):
  """The attacks by their columns, all on the teacher of procedural images."""

  def attack(name: str, arguments: str = "", **fields: object):
    config = c.sibling(__file__, name, f"{argument},{arguments}".strip(","))
    c.share_networks(config, shared, shared.student.model)
    config.update_from_flattened_dict(fields)
    return config

  def procedural(access: str):
    return c.sibling(__file__, "procedural", f"{plain},access={access}")

  plain = f"{argument},select=none,budget={recipe['budget']}".strip(",")
  shared = procedural("probs")
  epochs = {"student.epochs": recipe["epochs"]}
  attacks = {
    "KD on real images": attack(
      "kd",
      "labels=teacher",
      **{
        "teacher.access": "probs",
        "synthesis.answers": "once",
        "queries.budget": 1_000_000,  # more than there are images
        "student.epochs": recipe["kd_epochs"],
      },
    ),
    "procedural, probabilities": shared,
    "procedural, labels": procedural("label"),
    "DFME": attack("dfme", **{"queries.budget": recipe["dfme"]}),
    "IDEAL": attack(
      "ideal",
      **{
        "queries.budget": recipe["budget"],
        "synthesis.ensemble": 0,
        "synthesis.extra_images": 0,
      },
      **epochs,
    ),
  }
  # The recorded runs have this weight decay, which the recipe had before.
  students = {**epochs, "student.optimizer.weight_decay": 5e-3}
  for name in ("procedural, probabilities", "procedural, labels"):
    attacks[name].update_from_flattened_dict(students)
  return attacks
