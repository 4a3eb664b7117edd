"""DD: a student copied on the images on which it disagrees with its teacher.

  python -m jaxkd.main --config=configs/dd.py
  python -m jaxkd.main --config=configs/dd.py:dataset=cifar10
  python -m jaxkd.main --config=configs/dd.py:smoke

Data-free adversarial distillation (DFAD). The numbers are those of the authors'
code for CIFAR-10; the other data sets have them as well.
`mnist_5k` is our recipe for two CPU cores.
"""

from jaxkd import config as c

LENETS = ("lenet5", "lenet5_half", 32)
RESNETS = ("resnet34", "resnet18", 0)

# dataset: teacher, student, image size; epochs, the student's updates in one,
# batch size, width of the generator (0: as published)
RECIPES = {
  "mnist_5k": (*LENETS, 20, 100, 128, 32),
  "mnist": (*LENETS, 500, 250, 256, 0),
  "fashion_mnist": (*LENETS, 500, 250, 256, 0),
  "svhn_cropped": (*RESNETS, 500, 250, 256, 0),
  "cifar10": (*RESNETS, 500, 250, 256, 0),
  "cifar100": (*RESNETS, 500, 250, 256, 0),
}


def get_config(argument: str = ""):
  found = c.arguments(argument, dataset="mnist_5k")
  (
    teacher, student, image_size, epochs, batches, batch_size, width,
  ) = c.of(RECIPES, found["dataset"])  # fmt: skip
  if found["smoke"]:
    epochs, batches, batch_size, width = 2, 10, 16, 8
  small = found["dataset"] == "mnist_5k"
  # Epochs 100 and 200 of 500, as fractions of all updates.
  drops = {"schedule": "multistep", "milestones": (0.2, 0.4)}
  dafl = c.sibling(__file__, "dafl", f"dataset={found['dataset']}")
  return c.experiment(
    "dd",
    found,
    image_size=image_size,
    teacher={**dafl.teacher.to_dict(), "model": teacher},
    student={
      "model": student,
      "epochs": 0,
      "batch_size": 256,
      "optimizer": c.optimizer("sgd", 0.1, "cosine", weight_decay=5e-4),
      "round_optimizer": (
        c.optimizer("adam", 2e-3, "cosine")
        if small
        else c.optimizer("sgd", 0.1, weight_decay=5e-4, **drops)
      ),
    },
    synthesis={
      "num_rounds": epochs,
      "steps_per_round": batches,
      "batch_size": batch_size,
      "student_steps": 5,
      "generator": "dafl" if small else "dfad",
      "latents": 256,
      "width": width,
      "optimizer": c.optimizer("adam", 1e-3, **({} if small else drops)),
      "capacity": 4 * batch_size,
    },
    hyper={},
  )
