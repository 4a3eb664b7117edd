"""The contracts: what a classifier, a set of samples and a method are.

Axis letters, here and in every docstring: `S` sets (the vmapped axis), `N`
samples in a set, `B` batch, `G` group, `K` classes, `H W C` image (NHWC), `D`
features, `Z` latent, `T` synthesis steps, `E` ensemble members.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import flax
import jax

from jaxkd.errors import JaxkdError

__all__ = [
  "ACCESS_LEVELS",
  "ApplyFn",
  "Array",
  "Ask",
  "Classifier",
  "DataSpec",
  "JaxkdError",
  "LossContext",
  "LossTerms",
  "Method",
  "MethodInfo",
  "Networks",
  "Objective",
  "Outputs",
  "Phase",
  "RepeatFn",
  "Samples",
  "Tell",
  "Variables",
  "passthrough",
]

Array = jax.Array
Variables = Any  # a pytree of arrays, e.g. {'params': ..., 'batch_stats': ...}


class Outputs(NamedTuple):
  """What a network says about a batch.

  Attributes:
    logits: `[B, K]`.
    heads: logits `[B, K]` of early exits, if the network has any.
    features: intermediate activations, if the network taps any.
  """

  logits: Array
  heads: tuple[Array, ...] = ()
  features: tuple[Array, ...] = ()


class ApplyFn(Protocol):
  """`(variables, images, train=False) -> (Outputs, changed variables)`.

  `images` are `[B, H, W, C]` floats, [0, 1] in natural images; the
  normaliser is inside. With `train=True` batch normalisation uses the batch
  and the second value holds the collections that changed (`batch_stats`);
  otherwise it is empty. `rng` is needed by networks with dropout.
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
  """A network as data: variables to differentiate, stack or shard, and how to
  apply them.

  `classifier(images)` gives `Outputs` in evaluation mode.
  """

  variables: Variables
  apply: ApplyFn = flax.struct.field(pytree_node=False)
  name: str = flax.struct.field(pytree_node=False, default="classifier")

  def __call__(self, images: Array) -> Outputs:
    return self.apply(self.variables, images)[0]


class DataSpec(NamedTuple):
  """What inputs look like; all that a data-free method knows of the data.

  Attributes:
    name: of the data set.
    shape: of one input, `(H, W, C)`, or `(D,)` for points.
    num_classes: K.
    mean: per channel, in pixel space ([0, 1] for images).
    std: per channel, likewise.
  """

  name: str
  shape: tuple[int, ...]
  num_classes: int
  mean: tuple[float, ...]
  std: tuple[float, ...]


class Samples(NamedTuple):
  """Images on their way through a run; every leaf has the same leading axes.

  Attributes:
    images: `[N, H, W, C]` float32 pixels (points `[N, 2]` in the toy); uint8
      where a black box answers 8-bit images.
    labels: `[N]` int32, the class that was meant; -1 where none was.
    targets: what the teacher answered: log-probabilities `[N, K]` (up to a
      constant), or `[N]` int32 from one that gives labels alone; None before it
      was asked.
    extras: further arrays `[N, ...]` that travel along, e.g. the step size.
  """

  images: Array
  labels: Array
  targets: Array | None = None
  extras: dict[str, Array] = {}  # noqa: RUF012 (never written to)


class Networks(NamedTuple):
  """What a method may look at.

  Attributes:
    teacher: None behind a black box: no variables, so no gradient either.
    student: the student that is in training, as it stands.
    store: the answered samples so far, a
    `jaxkd.training.sample_store.SampleStore`. data: real images, for the
    methods that take some.
  """

  teacher: Classifier | None
  student: Classifier
  store: Any = None
  data: Samples | None = None


LossTerms = dict[
  str, Array
]  # what is logged, and must be finite: `[S]` or scalars
Ask = Callable[[Any, Networks, Array], tuple[Any, Samples, LossTerms]]
Tell = Callable[[Any, Networks, Samples, Array], tuple[Any, Samples, LossTerms]]


def passthrough(
  state: Any, nets: Networks, answered: Samples, key: Array
) -> tuple[Any, Samples, LossTerms]:
  """The default `tell`: the answered images are the training samples."""
  del nets, key
  return state, answered, {}


# (samples that the store holds) -> how often
RepeatFn = Callable[[Array], Array]


class Phase(NamedTuple):
  """One ask/tell exchange with the teacher; pure functions.

  Attributes:
    ask: `(state, nets, key) -> (state, samples, terms)`: images to be answered,
      with labels of -1 where no class was meant.
    tell: `(state, nets, answered, key) -> (state, samples, terms)`: learn from
      the answers; hands on what is stored and what the student is trained on.
    repeats: times per round, or a function of the number of samples in the
      store, where that grows.
    student_steps: updates of the student on these samples that follow.
    store: whether the samples go into the store.
    queries: whether the teacher is asked; if not, the samples of `ask` have
      their targets already (taken from the store).
  """

  ask: Ask
  tell: Tell = passthrough
  repeats: int | RepeatFn = 1
  student_steps: int = 0
  store: bool = True
  queries: bool = True


class LossContext(NamedTuple):
  """What an objective may know beside the batch.

  Attributes:
    epoch: 0-based epoch of the student's training; in a method's rounds the
      number of its updates.
    label_counts: `[K]` labels in the store so far.
  """

  epoch: Array
  label_counts: Array


Objective = Callable[[dict[str, Array], Outputs, Samples, LossContext], Array]


class PreStudentStage(NamedTuple):
  """Trainings between the answers and the student's epochs.

  Attributes:
    run: `(trainer, teacher, samples) -> (teacher, samples)`: takes a
      `jaxkd.training.trained_network.Trainer` for these samples and the teacher
      if it is a white box; returns the network and the samples that the student
      learns from instead.
    block: block of the config by which they are trained, `teacher` or
      `student`.
    description: of what is trained, in a few words, for the plan of a run.
  """

  run: Callable[..., tuple[Classifier | None, Samples]]
  block: str
  description: str


class Method(NamedTuple):
  """A published system, as pure functions.

  Attributes:
    init: `(key, nets) -> state`, a pytree of arrays.
    phases: one round is these, in order.
    rounds: how often.
    capacity: samples that the store holds.
    steps: updates that one image goes through (0: images are not optimised).
    objective: `(hyper, outputs, samples, context) -> loss [B]`.
    hyper: numbers that the objective gets, traced: a grid is a vmap over it.
    relabel_views: whether a white box labels every augmented view that the
      student is shown in the epochs; otherwise the answer is stored with the
      image.
    required_access: what the teacher must give, one of `ACCESS_LEVELS`; one
      that gives less is refused before the first round.
    real_images: which real images it takes: `""` none, `train` those that the
      teacher was trained on, `other` those of the set `config.images`.
    pre_student_stage: trainings between the rounds and the student's epochs.
    float_pixels: whether answers to 8-bit images would not do (finite
      differences, boundary searches); a teacher that is sent 8 bits is refused.
  """

  init: Callable[[Array, Networks], Any]
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
  """What a method is, in words: a row of the README's table.

  Attributes:
    access: the least that the teacher has to give, one of `ACCESS`.
    source: what the images are.
    critic: whose judgement makes them what they are; empty: nobody's.
    objective: of the student.
    terms: of the images' loss, by the names that `synthesis.weights` has.
  """

  access: str
  source: str
  critic: str
  objective: str
  terms: tuple[str, ...]


# What a teacher may give, from least to most.
ACCESS_LEVELS = ("label", "top_k", "probs", "logits", "white_box")
