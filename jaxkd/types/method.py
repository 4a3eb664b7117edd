"""A method, its phases and objectives, and what they are given."""

from collections.abc import Callable
from typing import NamedTuple

import chex

from jaxkd.types.classifier import Array, Classifier, Outputs, Variables
from jaxkd.types.samples import Samples, SampleStore

State = chex.ArrayTree  # of a method, between two phases


class Networks(NamedTuple):
  """The networks and samples that a method may use.

  Attributes:
    teacher: None for a black box, which has no variables and no gradient.
    student: the student in training, with its current variables.
    store: the answered samples so far.
    data: real images, for the methods that use some.
    init_student: from a key to a student's random variables, for the methods
      that train students of their own; None where none can be made.
  """

  teacher: Classifier | None
  student: Classifier
  store: SampleStore | None = None
  data: Samples | None = None
  init_student: Callable[[Array], Variables] | None = None


# Terms of a loss by name, `[S]` or scalars; they are logged and must be finite.
LossTerms = dict[str, Array]
Ask = Callable[[State, Networks, Array], tuple[State, Samples, LossTerms]]
Tell = Callable[
  [State, Networks, Samples, Array], tuple[State, Samples, LossTerms]
]


def passthrough(
  state: State, nets: Networks, samples: Samples, key: Array
) -> tuple[State, Samples, LossTerms]:
  """The default `tell`: returns the answered images as training samples."""
  del nets, key
  return state, samples, {}


# From the number of samples in the store to the number of repeats.
RepeatFn = Callable[[Array], Array]


class Phase(NamedTuple):
  """One exchange with the teacher, as pure functions.

  Attributes:
    ask: `(state, nets, key) -> (state, samples, terms)`: makes the images that
      the teacher is asked about, with labels of -1 where they have no class.
    tell: `(state, nets, samples, key) -> (state, samples, terms)`: updates the
      state with the answers; returns the samples to store and to train on.
    repeats: number of times per round, or a function of the number of samples
      in the store.
    student_steps: number of updates of the student on these samples.
    store: whether the samples go into the store.
    queries: whether the teacher is asked; if not, the samples of `ask` have
      their targets already, from the store.
  """

  ask: Ask
  tell: Tell = passthrough
  repeats: int | RepeatFn = 1
  student_steps: int = 0
  store: bool = True
  queries: bool = True


class LossContext(NamedTuple):
  """What an objective is given beside the batch.

  Attributes:
    epoch: epoch of the student's training, from 0; during a method's rounds the
      number of updates of the student.
    label_counts: `[K]`, number of samples in the store with each label.
  """

  epoch: Array
  label_counts: Array


# From hyperparameters, the student's outputs, samples and context to `[B]`.
Objective = Callable[[dict[str, Array], Outputs, Samples, LossContext], Array]
# From the student's logits `[B, K]` and the teacher's answers to `[B]`.
PerSampleObjective = Callable[[Array, Array], Array]


class PreStudentStage(NamedTuple):
  """Networks that are trained between the rounds and the student's epochs.

  Attributes:
    run: `(trainer, teacher, samples) -> (teacher, samples)`: takes a
      `jaxkd.training.trained_network.Trainer` for these samples, and the
      teacher if it is a white box; returns the network and the samples that the
      student learns from instead.
    block: block of the config with the settings of the training, `teacher` or
      `student`.
    description: what is trained, in a few words, for the plan of a run.
  """

  run: Callable[..., tuple[Classifier | None, Samples]]
  block: str
  description: str


class Method(NamedTuple):
  """A published system, as pure functions.

  Attributes:
    init: `(key, nets) -> state`, a pytree of arrays.
    phases: the phases of a round, in order.
    rounds: number of rounds.
    capacity: number of samples that the store holds.
    steps: number of updates of an image; 0 if images are not optimised.
    objective: the student's loss, `(hyper, outputs, samples, context) -> [B]`.
    hyper: hyperparameters of the objective; they are traced, so that a grid is
      a vmap over them.
    relabel_views: whether a white box labels every augmented view of an image
      in the student's epochs; otherwise the stored answer is used.
    required_access: the least access to the teacher, one of
      `config.ACCESS_LEVELS`; one with less is refused before the first round.
    real_images: which real images the method uses: `""` none, `train` those
      that the teacher was trained on, `other` those of
      `config.other_dataset`, `photo` the one image file that it names.
    pre_student_stage: networks that are trained before the student's epochs.
    round_student: the variables of the student that the method trains itself in
      its rounds, from its state; None for methods that train none of their own.
    float_pixels: whether the method needs answers to float images (finite
      differences, boundary searches); teachers that take 8 bits are refused.
  """

  init: Callable[[Array, Networks], State]
  phases: tuple[Phase, ...]
  rounds: int
  capacity: int
  objective: Objective
  hyper: dict[str, float]
  steps: int = 0
  relabel_views: bool = False
  required_access: str = "probs"
  real_images: str = ""
  pre_student_stage: PreStudentStage | None = None
  round_student: Callable[[State], Variables] | None = None
  float_pixels: bool = False


class MethodInfo(NamedTuple):
  """Facts about a method that hold for all of its configs.

  The first five are a row of the README's table of methods.

  Attributes:
    access: the least access to the teacher, one of `config.ACCESS_LEVELS`.
    source: the origin of the images, in words.
    critic: the networks whose outputs the loss of the images uses, in words;
      empty for real images.
    objective: the student's loss, in words.
    terms: terms of the images' loss, by their names in `synthesis.weights`.
    image_steps: dotted fields of `synthesis` that set how far an update changes
      the images or their generator. With all of them near 0, images are made
      and never improved.
    adaptations: names in `jaxkd.synthesis.label_only` of the adaptations with
      which a white-box method can use a teacher that returns labels only.
    label_objective: what the generator of the adaptation `zeroth` maximises,
      `(student's logits [B, K], teacher's log-probabilities [B, K]) -> [B]`.
  """

  access: str
  source: str
  critic: str
  objective: str
  terms: tuple[str, ...] = ()
  image_steps: tuple[str, ...] = ()
  adaptations: tuple[str, ...] = ()
  label_objective: PerSampleObjective | None = None
