"""What HTC needs: tables 4 and 5 and figure 4 of the HTC and SCM paper.

  python -m jaxkd.main --config=configs/limits_table.py --workdir=DIR
  python -m jaxkd.main --config=configs/limits_table.py:dataset=cifar10
  python -m jaxkd.main --config=configs/limits_table.py:smoke

Knowledge distillation from a nasty teacher beside HTC: with a part of the
training images, with all of them but the teacher's labels, and without data, on
what a generator makes (DAFL). Then the sweeps over temperature and multiplier.
"""

from jaxkd import config as c

PERCENTS = (10, 30, 50, 70, 90, 100)
COLUMNS = {"Vanilla": "vanilla", "Nasty KD": "kd:defense=nasty", "HTC": "htc"}
GENERATED = {"Nasty KD": "dafl", "HTC": "dafl:objective=htc"}
SWEEPS = {
  "temperatures, m = 50": "sweep=temperature",
  "multipliers, t = 50": "sweep=multiplier",
}
NO_LABELS, NO_DATA = "no labels", "no data"
# The paper does not name the data set of what it has without data.
PUBLISHED = {
  ("cifar10", "cnn", NO_LABELS): (None, 82.64, 87.48),
  ("cifar10", "cnn", NO_DATA): (16.38, 26.03),
  ("cifar10", "mobilenet_v2", NO_DATA): (41.79, 52.96),
  ("cifar10", "shufflenet_v2", NO_DATA): (70.04, 76.29),
  ("cifar100", "shufflenet_v2", NO_LABELS): (None, 64.41, 74.17),
}


def get_config(argument: str = ""):
  args = c.arguments(argument, dataset="mnist_5k")
  attacked = c.sibling(__file__, "kd", f"{argument},defense=nasty")
  dataset, student = args["dataset"], attacked.student.model

  def published(row: str):
    numbers = PUBLISHED.get((dataset, student, row))
    return (numbers,) if numbers else ()

  def cells_of(rows, columns, numbers=()):
    return c.cells(__file__, rows, columns, argument, published=numbers)

  shares = {f"{x} %": f"fraction={x / 100}" for x in PERCENTS}
  cells = cells_of(shares, COLUMNS)
  cells |= cells_of(
    {NO_LABELS: "labels=teacher"}, COLUMNS, published(NO_LABELS)
  )
  cells |= cells_of(SWEEPS, {"HTC": "htc"})
  generated = cells_of({NO_DATA: ""}, GENERATED, published(NO_DATA))
  for cell in generated.values():  # the same nasty teacher, and its students
    config = cell["config"]
    config["image_size"] = attacked.image_size
    config["teacher"] = attacked.teacher.to_dict()
    config["student"]["model"] = student
  return c.table(
    "limits",
    f"Tables 4 and 5 of Jandial et al., ECCV 2022, on {dataset}",
    (*shares, NO_LABELS, NO_DATA, *SWEEPS),
    tuple(COLUMNS),
    cells | generated,
    figures=("sweep",),
  )
