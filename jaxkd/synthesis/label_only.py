"""Methods that look into their teacher, adapted to one that gives labels alone.

IDEAL compares with such versions of DAFL, ZSKT, DeepInversion, CMI and DFME in
its tables 2 and 3, and does not say how they were made. There are three ways,
each under the budget and the ledger of a black box:

- `frozen`: nobody judges the images. The generator stays as it was initialised
  (pixels: as they were drawn), and the student learns the labels. What a method
  adds to this is its own.
- `surrogate`: the student as it stands takes the teacher's place wherever the
  method looks into that, its batch normalisations and features included. A term
  for disagreement vanishes, as nobody disagrees with himself.
- `zeroth`: a generator learns from the labels by finite differences, as in
  DFME, which pay for M more images each. What it raises is the method's own
  judgement, of labels smoothed by `label_floor`: for DAFL how rare a class is,
  for ZSKT and DD the distance from student to teacher. DeepInversion and CMI
  judge by the class that was meant, and latents drawn anew mean none.

In all three the student's loss is the cross entropy with the teacher's labels,
asked once for each image.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxkd import losses
from jaxkd.config import checks
from jaxkd.models.generators.registry import create_generator
from jaxkd.synthesis import label_smoothing
from jaxkd.synthesis.zeroth_order import ZerothOrderTrainer
from jaxkd.training import objectives
from jaxkd.types import Array, DataSpec, JaxkdError, Method, Networks, Phase

NAMES = ("frozen", "surrogate", "zeroth")
ADAPTABLE = ("cmi", "dafl", "dd", "deepinversion", "zskt")
DISAGREEING = ("dd", "zskt")
CLASS_CONDITIONAL = ("cmi", "deepinversion")  # a class by every image
NEGLIGIBLE_LR = 1e-30  # below the rounding of any weight
# (student's logits [N, K], smoothed log-probabilities [N, K]) -> [N]
PerSampleObjective = Callable[[Array, Array], Array]


def check(config) -> None:
  """Refuses an adaptation that there is not, or that says nothing.

  Raises:
    JaxkdError: naming the field and what it may be.
  """
  name, method = config.adaptation.name, config.method
  if not name:
    return
  checks.choice("adaptation.name", name, NAMES)
  if method not in ADAPTABLE:
    raise JaxkdError(
      f"adaptation.name={name}: {method} is no method that looks into its "
      f"teacher; choose one of {', '.join(ADAPTABLE)}, or set "
      "adaptation.name=''."
    )
  if name == "surrogate" and method in DISAGREEING:
    raise JaxkdError(
      f"adaptation.name=surrogate: {method} seeks disagreement, and the "
      "student has none with itself; choose frozen or zeroth."
    )
  if name == "zeroth" and method in CLASS_CONDITIONAL:
    raise JaxkdError(
      f"adaptation.name=zeroth: {method} judges an image by the class that was "
      "meant, and a generator without classes means none; choose frozen or "
      "surrogate."
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


def synthesis_of(config) -> dict[str, Any]:
  """The method's fields; of a `frozen` one with steps that no weight or pixel
  feels.
  """
  synthesis = config.synthesis.to_dict()
  if config.adaptation.name != "frozen":
    return synthesis
  if "step_size" in synthesis:
    return {**synthesis, "step_size": NEGLIGIBLE_LR}
  optimizer = {**synthesis["optimizer"], "learning_rate": NEGLIGIBLE_LR}
  return {**synthesis, "optimizer": optimizer}


def adapt(config, spec: DataSpec, method: Method, budget: int) -> Method:
  """The method as `config.adaptation` says; `budget` in images.

  Raises:
    JaxkdError: naming the field and what it may be.
  """
  if not config.adaptation.name:
    return method
  if config.adaptation.name == "surrogate" and not any(
    phase.student_steps for phase in method.phases
  ):
    raise JaxkdError(
      f"adaptation.name=surrogate: the student, who judges, learns nothing "
      f"while {config.method} makes images; set synthesis.student_steps above "
      "0, or choose frozen."
    )
  if config.adaptation.name != "zeroth":
    return surrogate(method)
  batch_size = config.synthesis.batch_size
  block = config.adaptation
  return zeroth(config.method, spec, method, block, batch_size, budget)


def surrogate(method: Method) -> Method:
  """The method with the student in the teacher's place."""

  def among(nets: Networks) -> Networks:
    return nets._replace(teacher=nets.student)

  def adapted(phase: Phase) -> Phase:
    def ask(state, nets: Networks, key: Array):
      state, samples, terms = phase.ask(state, among(nets), key)
      if phase.store:  # the student's answers; the teacher's are to come
        samples = samples._replace(targets=None, extras={})
      return state, samples, terms

    def tell(state, nets: Networks, answered, key: Array):
      return phase.tell(state, among(nets), answered, key)

    return phase._replace(ask=ask, tell=tell, queries=phase.store)

  return learning_labels(
    method._replace(
      init=lambda key, nets: method.init(key, among(nets)),
      phases=tuple(adapted(phase) for phase in method.phases),
    )
  )


