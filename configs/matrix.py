"""Teachers by students, budgets, samples and steps: the figures of the papers.

  python -m jaxkd.main --config=configs/matrix.py --workdir=DIR
  python -m jaxkd.main --config=configs/matrix.py:of=models,dataset=cifar10
  python -m jaxkd.main --config=configs/matrix.py:method=dafl
  python -m jaxkd.main --config=configs/matrix.py:of=budgets,dataset=mnist
  python -m jaxkd.main --config=configs/matrix.py:of=samples
  python -m jaxkd.main --config=configs/matrix.py:of=steps,smoke

`scales` (networks of one family) and `models` (of different ones) are the
matrices of CAKE's poster, whose numbers were drawn and not printed; `method`
takes another method in CAKE's place. `budgets`, `samples` and `steps` are
figures 3 to 5 of IDEAL.
"""

from jaxkd import config as c

LENETS = dict(
  image_size=0,
  networks=("zsdb3kd_lenet5", "zsdb3kd_lenet5_half", "zsdb3kd_lenet5_fifth"),
)
RESNETS = dict(image_size=0, networks=("resnet50", "resnet34", "resnet18"))
MIXED = dict(image_size=32, networks=("mlp", "cake_cnn", "resnet18", "vit4"))
SCALES = {
  "mnist_5k": LENETS,
  "mnist": LENETS,
  "fashion_mnist": LENETS,
  "svhn_cropped": RESNETS,
  "cifar10": RESNETS,
  "cifar100": RESNETS,
}
MODELS = dict.fromkeys(SCALES, MIXED)
MODELS["mnist_5k"] = dict(
  image_size=32, networks=("mlp", "lenet5", "cnn_quarter")
)
# By data set: a small and a large budget.
BUDGETS = {
  "mnist_5k": (2_500, 25_000),
  "mnist": (25_000, 250_000),
  "fashion_mnist": (100_000, 1_000_000),
  "cifar10": (200_000, 10_000_000),
}
ATTACKS = {"IDEAL": "ideal", "ZSDB3": "zsdb3kd", "DFME": "dfme"}
BUDGET_NUMBERS = {
  "cifar10": ((63.77, None, None), (None, 56.39, 57.94)),
}
STEPS = (3, 5, 10, 30, 50)
# By steps: accuracy on test data (table 5 of IDEAL), on its own images (text).
STEP_NUMBERS = {
  "cifar10": (
    (30.25, None), (57.56, None), (68.82, 63.78), (62.45, None), (58.69, 100.0),
  ),
}  # fmt: skip
JUDGED = {
  "accuracy": "student.accuracy",
  "on its own images": "student.synthetic_agreement",
}


def get_config(argument: str = ""):
  args = c.arguments(argument, dataset="mnist_5k", of="scales", method="cake")
  c.forbid(args, "teacher", "student")
  rest = f",seeds={args.get('seeds', 1)}" + ",smoke" * args["smoke"]
  makers = {
    "scales": pairs,
    "models": pairs,
    "budgets": budgets,
    "samples": samples,
    "steps": steps,
  }
  return c.lookup(makers, args["of"], "of")(
    args, f"dataset={args['dataset']}{rest}"
  )


def pairs(args: dict, rest: str):
  """Every network as teacher and as student of every other."""
  which, method = args["of"], args["method"]
  table = SCALES if which == "scales" else MODELS
  row = c.lookup(table, args["dataset"])
  networks = row["networks"]
  cells = {}
  for teacher in networks:
    for student in networks:
      pair = f"{rest},teacher={teacher},student={student}"
      config = c.sibling(__file__, method, pair)
      config.image_size = row["image_size"]
      cells[f"{teacher}_{student}"] = c.cell(teacher, student, config)
  return c.table(
    f"{method}_{which}",
    f"{method} across {which}, on {args['dataset']}",
    networks,
    networks,
    cells,
    figures=("matrix",),
  )


def budgets(args: dict, rest: str):
  """Figure 3 of IDEAL: every attack with a small and a large budget."""
  dataset, cells = args["dataset"], {}
  sizes = c.lookup(BUDGETS, dataset)
  numbers = BUDGET_NUMBERS.get(dataset, ((None,) * 3,) * 2)
  for size, published in zip(sizes, numbers, strict=True):
    for (column, name), number in zip(ATTACKS.items(), published, strict=True):
      config = attack(name, rest)
      if not args["smoke"]:
        config.queries.budget = size
      cells[f"{name}_{size}"] = c.cell(
        f"{size:,} queries", column, config, published=number
      )
  return c.table(
    "ideal_budgets",
    f"Figure 3 of Zhang et al. (IDEAL), ICLR 2023, on {dataset}",
    [f"{size:,} queries" for size in sizes],
    tuple(ATTACKS),
    cells,
    figures=("budgets",),
  )


def samples(args: dict, rest: str):
  """Figure 4 of IDEAL: the images that each attack makes."""
  cells = {
    name: c.cell(row, "accuracy", attack(name, rest))
    for row, name in ATTACKS.items()
  }
  return c.table(
    "ideal_samples",
    f"Figure 4 of Zhang et al. (IDEAL), ICLR 2023, on {args['dataset']}",
    tuple(ATTACKS),
    ("accuracy",),
    cells,
    figures=("samples",),
  )


def steps(args: dict, rest: str):
  """Figure 5 of IDEAL: images of a generator with few and with many steps."""
  dataset, cells = args["dataset"], {}
  numbers = STEP_NUMBERS.get(dataset, ((None, None),) * len(STEPS))
  for count, published in zip(STEPS, numbers, strict=True):
    config = c.sibling(__file__, "ideal", rest)
    config.synthesis.num_steps = count
    for (column, value), number in zip(JUDGED.items(), published, strict=True):
      cells[f"{column.split()[0]}_{count}"] = c.cell(
        f"E_G = {count}", column, config, value=value, published=number
      )
  return c.table(
    "ideal_steps",
    f"Figure 5 of Zhang et al. (IDEAL), ICLR 2023, on {dataset}",
    [f"E_G = {count}" for count in STEPS],
    tuple(JUDGED),
    cells,
    figures=("synthetic",),
  )


def attack(name: str, rest: str):
  """An attack on the teacher that IDEAL's config has, through labels alone."""
  shared, config = (c.sibling(__file__, n, rest) for n in ("ideal", name))
  c.share_networks(config, shared, shared.student.model)
  config.teacher.access = "label"
  return config
