"""IDEAL: a classifier copied through its labels alone, each paid for once.

  python -m jaxkd.main --config=configs/ideal.py
  python -m jaxkd.main --config=configs/ideal.py:dataset=mnist
  python -m jaxkd.main --config=configs/ideal.py:dataset=mnist,recipe=published
  python -m jaxkd.main --config=configs/ideal.py:budget=5000
  python -m jaxkd.main --config=configs/ideal.py:smoke

Budgets and E_G are the paper's. `recipe=ours` adds what the budget does not
forbid: images of all tones (`tones`), and a student that starts afresh once the
rounds are over (`student.epochs`), with a weight decay for so many labels as
`budget` says; `--config.queries.budget` leaves it as it is.
`recipe=published` has neither. Either takes a share of procedural images
(`--config.synthesis.procedural_share=0.5`), and an ensemble that labels more
images in the teacher's place (`--config.synthesis.ensemble=4`).
The LeNet of digits is LeNet-5; what IDEAL's code calls so is
`teacher=ideal_lenet,student=ideal_lenet` with `--config.image_size=0`.
`mnist_5k` is our recipe for two CPU cores.
"""

from jaxkd import config as c

LENETS = dict(
  teacher="lenet5",
  student="lenet5",
  image_size=32,
  batch_size=250,
  num_steps=5,
  width=32,
)
RESNETS = dict(
  teacher="resnet34",
  student="resnet18",
  image_size=0,
  teacher_epochs=30,
  batch_size=250,
  num_steps=10,
  width=0,  # 0: as published
)
# By data set: budget Q, batch size B, generator steps E_G, generator's width.
RECIPES = {
  "mnist_5k": dict(LENETS, teacher_epochs=30, budget=10_000),
  "mnist": dict(LENETS, teacher_epochs=10, budget=25_000),
  "fashion_mnist": dict(LENETS, teacher_epochs=20, budget=100_000),
  "svhn_cropped": dict(
    RESNETS, teacher="resnet18", budget=100_000, num_steps=5
  ),
  "cifar10": dict(RESNETS, budget=250_000),
  "cifar100": dict(RESNETS, budget=2_000_000, batch_size=1_000),
  "tiny_imagenet": dict(
    RESNETS, budget=2_000_000, batch_size=1_000, num_steps=5
  ),
  "imagenet12": dict(RESNETS, teacher="vgg16", budget=250_000),
}
SMOKE = dict(budget=200, batch_size=50, width=8)


def get_config(argument: str = ""):
  args = c.arguments(argument, dataset="mnist_5k", recipe="ours", budget="0")
  recipe = c.lookup(RECIPES, args["dataset"])
  if args["smoke"]:
    recipe = {**recipe, **SMOKE}
  extended = c.lookup(
    {"ours": True, "published": False}, args["recipe"], "recipe"
  )
  budget = c.number(args, "budget") or recipe["budget"]
  weight_decay = c.weight_decay(budget) if extended else 5e-4
  return c.experiment(
    "ideal",
    args,
    image_size=recipe["image_size"],
    teacher={
      "model": recipe["teacher"],
      "access": "label",
      "epochs": recipe["teacher_epochs"],
      "batch_size": 256,
      "optimizer": c.optimizer("sgd", 0.1, "one_cycle"),
    },
    student={
      "model": recipe["student"],
      "epochs": 30 if extended else 0,
      "batch_size": 32,
      "optimizer": c.optimizer(
        "sgd", 0.03, "one_cycle", weight_decay=weight_decay
      ),
      "round_optimizer": c.optimizer("sgd", 0.01, weight_decay=5e-4),
    },
    synthesis={
      "num_rounds": 0,  # 0: as many as the budget pays for
      "batch_size": recipe["batch_size"],
      "num_steps": recipe["num_steps"],
      "generator": "upsampling",
      "latents": 0,  # 0: as published
      "width": recipe["width"],
      "step_size": 1e-3,
      "tones": "random" if extended else "plain",
      "weights": {"classification": 1.0, "balance": 5.0},
      "balance": "batch",
      "restart": True,
      "mode": "label_once",
      "passes": 1,
      "pass_batch_size": 250,
      "views": (),
      "student_loss": "cross_entropy",
      "labels": "teacher",
      "source": "generator",
      "procedural_share": 0.0,
      "ensemble": 0,
      "extra_images": 0,
    },
    queries={"budget": budget},
    hyper={},
  )
