"""Table 3 of the HTC and SCM paper: how far from the normal teacher.

  python -m jaxkd.main --config=configs/kl_table.py --workdir=DIR
  python -m jaxkd.main --config=configs/kl_table.py:dataset=cifar10
  python -m jaxkd.main --config=configs/kl_table.py:smoke

KL(model || normal teacher) on test data, temperature 1, in nats, of the nasty
teacher and of the mean of the sequence that SCM trains from it. The paper does
not say which way round, nor at which temperature.
"""

from jaxkd import config as c

COLUMNS = {"Nasty teacher": "kd:defense=nasty", "SCM ensemble": "scm"}
VALUES = {
  "Nasty teacher": "defense.kl_to_normal",
  "SCM ensemble": "guide.kl_to_normal",
}
PUBLISHED = {
  ("cifar10", "resnet18"): (0.4446, 0.2471),
  ("cifar100", "resnet18"): (14.6363, 5.8398),
  ("cifar100", "resnet50"): (10.4892, 5.3165),
}


def get_config(argument: str = ""):
  args = c.arguments(argument, dataset="mnist_5k")
  dataset, teacher = args["dataset"], args.get("teacher", "resnet18")
  numbers = PUBLISHED.get((dataset, teacher))
  return c.table(
    "kl",
    f"Table 3 of Jandial et al., ECCV 2022, on {dataset}",
    (dataset,),
    tuple(COLUMNS),
    c.cells(
      __file__,
      {dataset: ""},
      COLUMNS,
      argument,
      value=VALUES,
      published=(numbers,) if numbers else (),
    ),
    unit="nats",
    figures=("bars", "temperature", "features"),
  )
