"""Controls: runs that a method has to beat."""

from ml_collections import ConfigDict

from jaxkd.config.blocks import block


def procedural_control(
  config: ConfigDict, procedural: ConfigDict
) -> ConfigDict:
  """Returns the control of a config with procedural images.

  The same student makes as many updates (to whole epochs) on as many images,
  which the same teacher answers with the same access, once each.

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
  updates = count_updates(config, count)
  epochs = updates * config.student.batch_size / count
  control.student.epochs = max(round(epochs), 1)
  control.synthesis.num_rounds = 1
  control.synthesis.batch_size = count
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
  """Counts the updates of the student, of those in the epochs if there are."""
  made, block = config.synthesis, config.student
  if block.epochs:
    images = count * (1 + made.get("extra_images", 0))
    return block.epochs * images // block.batch_size
  rounds = made.num_rounds or count // made.batch_size
  steps = made.get("steps_per_round", 1) * made.get("student_steps", 1)
  return max(rounds * steps, 1)
