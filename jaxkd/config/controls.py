"""Controls: runs that a method has to beat."""

from ml_collections import ConfigDict

from jaxkd.config import checks
from jaxkd.config.blocks import block

MAX_BATCH = 50_000  # images that are drawn at once


def procedural_control(
  config: ConfigDict, procedural: ConfigDict
) -> ConfigDict:
  """Returns the control of a config with procedural images.

  The same student makes as many updates (to whole epochs, one at least) on as
  many images, which the same teacher answers with the same access, once each.

  Args:
    config: of the method that is compared.
    procedural: a config of procedural images on the same data set.
  """
  count = count_images(config)
  control = block(**procedural)
  for name in ("dataset", "image_size", "seed", "teacher"):
    control[name] = config[name]
  control.student = block(**procedural.student)
  for name in ("model", "seeds", "batch_size"):
    control.student[name] = config.student[name]
  control.student.start = config.student.get("start", "random")
  if control.student.start != "random":
    # Weights that were fitted need smaller steps than random ones.
    control.student.optimizer = block(**config.student.optimizer)
  updates = count_updates(config, count)
  epochs = updates * config.student.batch_size / count
  control.student.epochs = max(round(epochs), 1)
  rounds = checks.equal_rounds(count, MAX_BATCH)
  control.synthesis.num_rounds = rounds
  control.synthesis.batch_size = count // rounds
  control.synthesis.answers = "once"
  control.synthesis.selection.criterion = "none"
  control.synthesis.selection.candidates = 1.1  # a few are drawn twice
  control.queries.budget = config.queries.budget
  return block(**control)


def count_images(config: ConfigDict) -> int:
  """Counts the images that the teacher answers in a run."""
  made = config.synthesis
  if config.teacher.access != "white_box":
    return config.queries.budget
  if "num_sets" in made:
    return made.num_sets * made.set_size
  return made.num_rounds * made.get("steps_per_round", 1) * made.batch_size


def count_updates(config: ConfigDict, count: int) -> int:
  """Counts the updates of the student, of those in the epochs if there are.

  ZSDB3KD stores one sample for some hundred answers, and its walks say how many
  there are: its control makes one epoch of all answered images.
  """
  made, block = config.synthesis, config.student
  if config.method == "zsdb3kd":
    return 1
  if block.epochs:
    images = count * (1 + made.get("extra_images", 0))
    return block.epochs * images // block.batch_size
  asked = 1  # batches that are asked about in a round
  steps = made.get("steps_per_round", 1) * made.get("student_steps", 1)
  if config.method == "dfme":
    differences = made.generator_steps * (made.num_directions + 1)
    asked = differences + made.student_steps
  elif config.method == "maze":
    asked = made.num_directions + made.student_steps
    steps += made.replay_steps
  rounds = made.num_rounds or count // (asked * made.batch_size)
  return max(rounds * steps, 1)
