"""IDEAL: a classifier copied through its labels alone, each paid for once.

  python -m jaxkd.main --config=configs/ideal.py
  python -m jaxkd.main --config=configs/ideal.py:dataset=mnist
  python -m jaxkd.main --config=configs/ideal.py:dataset=mnist,paper
  python -m jaxkd.main --config=configs/ideal.py:smoke

Budgets and E_G are the paper's. What the budget does not forbid is ours: images
of all tones (`tones`), a student that starts afresh once the rounds are over
(`student.epochs`), and on digits a committee of such students, which answers
more images in the teacher's place (`committee`). `paper` leaves all three out.
The LeNet of digits is LeNet-5; what IDEAL's code calls so is
`teacher=ideal_lenet,student=ideal_lenet` with `--config.image_size=0`.
`mnist_5k` is our recipe for two CPU cores.
"""

from jaxkd import config as c

# dataset: teacher, student, image size, its teacher's epochs and peak learning
# rate, budget Q, batch size B, generator steps E_G, generator's channels
RECIPES = {
  "mnist_5k": ("lenet5", "lenet5", 32, 30, 0.1, 10_000, 250, 5, 32),
  "mnist": ("lenet5", "lenet5", 32, 10, 0.1, 25_000, 250, 5, 32),
  "fashion_mnist": ("lenet5", "lenet5", 32, 20, 0.1, 100_000, 250, 5, 32),
  "svhn_cropped": ("resnet18", "resnet18", 0, 30, 0.1, 100_000, 250, 5, 0),
  "cifar10": ("resnet34", "resnet18", 0, 30, 0.1, 250_000, 250, 10, 0),
  "cifar100": ("resnet34", "resnet18", 0, 30, 0.1, 2_000_000, 1_000, 10, 0),
}  # fmt: skip


def get_config(argument: str = ""):
  found = c.arguments(argument, dataset="mnist_5k", paper=False)
  (
    teacher, student, image_size, epochs, peak, budget, batch_size, num_steps,
    width,
  ) = c.of(RECIPES, found["dataset"])  # fmt: skip
  if found["smoke"]:
    budget, batch_size, width = 200, 50, 8
  ours = not found["paper"]
  digits = found["dataset"].startswith("mnist")
  listens = ours and digits and not found["smoke"]
  return c.experiment(
    "ideal",
    found,
    image_size=image_size,
    teacher={
      "model": teacher,
      "access": "label",
      "epochs": epochs,
      "batch_size": 256,
      "optimizer": c.optimizer("sgd", peak, "one_cycle"),
    },
    student={
      "model": student,
      # As many updates with the committee's images as without.
      "epochs": (6 if listens else 30) if ours else 0,
      "batch_size": 32,
      "optimizer": c.optimizer("sgd", 0.03, "one_cycle", weight_decay=5e-4),
      "round_optimizer": c.optimizer("sgd", 0.01, weight_decay=5e-4),
    },
    synthesis={
      "num_rounds": 0,  # 0: as many as the budget pays for
      "batch_size": batch_size,
      "num_steps": num_steps,
      "generator": "upsampling",
      "latents": 0,  # 0: as published
      "width": width,
      "step_size": 1e-3,
      "tones": "random" if ours else "plain",
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
      "committee": 4 if listens else 0,
      "unasked": 4 if listens else 0,
    },
    queries={"budget": budget},
    hyper={},
  )
