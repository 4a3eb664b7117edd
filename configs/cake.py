"""CAKE: a LeNet-5 copied into half a LeNet-5 without its data.

  python -m jaxkd.main --config=configs/cake.py
  python -m jaxkd.main --config=configs/cake.py:dataset=fashion_mnist
  python -m jaxkd.main --config=configs/cake.py:dataset=two_moons
  python -m jaxkd.main --config=configs/cake.py:smoke

`mnist_5k` is our recipe, sized for two CPU cores. All other image sets have
the published sizes, steps and weights (those of the released code); the
published step sizes and weights of the toy hardly move a point, so it has ours.
"""

from jaxkd import config as c

# dataset: teacher, student, teacher's peak learning rate, its augmentation
NETWORKS = {
  "two_moons": ("mlp", "mlp", 0.1, ()),
  "mnist_5k": ("lenet5", "lenet5_half", 0.1, ()),
  "mnist": ("lenet5", "lenet5_half", 0.1, ()),
  "fashion_mnist": ("lenet5", "lenet5_half", 0.1, ()),
  "svhn_cropped": ("resnet34", "resnet18", 0.5, ("crop",)),
  "cifar10": ("resnet34", "resnet18", 0.5, ("crop", "flip")),
  "cifar100": ("resnet34", "resnet18", 0.5, ("crop", "flip")),
}

# dataset: sets, set size, group size, steps, step size, decades, weights of
# classification, contrast and total variation
SYNTHESIS = {
  "two_moons": (40, 100, 2, 100, 0.1, 2.0, (50.0, 5.0, 0.0)),
  "mnist_5k": (150, 500, 10, 24, 0.1, 1.3, (1e3, 10.0, 1e5)),
  "mnist": (512, 500, 10, 256, 0.1, 4.0, (1e3, 1e-3, 1e7)),
  "fashion_mnist": (512, 500, 10, 256, 0.1, 4.0, (1e3, 1e-3, 1e7)),
  "svhn_cropped": (512, 500, 10, 256, 0.1, 4.0, (1e3, 10.0, 1e5)),
  "cifar10": (500, 500, 10, 256, 0.1, 4.0, (1e3, 10.0, 1e5)),
  "cifar100": (500, 500, 10, 256, 0.1, 4.0, (1e3, 10.0, 1e5)),
}


def get_config(argument: str = ""):
  found = c.arguments(argument, dataset="mnist_5k")
  teacher, student, peak, augment = c.of(NETWORKS, found["dataset"])
  sets, set_size, group, steps, size, decades, weights = c.of(
    SYNTHESIS, found["dataset"]
  )
  classification, contrast, total_variation = weights
  small = found["dataset"] == "mnist_5k"
  sgd = c.optimizer("sgd", peak, "one_cycle", weight_decay=5e-4)
  return c.experiment(
    "cake",
    found,
    image_size=0 if found["dataset"] == "two_moons" else 32,
    teacher={
      "model": teacher,
      "epochs": 30,
      "batch_size": 128 if small else 256,
      "augment": augment,
      "optimizer": sgd,
    },
    student={
      "model": student,
      "epochs": 14 if small else 30,
      "batch_size": 64 if small else 256,
      "optimizer": sgd,
    },
    synthesis={
      "num_sets": sets,
      "set_size": set_size,
      "group_size": group,
      "num_steps": steps,
      "step_size": size,
      "step_size_decades": decades,
      "weights": {
        "classification": classification,
        "contrast": contrast,
        "total_variation": total_variation,
      },
      "contrast": "groups",
      "dynamics": "sgd",
      "sets_per_round": 0,  # 0: chosen from the device
    },
  )
