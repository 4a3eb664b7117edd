"""White-box methods are adapted to a teacher that gives labels alone.

IDEAL compares with such versions of DAFL, ZSKT, DeepInversion, CMI and DFME in
its tables 2 and 3, and does not say how they were made. There are three
adaptations, each under the budget and the ledger of a black box:

- `frozen`: the images are not optimised. The generator stays as it was
  initialised (pixels: as they were drawn), and the student learns the labels.
  It is the control of the other two.
- `surrogate`: the student in training takes the teacher's place wherever the
  method uses that, its batch normalisations and features included. Methods that
  seek disagreement can't have it: the student does not disagree with itself.
- `zeroth`: a generator learns from the labels by finite differences, as in
  DFME, each of which costs M more images. It raises the `label_objective` of
  the method, on labels smoothed by `label_floor`. Methods whose images are made
  for a class can't have it: this generator has no classes.

A method names those that suit it in `MethodInfo.adaptations`. In all three the
student's loss is the cross entropy with the teacher's labels, asked once for
each image.
"""

from typing import Any

import jax
import optax

from jaxkd.config import checks
from jaxkd.models.generators.registry import create_generator
from jaxkd.synthesis import label_smoothing
from jaxkd.synthesis.zeroth_order import (
  ZerothOrderTrainer,
  zeroth_order_method,
)
from jaxkd.training import objectives
from jaxkd.types import (
  Array,
  DataSpec,
  JaxkdError,
  Method,
  MethodInfo,
  Networks,
  PerSampleObjective,
  Phase,
  Samples,
)

NEGLIGIBLE_LR = 1e-30  # a learning rate that is in effect none
# DFME's numbers, for `zeroth`: the length of its finite differences, the
# learning rate of its generator, and how much of a label is spread.
RADIUS, STEP_SIZE, LABEL_FLOOR = 1e-3, 1e-4, 0.01


def check(config, info: MethodInfo) -> None:
  """Refuses an adaptation that does not suit the method or the config.

  Args:
    config: of the run.
    info: of its method.

  Raises:
    JaxkdError: if the method does not have this adaptation, if the student has
      the objective of another method, or if the teacher is a white box.
  """
  name, method = config.adaptation.name, config.method
  if not name:
    return
  if name not in info.adaptations:
    known = " or ".join(info.adaptations) or "''"
    raise JaxkdError(
      f"adaptation.name={name}: {method} can't be adapted to labels in this "
      f"way; choose {known}."
    )
  if config.objective:
    raise JaxkdError(
      f"adaptation.name={name}: the student learns labels by cross entropy; "
      f"set objective='' in place of {config.objective}."
    )
  if config.teacher.access == "white_box":
    raise JaxkdError(
      f"adaptation.name={name} is for a teacher that gives labels; set "
      "teacher.access=label and queries.budget."
    )


def synthesis_of(config, info: MethodInfo) -> dict[str, Any]:
  """Returns the fields of `config.synthesis`.

  For `frozen` images have a learning rate of 1e-30, in effect none.
  """
  synthesis = config.synthesis.copy_and_resolve_references()
  if config.adaptation.name == "frozen":
    synthesis.update_from_flattened_dict(
      dict.fromkeys(info.image_steps, NEGLIGIBLE_LR)
    )
  return synthesis.to_dict()


def adapt(
  config, info: MethodInfo, spec: DataSpec, method: Method, budget: int
) -> Method:
  """Returns the method as `config.adaptation` adapts it.

  Args:
    config: of the run.
    info: of its method.
    spec: of the inputs.
    method: as it is published.
    budget: images that the teacher may be asked for.

  Raises:
    JaxkdError: if the student that takes the teacher's place learns nothing
      while images are made, or if the budget does not pay for one round.
  """
  if not config.adaptation.name:
    return method
  if config.adaptation.name == "surrogate" and not any(
    phase.student_steps for phase in method.phases
  ):
    raise JaxkdError(
      "adaptation.name=surrogate: the student takes the teacher's place and "
      f"learns nothing while {config.method} makes images; set "
      "synthesis.student_steps above 0, or choose frozen."
    )
  if config.adaptation.name != "zeroth":
    return surrogate(method)
  batch_size, block = config.synthesis.batch_size, config.adaptation
  objective = generator_objective(info.label_objective, batch_size, LABEL_FLOOR)
  return zeroth(objective, spec, method.capacity, block, batch_size, budget)


def surrogate(method: Method) -> Method:
  """Puts the student in the teacher's place, and has it learn from labels."""

  def student_as_teacher(nets: Networks) -> Networks:
    return nets._replace(teacher=nets.student)

  def adapted(phase: Phase) -> Phase:
    def ask(state, nets: Networks, key: Array):
      state, samples, terms = phase.ask(state, student_as_teacher(nets), key)
      if phase.store:  # the teacher is asked; these answers are the student's
        samples = samples._replace(targets=None, extras={})
      return state, samples, terms

    def tell(state, nets: Networks, samples: Samples, key: Array):
      return phase.tell(state, student_as_teacher(nets), samples, key)

    return phase._replace(ask=ask, tell=tell, queries=phase.store)

  return method._replace(
    init=lambda key, nets: method.init(key, student_as_teacher(nets)),
    phases=tuple(adapted(phase) for phase in method.phases),
    objective=objectives.teacher_cross_entropy,
    hyper={},
    relabel_views=False,
    required_access="label",
  )


def zeroth(
  objective: PerSampleObjective,
  spec: DataSpec,
  capacity: int,
  block,
  batch_size: int,
  budget: int,
) -> Method:
  """Builds a method whose generator raises an objective of labels by finite
  differences.

  Args:
    objective: `(student's logits [N, K], answers) -> [N]`.
    spec: of the inputs.
    capacity: samples that the store holds.
    block: `config.adaptation`.
    batch_size: B, images in an update of either network.
    budget: images that the teacher may be asked for.

  Raises:
    JaxkdError: if the budget does not pay for one round.
  """
  cost = batch_size * (block.num_directions + 1 + block.student_steps)
  trainer = ZerothOrderTrainer(
    create_generator("dfme", spec),
    optax.adam(STEP_SIZE),
    objective,
    batch_size,
    block.num_directions,
    RADIUS,
  )
  return zeroth_order_method(
    trainer,
    (trainer.generator_phase(), trainer.student_phase(block.student_steps)),
    rounds=checks.rounds_within(budget, cost, 0),
    capacity=capacity,
    objective=objectives.teacher_cross_entropy,
    hyper={},
  )


def generator_objective(
  label_objective: PerSampleObjective, batch_size: int, floor: float
) -> PerSampleObjective:
  """Returns the objective `[N]` of a generator, for N images.

  Args:
    label_objective: of a batch, see `jaxkd.types.MethodInfo`.
    batch_size: images in a batch.
    floor: share of a label that is spread over all classes.
  """

  def batches(logits: Array, targets: Array) -> Array:
    # Also where the teacher gives logits, which are known up to a constant.
    smoothed = jax.nn.log_softmax(
      label_smoothing.as_logits(targets, logits.shape[-1], floor)
    )
    pairs = (
      leaf.reshape(-1, batch_size, leaf.shape[-1])
      for leaf in (logits, smoothed)
    )
    return jax.vmap(label_objective)(*pairs).reshape(-1)

  return batches
