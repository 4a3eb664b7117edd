"""One recipe on many teachers: does a method depend on the network it copies?

  python -m jaxkd.main --config=configs/teachers_table.py --workdir=DIR
  python -m jaxkd.main --config=configs/teachers_table.py:dataset=mnist
  python -m jaxkd.main --config=configs/teachers_table.py:methods=CAKE+KD
  python -m jaxkd.main --config=configs/teachers_table.py:kinds=ViT-4,seed=1
  python -m jaxkd.main --config=configs/teachers_table.py:of=training
  python -m jaxkd.main --config=configs/teachers_table.py:own=my_models:teacher
  python -m jaxkd.main --config=configs/teachers_table.py:smoke

Every column is a config as it is shipped; only the networks change. Teachers
are three LeNet-5 of different seeds, and networks of other kinds, each trained
with weight decay and with none. With `of=training` they are LeNet-5 that were
trained in several ways: which of them gives away little? The student is the
half-sized network of the same kind, or `student` for all. `own` adds a teacher
of the user's, as `--config.teacher.factory` takes one; `student` has to take
its images, or they are of 28 x 28 pixels. `methods` are columns, and `kinds`
the networks whose rows are made, with `+` between them; `seed` is added to the
seed of every row. Where a network is slow on a CPU its teacher has fewer epochs
and CAKE optimises fewer sets, and the row says how many. DeepInversion needs
batch normalisations, which VGGs and ResNets have. Labels are 25,000 on MNIST.
KD has the real images and is the ceiling.
"""

from jaxkd import config as c

SGD, ADAM = ("sgd", 0.1), ("adam", 1e-3)  # with their peak rates
# Networks by kind, the slowest last: the teacher, its student, the teacher's
# optimiser and its share of the epochs, and the sets that CAKE optimises, 0 for
# as many as its config says.
KINDS = {
  "LeNet-5": ("lenet5", "lenet5_half", SGD, 1, 0),
  "LeNet-5-Half": ("lenet5_half", "lenet5_half", SGD, 1, 0),
  "MLP": ("mlp", "mlp_half", SGD, 1, 0),
  "ResNet-8": ("resnet8_16", "resnet8_8", SGD, 0.5, 32),
  "ViT-4": ("vit4", "vit4_half", ADAM, 0.5, 8),
  "VGG-8": ("vgg8", "vgg8_half", SGD, 1 / 3, 8),
}
NORMALISED = ("VGG-8", "ResNet-8")  # they have batch normalisations


def trained(kind="LeNet-5", *, seed=0, decay=5e-4, longer=1.0, augment=()):
  """A row: how a teacher is trained; `longer` multiplies its epochs."""
  return dict(kind=kind, seed=seed, decay=decay, longer=longer, augment=augment)


OTHER_KINDS = ("MLP", "ResNet-8", "ViT-4", "VGG-8")
TEACHERS = {
  "kinds": {
    **{f"LeNet-5, seed {seed}": trained(seed=seed) for seed in range(3)},
    "LeNet-5, no decay": trained(decay=0.0),
    **{
      f"{kind}{title}": trained(kind, decay=decay)
      for kind in OTHER_KINDS
      for title, decay in (("", 5e-4), (", no decay", 0.0))
    },
  },
  "training": {
    "as in the other tables": trained(),
    "no weight decay": trained(decay=0.0),
    "ten times the decay": trained(decay=5e-3),
    "shifted images": trained(augment=("crop",)),
    "a tenth of the epochs": trained(longer=0.1),
    "three times the epochs": trained(longer=3.0),
    "half the width": trained("LeNet-5-Half"),
  },
}
# Columns: the config.
METHODS = {
  "CAKE": "cake",
  "DeepInversion": "deepinversion",
  "DAFL": "dafl",
  "IDEAL": "ideal",
  "procedural": "procedural",
  "KD": "kd",
}
TEACHER_EPOCHS = {"mnist_5k": 30, "mnist": 10, "fashion_mnist": 20}
ITSELF = "the teacher itself"
OWN = "the user's own"
OWN_STUDENT = "zsdb3kd_lenet5_half"  # takes 28 x 28 pixels


def get_config(argument: str = ""):
  args = c.arguments(
    argument,
    dataset="mnist_5k",
    of="kinds",
    own="",
    student="",
    kinds="+".join(KINDS),
    seed="0",
    methods="+".join(METHODS),
  )
  c.forbid(args, "teacher", "seeds")
  epochs = c.lookup(TEACHER_EPOCHS, args["dataset"])
  methods = args["methods"].split("+")
  kinds = args["kinds"].split("+")
  for kind in kinds:
    c.lookup(KINDS, kind, "kinds")
  rows = {
    row: teacher
    for row, teacher in c.lookup(TEACHERS, args["of"], "of").items()
    if teacher["kind"] in kinds
  }
  if args["own"]:
    rows[OWN] = trained("")
  cells, titles = {}, []
  for row, teacher in rows.items():
    network, student, (update, peak), share, sets = KINDS.get(
      teacher["kind"], ("", OWN_STUDENT, SGD, 1, 0)
    )
    title = f"{row} ({sets} sets)" if sets else row
    titles.append(title)
    for column in methods:
      name = c.lookup(METHODS, column, "methods")
      if column == "DeepInversion" and teacher["kind"] not in NORMALISED:
        continue
      rest = f"dataset={args['dataset']}" + ",smoke" * args["smoke"]
      config = c.sibling(__file__, name, rest)
      config.seed = teacher["seed"] + c.number(args, "seed")
      config.image_size = 32
      config.student.model = args["student"] or student
      if sets and column == "CAKE" and not args["smoke"]:
        config.synthesis.num_sets = sets
      if network:
        config.teacher.model = network
        config.teacher.epochs = (
          1 if args["smoke"] else round(teacher["longer"] * share * epochs)
        )
        config.teacher.batch_size = 256
        config.teacher.augment = teacher["augment"]
        config.teacher.optimizer = c.optimizer(
          update, peak, "one_cycle", weight_decay=teacher["decay"]
        )
      else:
        config.teacher.factory = args["own"]
        config.image_size = 0
      cells[c.slug(f"{row}_{column}")] = c.cell(title, column, config)
      if column == methods[0]:  # the run that has the teacher as well
        cells[c.slug(f"{row}_{ITSELF}")] = c.cell(
          title, ITSELF, config, value="teacher.accuracy"
        )
  name = f"Students of many teachers by the shipped recipes: {args['dataset']}"
  return c.table("teachers", name, titles, (ITSELF, *methods), cells)
