"""Images that nobody optimised, labelled by the teacher.

  python -m jaxkd.main --config=configs/procedural.py
  python -m jaxkd.main --config=configs/procedural.py:dataset=mnist
  python -m jaxkd.main --config=configs/procedural.py:access=white_box
  python -m jaxkd.main --config=configs/procedural.py:select=none,sources=smooth
  python -m jaxkd.main --config=configs/procedural.py:smoke

`access` is `label`, `probs` or `white_box`, where the images are as many as the
budget would pay for, and on grey images the student is half a LeNet-5 that
starts with weights of its teacher (`student.start`), unless the argument names
networks. `budget` is IDEAL's if it is not given; sizes of rounds and epochs
follow from it, as they do not from `--config.queries.budget`. `select` is
`student`, where students of the round before select what is asked, `teacher`,
where a white box does (default there), or `none`. `sources` is a name or
several with `+` between them, in equal parts, as in `sources=smooth+leaves`;
without it strokes and objects, on Fashion-MNIST objects alone. Strokes look
like digits, and objects like things on a plain background; smooth noise and
leaves assume nothing.
"""

from jaxkd import config as c

LENETS = dict(teacher="lenet5", student="lenet5", image_size=32)
RESNETS = dict(teacher="resnet34", student="resnet18", image_size=0)
# By data set: networks, budget of queries, epochs of the teacher, and images in
# all updates of the student and their sources, if they are not those below.
RECIPES = {
  "mnist_5k": dict(LENETS, budget=10_000, teacher_epochs=30),
  "mnist": dict(LENETS, budget=25_000, teacher_epochs=10),
  "fashion_mnist": dict(
    LENETS,
    budget=100_000,
    teacher_epochs=20,
    visits=6_000_000,
    sources="objects",
  ),
  "svhn_cropped": dict(
    RESNETS, teacher="resnet18", budget=100_000, teacher_epochs=30
  ),
  "cifar10": dict(RESNETS, budget=250_000, teacher_epochs=30),
  "cifar100": dict(RESNETS, budget=2_000_000, teacher_epochs=30),
  "tiny_imagenet": dict(RESNETS, budget=2_000_000, teacher_epochs=30),
  "imagenet12": dict(
    RESNETS, teacher="vgg16", budget=250_000, teacher_epochs=30
  ),
}
ROUNDS = 10
VISITS = 900_000
NARROWED_VISITS = 200_000  # of a student that starts with the teacher's weights
SOURCES = "strokes+objects"
MAX_EPOCHS = 200
SMOKE = dict(budget=200, teacher_epochs=2)


def get_config(argument: str = ""):
  args = c.arguments(
    argument,
    dataset="mnist_5k",
    access="label",
    select="",
    sources="",
    budget="0",
  )
  recipe = c.lookup(RECIPES, args["dataset"])
  if args["smoke"]:
    recipe = {**recipe, **SMOKE}
  white_box = args["access"] == "white_box"
  budget = c.number(args, "budget") or recipe["budget"]
  half = white_box and recipe["teacher"] == "lenet5"
  if half and not {"teacher", "student"} & set(args):
    visits = NARROWED_VISITS
    # Large steps would leave the weights that were fitted.
    training = dict(
      start="teacher",
      batch_size=64,
      optimizer=c.optimizer("sgd", 0.01, "one_cycle", weight_decay=1e-3),
    )
  else:
    visits = recipe.get("visits", VISITS)
    weight_decay = c.weight_decay(budget)
    training = dict(
      batch_size=32,
      optimizer=c.optimizer(
        "sgd", 0.03, "one_cycle", weight_decay=weight_decay
      ),
    )
  sources = args["sources"] or recipe.get("sources", SOURCES)
  if not all(sources.split("+")):
    raise c.JaxkdError(f"sources={sources}: there is no name beside a +.")
  rounds = 2 if args["smoke"] else ROUNDS
  if budget < rounds:
    raise c.JaxkdError(f"budget={budget}: choose {rounds} or more.")
  return c.experiment(
    "procedural",
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
      "model": "lenet5_half" if half else recipe["student"],
      "epochs": min(max(visits // budget, 1), MAX_EPOCHS),
      "augment": (),
      **training,
    },
    synthesis={
      "num_rounds": rounds if white_box else 0,  # 0: as the budget pays for
      "batch_size": budget // rounds,
      "sources": dict.fromkeys(sources.split("+"), 1.0),
      "selection": selection(args, budget),
      "answers": "once",
    },
    queries={} if white_box else {"budget": budget},
    hyper={"temperature": 1.0},
  )


def selection(args: dict, budget: int) -> dict:
  """Fields of the block; candidates cost time, but no query."""
  white_box = args["access"] == "white_box"
  select = args["select"] or ("teacher" if white_box else "student")
  per_image = 4.0 if budget < 100_000 else 2.0
  fields = {
    "student": {
      # Students of a large pool are trained too shortly to disagree usefully.
      "criterion": "disagreement" if budget < 100_000 else "margin",
      "candidates": per_image,
    },
    "teacher": {"criterion": "random", "candidates": 8.0},
    # Without a choice some more, because a few are drawn twice.
    "none": {"criterion": "none", "candidates": 1.1},
  }
  return {
    **c.lookup(fields, select, "select"),
    "critic": "teacher" if select == "teacher" else "students",
    "mutations": per_image,
  }
