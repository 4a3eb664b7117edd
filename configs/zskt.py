"""ZSKT: a student copied on the images that it understands least.

  python -m jaxkd.main --config=configs/zskt.py
  python -m jaxkd.main --config=configs/zskt.py:dataset=mnist
  python -m jaxkd.main --config=configs/zskt.py:dataset=cifar10
  python -m jaxkd.main --config=configs/zskt.py:dataset=cifar10,datafree
  python -m jaxkd.main --config=configs/zskt.py:smoke

The numbers are those of the authors' code for CIFAR-10 (WRN-40-2 to WRN-16-1,
80,000 rounds), with `datafree` those of DataFree; the other data sets have them
as well.
Networks that do not show maps of the same sizes need
`--config.hyper.attention=0`. `mnist_5k` is our recipe for two CPU cores.
"""

from jaxkd import config as c

LENETS = ("lenet5", "lenet5_half", 32)
RESNETS = ("resnet34", "resnet18", 0)
WIDE_RESNETS = ("wrn40_2", "wrn16_1", 0)

# dataset: teacher, student, image size; epochs, batches of latents in one, the
# student's updates on each, batch size; width of the generator (0: as
# published), its and the student's learning rate
ORIGINAL = {
  "mnist_5k": (*LENETS, 10, 50, 5, 128, 32, 1e-3, 2e-3),
  "mnist": (*LENETS, 200, 400, 10, 128, 0, 1e-3, 2e-3),
  "fashion_mnist": (*LENETS, 200, 400, 10, 128, 0, 1e-3, 2e-3),
  "svhn_cropped": (*WIDE_RESNETS, 200, 400, 10, 128, 0, 1e-3, 2e-3),
  "cifar10": (*WIDE_RESNETS, 200, 400, 10, 128, 0, 1e-3, 2e-3),
  "cifar100": (*WIDE_RESNETS, 200, 400, 10, 128, 0, 1e-3, 2e-3),
}
DATAFREE = {
  "cifar10": (*RESNETS, 200, 400, 5, 256, 0, 1e-3, 0.1),
  "cifar100": (*RESNETS, 200, 400, 5, 256, 0, 1e-3, 0.1),
}


def get_config(argument: str = ""):
  found = c.arguments(argument, dataset="mnist_5k", datafree=False)
  datafree, small = found["datafree"], found["dataset"] == "mnist_5k"
  (
    teacher, student, image_size, epochs, batches, student_steps, batch_size,
    width, step_size, rate,
  ) = c.of(DATAFREE if datafree else ORIGINAL, found["dataset"])  # fmt: skip
  if found["smoke"]:
    epochs, batches, batch_size, width = 2, 6, 16, 8
  generator = "maze" if small else "zskt"
  dafl = c.sibling(__file__, "dafl", f"dataset={found['dataset']}")
  return c.experiment(
    "zskt",
    found,
    image_size=image_size,
    teacher={**dafl.teacher.to_dict(), "model": teacher},
    student={
      "model": student,
      "epochs": 0,
      "batch_size": 256,
      "optimizer": c.optimizer("sgd", 0.1, "cosine", weight_decay=5e-4),
      "round_optimizer": (
        c.optimizer("sgd", rate, "cosine", weight_decay=1e-4)
        if datafree
        else c.optimizer("adam", rate, "cosine", clip_norm=5.0)
      ),
    },
    synthesis={
      "num_rounds": epochs,
      "steps_per_round": batches,
      "batch_size": batch_size,
      "mode": "datafree" if datafree else "original",
      "generator_steps": 1,
      "student_steps": student_steps,
      "generator": "upsampling_large" if datafree else generator,
      "latents": 256 if datafree else 100,
      "width": width,
      "step_size": step_size,
      "reduction": "batch_mean" if datafree else "element_mean",
      "capacity": 4 * batch_size,
    },
    hyper={"temperature": 1.0, "attention": 0.0 if datafree else 250.0},
  )
