"""IDEAL with one part changed, and beside methods that have more access.

  python -m jaxkd.main --config=configs/ideal_tables.py --workdir=DIR
  python -m jaxkd.main --config=configs/ideal_tables.py:of=access,dataset=mnist
  python -m jaxkd.main --config=configs/ideal_tables.py:of=generators
  python -m jaxkd.main --config=configs/ideal_tables.py:of=imbalance
  python -m jaxkd.main --config=configs/ideal_tables.py:of=domain,dataset=mnist
  python -m jaxkd.main --config=configs/ideal_tables.py:recipe=published,smoke

`ablation` is table 4 of IDEAL: without a term of the images' loss, and with one
generator for all rounds. `access` is table 1: from real images to labels alone,
under one budget. `generators` is table 6 without StyleGAN, which is not here,
and without DFME, whose generator is its own. `imbalance` is table 7: losses for
rare classes in place of the balance of the images. `domain` is table 8: `A`
trains on the classes that images were made for, without the teacher's labels,
and `B` on real images of another data set, `other`. The numbers of figures 3 to
5 and table 5 are those of `matrix.py`, of tables 2 and 3 of `field_table.py`.
"""

from jaxkd import config as c

# Numbers of the losses, as in the code of their papers.
HYPER = {
  "cross_entropy": {},
  "ldam": {"max_margin": 0.5, "scale": 30.0},
  "cb_focal": {"beta": 0.9999, "gamma": 2.0},
}
# By rows: fields of `synthesis` and numbers by data set.
ABLATION = {
  "IDEAL": (
    {},
    {
      "mnist": 96.32,
      "svhn_cropped": 86.91,
      "cifar10": 68.82,
      "imagenet12": 57.95,
    },
  ),
  "without balance": (
    {"weights.balance": 0.0},
    {
      "mnist": 95.76,
      "svhn_cropped": 83.21,
      "cifar10": 62.68,
      "imagenet12": 54.31,
    },
  ),
  "without classification": (
    {"weights.classification": 0.0},
    {
      "mnist": 15.21,
      "svhn_cropped": 12.48,
      "cifar10": 10.68,
      "imagenet12": 9.84,
    },
  ),
  "one generator": (
    {"restart": False},
    {
      "mnist": 95.26,
      "svhn_cropped": 80.53,
      "cifar10": 55.32,
      "imagenet12": 51.25,
    },
  ),
}
GENERATORS = {  # the paper does not name the data set
  name: ({"generator": name}, {})
  for name in ("upsampling", "dcgan", "transformer")
}
IMBALANCE = {
  "LDAM": (
    {"weights.balance": 0.0, "student_loss": "ldam"},
    {"cifar10": 62.14, "svhn_cropped": 82.24},
  ),
  "CB-Focal": (
    {"weights.balance": 0.0, "student_loss": "cb_focal"},
    {"cifar10": 63.31, "svhn_cropped": 81.58},
  ),
  "IDEAL": ({}, {"cifar10": 68.82, "svhn_cropped": 87.65}),
}
DOMAIN = {
  "A": ({"labels": "meant"}, {"svhn_cropped": 22.64}),
  "B": ({"source": "real"}, {"svhn_cropped": 39.68}),
  "IDEAL": ({}, {"svhn_cropped": 87.65}),
}
VARIANTS = {
  "ablation": ("4", ABLATION),
  "generators": ("6", GENERATORS),
  "imbalance": ("7", IMBALANCE),
  "domain": ("8", DOMAIN),
}
OTHERS = {  # than the data set: real images of method B
  "mnist_5k": "fashion_mnist",
  "mnist": "fashion_mnist",
  "fashion_mnist": "mnist",
  "svhn_cropped": "cifar10",
  "cifar10": "svhn_cropped",
}
# Table 1: config, access, and numbers by data set.
ACCESS = {
  "Normal KD": (
    "kd",
    "white_box",
    {"mnist": 98.91, "cifar10": 94.34, "cifar100": 76.87},
  ),
  "CMI": (
    "cmi",
    "white_box",
    {"mnist": 98.20, "cifar10": 92.22, "cifar100": 74.47},
  ),
  "CMI*": (
    "cmi:hard",
    "white_box",
    {"mnist": 86.53, "cifar10": 76.17, "cifar100": 63.45},
  ),
  "DFME": (
    "dfme",
    "probs",
    {"mnist": 68.26, "cifar10": 51.28, "cifar100": 39.12},
  ),
  "ZSDB3": (
    "zsdb3kd",
    "label",
    {"mnist": 37.33, "cifar10": 32.18, "cifar100": 14.28},
  ),
  "IDEAL": (
    "ideal",
    "label",
    {"mnist": 96.32, "cifar10": 68.82, "cifar100": 36.96},
  ),
}
COLUMN = "student"


def get_config(argument: str = ""):
  args = c.arguments(
    argument, dataset="mnist_5k", of="ablation", other="", recipe="ours"
  )
  c.forbid(args, "teacher", "student")
  rest = f"dataset={args['dataset']},seeds={args.get('seeds', 1)}"
  rest += ",smoke" * args["smoke"]
  if args["of"] == "access":
    return access(args, rest)
  number, variants = c.lookup(VARIANTS, args["of"], "of")
  cells = {}
  for row, (changes, numbers) in variants.items():
    config = c.sibling(__file__, "ideal", f"{rest},recipe={args['recipe']}")
    config.synthesis.update_from_flattened_dict(changes)
    config.hyper = c.block(**HYPER[config.synthesis.student_loss])
    if config.synthesis.source == "real":
      other = args["other"] or c.lookup(OTHERS, args["dataset"])
      config.other_dataset = other
    cells[c.slug(row)] = (row, config, numbers)
  return table(args, number, cells)


def access(args: dict, rest: str):
  """Table 1: the teacher and the student of CMI for all, IDEAL's budget."""
  shared = c.sibling(__file__, "cmi", rest)
  budget = c.sibling(__file__, "ideal", rest).queries.budget
  cells = {}
  for row, (method, level, numbers) in ACCESS.items():
    name, _, own = method.partition(":")
    config = c.sibling(__file__, name, f"{rest},{own}".strip(","))
    c.share_networks(config, shared, shared.student.model)
    config.teacher.access = level
    if config.queries.budget and not args["smoke"]:
      config.queries.budget = budget
    cells[c.slug(method)] = (row, config, numbers)
  return table(args, "1", cells)


def table(args: dict, number: str, cells: dict):
  """The table of the paper with this number.

  `cells` are rows, configs and published numbers by data set.
  """
  dataset = args["dataset"]
  return c.table(
    f"ideal_{args['of']}",
    f"Table {number} of Zhang et al. (IDEAL), ICLR 2023, on {dataset}",
    tuple(row for row, _, _ in cells.values()),
    (COLUMN,),
    {
      name: c.cell(row, COLUMN, config, published=numbers.get(dataset))
      for name, (row, config, numbers) in cells.items()
    },
  )
