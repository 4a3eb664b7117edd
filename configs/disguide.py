"""DisGUIDE: a classifier copied through its labels by two clones that disagree.

  python -m jaxkd.main --config=configs/disguide.py
  python -m jaxkd.main --config=configs/disguide.py:access=probs
  python -m jaxkd.main --config=configs/disguide.py:dataset=cifar10
  python -m jaxkd.main --config=configs/disguide.py:smoke

`cifar10` and `cifar100` have the budgets and numbers of the released scripts,
and `svhn_cropped` those of `cifar10` with a budget of DFME's. The others have
the budgets that IDEAL (ICLR 2023) compares methods at, with small batches, and
a new student learns from all samples once the rounds are over. With so few
rounds the clones need more replay, which costs no query: clones that have not
learned the answers disagree about nothing of use. The number of replay steps
and the rate of the generator were chosen on training images of MNIST that
neither network saw.
"""

from jaxkd import config as c

LENETS = dict(
  teacher="lenet5",
  student="lenet5",
  image_size=32,
  batch_size=100,
  generator_steps=5,
  replay_steps=30,
  width=32,
  rate=3e-3,
  clone_rate=0.03,
  diversity=1.0,
)
RESNETS = dict(
  teacher="resnet34",
  student="resnet18",
  image_size=0,
  teacher_epochs=30,
  epochs=0,
  batch_size=256,
  generator_steps=1,
  replay_steps=3,
  width=0,  # 0: as published
  rate=1e-4,
  clone_rate=0.03,
  diversity=0.2,
)
# By data set; `rate` is the generator's learning rate.
RECIPES = {
  "mnist_5k": dict(LENETS, teacher_epochs=30, budget=10_000, epochs=60),
  "mnist": dict(LENETS, teacher_epochs=10, budget=25_000, epochs=30),
  "fashion_mnist": dict(LENETS, teacher_epochs=20, budget=100_000, epochs=25),
  "svhn_cropped": dict(RESNETS, budget=2_000_000),
  "cifar10": dict(RESNETS, budget=20_000_000),
  "cifar100": dict(RESNETS, budget=10_000_000, diversity=0.04),
}
SMOKE = dict(
  budget=60, batch_size=20, generator_steps=2, replay_steps=2, width=8, epochs=1
)


def get_config(argument: str = ""):
  args = c.arguments(argument, dataset="mnist_5k", access="label")
  recipe = c.lookup(RECIPES, args["dataset"])
  if args["smoke"]:
    recipe = {**recipe, **SMOKE}
  return c.experiment(
    "disguide",
    args,
    image_size=recipe["image_size"],
    teacher={
      "model": recipe["teacher"],
      "access": args["access"],
      "epochs": recipe["teacher_epochs"],
      "batch_size": 256,
      "optimizer": c.optimizer("sgd", 0.1, "one_cycle"),
    },
    student={
      "model": recipe["student"],
      "epochs": recipe["epochs"],
      "batch_size": 32,
      "optimizer": c.optimizer("sgd", 0.03, "one_cycle", weight_decay=5e-3),
    },
    synthesis={
      "num_rounds": 0,  # 0: as many as the budget pays for
      "batch_size": recipe["batch_size"],
      "generator": "dfme",
      "latents": 0,  # 0: as published
      "width": recipe["width"],
      "generator_steps": recipe["generator_steps"],
      "replay_steps": recipe["replay_steps"],
      "clones": 2,
      "weights": {"disagreement": 1.0, "diversity": recipe["diversity"]},
      "optimizer": optimizer("adam", recipe["rate"]),
      "clone_optimizer": {
        **optimizer("sgd", recipe["clone_rate"]),
        "weight_decay": 5e-4,
      },
      "capacity": 1_000_000,
    },
    queries={"budget": recipe["budget"]},
    hyper={},
  )


def optimizer(name: str, rate: float) -> dict:
  return c.optimizer(name, rate, "multistep", factor=0.3, milestones=(0.4, 0.8))
