"""Table 6 of the HTC and SCM paper: what defences cost, and what they buy.

  python -m jaxkd.main --config=configs/defense_table.py --workdir=DIR
  python -m jaxkd.main --config=configs/defense_table.py:dataset=cifar10
  python -m jaxkd.main --config=configs/defense_table.py:smoke

A row per student that learns from the teacher by knowledge distillation: the
lower, the better the defence. SCM costs accuracy, so the nasty teacher that was
stopped at the same accuracy (ES) stands beside it, and plain training without
any teacher. All teachers are trained on nine tenths of the training images; the
rest says where to stop. The paper's column "Normal" has the numbers of its
plain students.
"""

from jaxkd import config as c

COLUMNS = {
  "Vanilla": "vanilla",
  "Normal KD": "kd",
  "Nasty KD": "kd:defense=nasty",
  "Nasty KD ES": "kd:defense=nasty_early_stop",
  "SCM": "kd:defense=scm",
}
STUDENTS = {
  "mnist_5k": ("lenet5_half", "cnn_quarter"),
  "fashion_mnist": ("cnn", "mobilenet_v2", "shufflenet_v2"),
  "cifar10": ("cnn", "mobilenet_v2", "shufflenet_v2"),
  "cifar100": ("cnn", "mobilenet_v2", "shufflenet_v2"),
}
TEACHERS = {"cifar100": "resnet50"}
# In the order of the columns; the teacher's own accuracy first.
PUBLISHED = {
  "cifar10": (
    (None, 95.09, 94.28, 93.02, 92.99),
    (85.99, None, 82.27, 84.62, 80.13),
    (89.58, None, 31.73, 28.58, 22.12),
    (91.03, None, 79.73, 87.81, 73.23),
  ),
  "cifar100": (
    (None, 77.96, 77.4, 76.2, 75.44),
    (58.38, None, 58.93, 58.45, 54.26),
    (71.43, None, 3.03, 2.16, 1.4),
    (None, None, None, None, None),
  ),
}


def get_config(argument: str = ""):
  args = c.arguments(argument, dataset="mnist_5k", seeds="3")
  dataset = args["dataset"]
  students = c.lookup(STUDENTS, dataset)
  rest = c.without(argument, "seeds") + f",seeds={args['seeds']}"
  if dataset in TEACHERS and "teacher" not in args:
    rest += f",teacher={TEACHERS[dataset]}"
  teacher_numbers, *numbers = PUBLISHED.get(dataset, ((),))
  rows = {student: f"student={student}" for student in students}
  cells = c.cells(__file__, rows, COLUMNS, rest, published=numbers)
  defended = {name: run for name, run in COLUMNS.items() if name != "Vanilla"}
  cells |= c.cells(
    __file__,
    {"teacher": f"student={students[0]}"},
    defended,
    rest,
    value="teacher.accuracy",
    published=(teacher_numbers[1:],) if teacher_numbers else (),
  )
  for cell in cells.values():
    cell["config"]["teacher"]["validation_fraction"] = 0.1
  return c.table(
    "defense",
    f"Table 6 of Jandial et al., ECCV 2022, on {dataset}",
    ("teacher", *students),
    tuple(COLUMNS),
    cells,
  )
