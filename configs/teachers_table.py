"""One recipe on many teachers: does a method depend on the network it copies?

  python -m jaxkd.main --config=configs/teachers_table.py --workdir=DIR
  python -m jaxkd.main --config=configs/teachers_table.py:dataset=mnist
  python -m jaxkd.main --config=configs/teachers_table.py:own=my_models:teacher
  python -m jaxkd.main --config=configs/teachers_table.py:smoke

Every column is a config as it is shipped; only the teacher changes. Teachers
are three LeNet-5 of different seeds, and networks of other kinds, each trained
with weight decay and with none. `own` adds a teacher of the user's, as
`--config.teacher.factory` takes one; where its images are not 32 x 32 it needs
a `student` that takes them. The student is half a LeNet-5, so that the
columns can be compared; `student=NAME` takes another. DeepInversion needs batch
normalisations, which the ResNet-8 alone has. Labels are 25,000 on MNIST. KD has
the real images and is the ceiling.
"""

from jaxkd import config as c

RESNET = "resnet8_16"
# Rows: the network, its seed, its weight decay and its peak rate.
TEACHERS = {
  f"LeNet-5, seed {seed}": ("lenet5", seed, 5e-4, 0.1) for seed in (0, 1, 2)
}
for _title, _name, _peak in (
  ("MLP", "mlp", 0.1),
  ("VGG-8", "vgg8", 0.1),
  ("ResNet-8", RESNET, 0.1),
  ("ViT-4", "vit4", 0.03),
):
  TEACHERS[_title] = (_name, 0, 5e-4, _peak)
  TEACHERS[f"{_title}, no decay"] = (_name, 0, 0.0, _peak)
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
OWN = "the user's own"


def get_config(argument: str = ""):
  args = c.arguments(
    argument, dataset="mnist_5k", own="", student="lenet5_half"
  )
  c.forbid(args, "teacher", "seeds")
  epochs = c.lookup(TEACHER_EPOCHS, args["dataset"])
  rest = f"dataset={args['dataset']}" + ",smoke" * args["smoke"]
  rows = [*TEACHERS, *([OWN] if args["own"] else [])]
  cells = {}
  for row in rows:
    network, seed, decay, peak = TEACHERS.get(row, ("", 0, 0.0, 0.1))
    for column, name in METHODS.items():
      if column == "DeepInversion" and network != RESNET:
        continue
      config = c.sibling(__file__, name, rest)
      config.seed, config.image_size = seed, 32
      config.student.model = args["student"]
      if network:
        config.teacher.model = network
        config.teacher.epochs = 1 if args["smoke"] else epochs
        config.teacher.batch_size = 256
        config.teacher.augment = ()
        config.teacher.optimizer = c.optimizer(
          "sgd", peak, "one_cycle", weight_decay=decay
        )
      else:
        config.teacher.factory = args["own"]
        config.image_size = 0
      cells[c.slug(f"{row}_{column}")] = c.cell(row, column, config)
  title = f"Students of many teachers by the shipped recipes, on {rest}"
  return c.table("teachers", title, rows, tuple(METHODS), cells)