def learning_labels(method: Method) -> Method:
  """The method whose student learns from labels, asked once."""
  return method._replace(
    objective=objectives.teacher_cross_entropy,
    hyper={},
    required_access="label",
  )


def zeroth(
  name: str, spec: DataSpec, method: Method, block, batch_size: int, budget: int
) -> Method:
  """A generator that raises what `name` judges by, through labels alone.

  Args:
    name: `dafl`, `dd` or `zskt`.
    spec: of the inputs.
    method: as it is published; only its capacity stays.
    block: `config.adaptation`.
    batch_size: B, images in an update of either network.
    budget: images that the teacher may be asked for.

  Raises:
    JaxkdError: naming the field and what it may be.
  """
  checks.positive(
    **{
      f"adaptation.{field}": block[field]
      for field in ("num_directions", "radius", "student_steps", "step_size")
    }
  )
  label_smoothing.label_floor({"label_floor": block.label_floor})
  cost = batch_size * (block.num_directions + 1 + block.student_steps)
  seeker = ZerothOrderTrainer(
    create_generator(block.generator, spec),
    optax.adam(block.step_size),
    generator_objective(name, batch_size, block.label_floor),
    batch_size,
    block.num_directions,
    block.radius,
  )
  points = Phase(seeker.ask_points, seeker.tell_points, store=False)
  images = Phase(
    seeker.ask_images, repeats=block.student_steps, student_steps=1
  )
  return learning_labels(
    method._replace(
      init=seeker.init,
      phases=(points, images),
      rounds=checks.rounds_within(budget, cost, 0),
      steps=0,
      float_pixels=True,
    )
  )


def generator_objective(
  name: str, batch_size: int, floor: float
) -> PerSampleObjective:
  """What the generator raises for images in batches of `batch_size`; `[N]`."""
  judgement = {
    "dafl": rarity,
    "dd": lambda ours, theirs: losses.disagreement_loss(
      ours, theirs - theirs.mean(-1, keepdims=True), kind="l1"
    ),
    "zskt": losses.disagreement_loss,
  }[name]

  def batches(logits: Array, targets: Array) -> Array:
    smoothed = label_smoothing.as_logits(targets, logits.shape[-1], floor)
    pairs = (
      leaf.reshape(-1, batch_size, leaf.shape[-1])
      for leaf in (logits, smoothed)
    )
    return jax.vmap(judgement)(*pairs).reshape(-1)

  return batches


def rarity(logits: Array, answers: Array) -> Array:
  """The mean of -ln q over an answer's classes, q the batch's own, `[B]`; its
  mean over the batch is the entropy of q.
  """
  del logits
  answers = jnp.exp(answers)
  return -(answers * jnp.log(answers.mean(0))).sum(-1)
