"""CMI: a classifier copied through images that all differ from each other.

  python -m jaxkd.main --config=configs/cmi.py
  python -m jaxkd.main --config=configs/cmi.py:hard
  python -m jaxkd.main --config=configs/cmi.py:dataset=cifar10
  python -m jaxkd.main --config=configs/cmi.py:dataset=cifar10,teacher=vgg11
  python -m jaxkd.main --config=configs/cmi.py:smoke

The numbers are those of the released code for CIFAR-10, from scratch. `hard` is
CMI*: the student is told the teacher's class alone. The teacher needs batch
normalisations: LeNet-5 has none. `mnist_5k` is our recipe for two CPU cores.
"""

from jaxkd import config as c

PUBLISHED = ("resnet34", "resnet18", 200, 256, 200, 400, 128, 0, 40_960, 4_096)
# dataset: teacher, student; batches, batch size, updates of a generator, the
# student's updates for a batch and their batch size; the generator's width (0:
# as published), places in the bank and how many are drawn from it
RECIPES = {
  "mnist_5k": (
    "cnn_quarter", "cnn_quarter", 12, 150, 50, 150, 64, 16, 1_800, 150,
  ),
  "mnist": PUBLISHED,
  "fashion_mnist": PUBLISHED,
  "svhn_cropped": PUBLISHED,
  "cifar10": PUBLISHED,
  "cifar100": PUBLISHED,
}  # fmt: skip


def get_config(argument: str = ""):
  found = c.arguments(argument, dataset="mnist_5k", hard=False)
  name, hard = found["dataset"], found["hard"]
  (
    teacher, student, batches, batch_size, steps, student_steps,
    student_batch_size, width, bank_size, negatives,
  ) = c.of(RECIPES, name)  # fmt: skip
  small = name == "mnist_5k"
  if found["smoke"]:
    batches, batch_size, student_steps, width = 2, 20, 5, 8
    bank_size, negatives = 40, 20
  flips = ("flip",) if name in ("cifar10", "cifar100") else ()
  resnet = found.get("teacher", teacher).startswith("resnet")
  return c.experiment(
    "cmi",
    found,
    teacher={
      "model": teacher,
      "epochs": 10 if small else 200,
      "batch_size": 128,
      "augment": () if small else ("crop", *flips),
      "optimizer": c.optimizer("sgd", 0.1, "one_cycle", weight_decay=5e-4),
    },
    student={
      "model": student,
      "epochs": 0,
      "batch_size": student_batch_size,
      "optimizer": c.optimizer("sgd", 0.1, "cosine", weight_decay=1e-4),
      "round_optimizer": c.optimizer("sgd", 0.1, "cosine", weight_decay=1e-4),
    },
    synthesis={
      "num_rounds": batches,
      "batch_size": batch_size,
      "num_steps": steps,
      "generator": "upsampling",
      "latents": 0,  # 0: as published
      "width": width,
      "step_size": 1e-2 if small else 1e-3,
      "head_step_size": 1e-3,
      "weights": {
        "classification": 1.0,
        "batch_norm": 1.0,
        "adversarial": 0.5,
        "contrast": 0.8,
      },
      "features": "taps" if resnet else "batch_norms",
      "temperature": 0.1,
      "bank_size": bank_size,
      "num_negatives": negatives,
      "global_views": ("crop", *flips),
      "local_views": ("resized_crop", *flips),
      "student": "hard" if hard else "soft",
      "student_steps": student_steps,
      "student_batch_size": student_batch_size,
    },
    hyper={} if hard else {"temperature": 20.0, "alpha": 1.0},
  )
