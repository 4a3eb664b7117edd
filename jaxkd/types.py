"""The types that all packages share: classifiers, samples and methods.

Axis letters, here and in every docstring: `S` sets (the vmapped axis), `N`
samples in a set, `B` batch, `G` group, `K` classes, `H W C` image (NHWC), `D`
features, `Z` latent, `T` synthesis steps, `E` ensemble members.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import chex
import flax
import jax

from jaxkd.errors import JaxkdError as JaxkdError  # exported with the types

Array = jax.Array
Variables = chex.ArrayTree  # of a network: {'params': ..., 'batch_stats': ...}
State = chex.ArrayTree  # of a method, between two phases


class Outputs(NamedTuple):
  """The outputs of a network for a batch of images.

  Attributes:
    logits: `[B, K]`.
    heads: logits `[B, K]` of early exits, if the network has any.
    features: intermediate activations, if the network returns any.
  """

  logits: Array
  heads: tuple[Array, ...] = ()
  features: tuple[Array, ...] = ()


class ApplyFn(Protocol):
  """A function `(variables, images) -> (outputs, changed variables)`.

  `images` are `[B, H, W, C]` floats, in [0, 1] for natural images; the function
  normalises them itself. With `train=True` batch normalisation uses the batch
  statistics, and the second value holds the collections that changed
  (`batch_stats`); otherwise it is empty. Networks with dropout need `rng`.
  """

  def __call__(
    self,
    variables: Variables,
    images: Array,
    *,
    train: bool = False,
    rng: Array | None = None,
  ) -> tuple[Outputs, Variables]: ...


@flax.struct.dataclass
class Classifier:
  """A network as a pytree: its variables and the function that applies them.

  `classifier(images)` returns `Outputs` in evaluation mode.

  Attributes:
    variables: to differentiate, stack or shard.
    apply: the function that applies them, static under `jax.jit`.
    name: for messages and reports.
  """

  variables: Variables
  apply: ApplyFn = flax.struct.field(pytree_node=False)
  name: str = flax.struct.field(pytree_node=False, default="classifier")

  def __call__(self, images: Array) -> Outputs:
    return self.apply(self.variables, images)[0]


class DataSpec(NamedTuple):
  """Describes the inputs; a data-free method knows nothing else of the data.

  Attributes:
    name: of the data set.
    shape: of one input, `(H, W, C)`, or `(D,)` for points.
    num_classes: K.
    mean: mean per channel, in pixel space ([0, 1] for images).
    std: standard deviation per channel, in pixel space.
  """

  name: str
  shape: tuple[int, ...]
  num_classes: int
  mean: tuple[float, ...]
  std: tuple[float, ...]


class Samples(NamedTuple):
  """Images with labels and targets; all arrays have the same leading axes.

  Attributes:
    images: `[N, H, W, C]` float32 pixels (points `[N, D]` in toy tasks); uint8
      where a black box answers 8-bit images.
    labels: `[N]` int32, the class for which an image was made; -1 without one.
    targets: the teacher's answers: log-probabilities `[N, K]` up to a constant,
      or `[N]` int32 from a teacher that returns labels only; None before the
      teacher was asked.
    extras: further arrays `[N, ...]` by name, e.g. the step size.
  """

  images: Array
  labels: Array
  targets: Array | None = None
  extras: dict[str, Array] = {}  # noqa: RUF012 (never written to)


@flax.struct.dataclass
class SampleStore:
  """A ring buffer of the samples that the student is trained on.

  The functions of `jaxkd.training.sample_store` fill and read it.

  Attributes:
    samples: arrays `[capacity, ...]`.
    inserted: number of samples that were ever inserted, int32.
  """

  samples: Samples
  inserted: Array

  @property
  def capacity(self) -> int:
    return self.samples.labels.shape[0]


class Networks(NamedTuple):
  """The networks and samples that a method may use.

  Attributes:
    teacher: None for a black box, which has no variables and no gradient.
    student: the student in training, with its current variables.
    store: the answered samples so far.
    data: real images, for the methods that use some.
  """

  teacher: Classifier | None
  student: Classifier
  store: SampleStore | None = None
  data: Samples | None = None


# Terms of a loss by name, `[S]` or scalars; they are logged and must be finite.
LossTerms = dict[str, Array]
Ask = Callable[[State, Networks, Array], tuple[State, Samples, LossTerms]]
Tell = Callable[
  [State, Networks, Samples, Array], tuple[State, Samples, LossTerms]
]


def passthrough(
  state: State, nets: Networks, answered: Samples, key: Array
) -> tuple[State, Samples, LossTerms]:
  """The default `tell`: returns the answered images as training samples."""
  del nets, key
  return state, answered, {}


# From the number of samples in the store to the number of repeats.
RepeatFn = Callable[[Array], Array]


class Phase(NamedTuple):
  """One exchange with the teacher, as pure functions.

  Attributes:
    ask: `(state, nets, key) -> (state, samples, terms)`: makes the images that
      the teacher is asked about, with labels of -1 where they have no class.
    tell: `(state, nets, answered, key) -> (state, samples, terms)`: updates the
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
      that the teacher was trained on, `other` those of `config.other_dataset`.
    pre_student_stage: networks that are trained before the student's epochs.
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
