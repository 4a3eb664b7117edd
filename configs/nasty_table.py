r"""Table 1 of the HTC and SCM paper: what students learn from a nasty teacher.

  python -m jaxkd.main --config=configs/nasty_table.py --workdir=DIR
  python -m jaxkd.main \
      --config=configs/nasty_table.py:dataset=cifar100,teacher=resnet50
  python -m jaxkd.main --config=configs/nasty_table.py:dataset=cifar10 --plan
  python -m jaxkd.main --config=configs/nasty_table.py:smoke

Every cell is a run of `configs/{vanilla,kd,skeptical,htc,scm}.py`; teachers and
sequences are trained once and shared. `HTC, t = inf` is label smoothing, the
control that the paper lacks. The paper has no row for Fashion-MNIST and
`mnist_5k`. LeNet-5 has no stages for early exits to hang on, so the table of
`mnist_5k` lacks the Skeptical columns unless it is told `student=cnn_quarter`,
which takes about five times as long.
"""

from jaxkd import config as c

COLUMNS = {
  "Vanilla": "vanilla",
  "Normal KD": "kd",
  "Nasty KD": "kd:defense=nasty",
  "Skep.": "skeptical",
  "HTC": "htc",
  "HTC, t = inf": "htc:control",
  "SCM": "scm",
  "Skep.+HTC": "skeptical:term=htc",
  "Skep.+SCM": "skeptical:term=scm",
}
STUDENTS = {
  "mnist_5k": ("lenet5_half",),
  "fashion_mnist": ("cnn", "mobilenet_v2", "shufflenet_v2"),
  "cifar10": ("cnn", "mobilenet_v2", "shufflenet_v2"),
  "cifar100": ("cnn", "mobilenet_v2", "shufflenet_v2"),
  "tiny_imagenet": ("mobilenet_v2", "shufflenet_v2"),
}
# (data set, teacher): in the order of STUDENTS and COLUMNS.
PUBLISHED = {
  ("cifar10", "resnet18"): (
    (86.31, 87.83, 82.27, 86.71, 87.38, None, 87.85, 87.17, 87.04),
    (89.58, 89.30, 31.73, 90.53, 90.03, None, 90.48, 91.45, 91.55),
    (91.03, 91.17, 79.73, 91.34, 91.61, None, 91.93, 92.45, 92.76),
  ),
  ("cifar100", "resnet18"): (
    (58.38, 62.35, 58.62, 58.38, 61.21, None, 61.31, 59.64, 59.17),
    (68.90, 72.75, 3.15, 66.89, 71.01, None, 71.06, 71.48, 71.74),
    (71.43, 74.43, 63.67, 70.00, 74.04, None, 75.23, 73.78, 74.23),
  ),
  ("cifar100", "resnet50"): (
    (58.38, 61.84, 58.93, 59.15, 61.24, None, 59.58, 59.48, 59.17),
    (68.90, 72.22, 3.03, 66.65, 70.49, None, 71.66, 71.54, 71.16),
    (71.43, 73.91, 62.8, 70.02, 72.37, None, 73.25, 73.60, 74.73),
  ),
  ("tiny_imagenet", "resnet18"): (
    (55.69, 61.00, 0.85, 47.37, 56.28, None, 61.01, 59.05, 58.88),
    (60.30, 63.45, 23.78, 54.78, 60.46, None, 62.09, 63.05, 62.28),
  ),
  ("tiny_imagenet", "resnet50"): (
    (55.89, 57.84, 1.10, 48.21, 56.00, None, 59.46, 58.56, 58.88),
    (60.30, 62.02, 24.27, 56.08, 60.80, None, 61.55, 63.14, 61.92),
  ),
}


def get_config(argument: str = ""):
  args = c.arguments(argument, dataset="mnist_5k", seeds="3")
  dataset, teacher = args["dataset"], args.get("teacher", "resnet18")
  students = c.lookup(STUDENTS, dataset)
  numbers = PUBLISHED.get((dataset, teacher), ())
  if "student" in args:
    students, numbers = (args["student"],), ()
  exits = not any(student.startswith("lenet") for student in students)
  columns = {
    column: run
    for column, run in COLUMNS.items()
    if exits or not run.startswith("skeptical")
  }
  rest = c.without(argument, "student", "seeds")
  return c.table(
    "nasty",
    f"Table 1 of Jandial et al., ECCV 2022, on {dataset}",
    students,
    tuple(columns),
    c.cells(
      __file__,
      {student: f"student={student}" for student in students},
      columns,
      f"{rest},seeds={args['seeds']}",
      published=numbers,
    ),
    figures=("bars", "temperature", "features"),
  )
