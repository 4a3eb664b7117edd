"""`setup` works out all of a run that is known before it starts.

It trains nothing and compiles no program of the run. A run and
`python -m jaxkd.main --plan` use the same `Setup`. Of a user's data it reads
labels and headers, and no pixels but those of a photograph in `other_dataset`;
pixels that are damaged or out of range are found when the run loads them. A
bundle is checked by its probe, and `teacher.factory` is called.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict, FrozenConfigDict
import optax

from jaxkd import data, models
from jaxkd.config.teacher_fields import behind_interface
from jaxkd.data import Dataset, DatasetSummary, other_images
from jaxkd.pipeline import exchange, resolution
from jaxkd.pipeline.costs import RoundCost, round_costs
from jaxkd.pipeline.exchange import RoundInputs, RoundSpec, RunState
from jaxkd.pipeline.method import build_method, trains_student
from jaxkd.runtime import compile_target, keys
from jaxkd.runtime.keys import Stream
from jaxkd.runtime.run_folder import flatten
from jaxkd.serialization import weights
from jaxkd.teachers import access, external, function_teacher
from jaxkd.teachers.function_teacher import BlackBoxFunction
from jaxkd.training import optimisers
from jaxkd.training.step import TrainConfig, init_state
from jaxkd.types import (
  Array,
  Classifier,
  DataSpec,
  JaxkdError,
  Method,
  Networks,
  Samples,
)


class Setup(NamedTuple):
  """What does not change while a run goes on.

  Attributes:
    user_config: the config as the user wrote it; a workdir is compared with it.
    config: the config with every automatic value filled in.
    data: sizes and description of the data set; no images.
    teacher: the teacher that exists already (given, from the user's function,
      or from a bundle); None where the run loads, trains or asks one.
    teacher_spec: what that teacher's inputs look like, where it says so.
    teacher_digest: SHA-256 of that teacher's weights, or the name of a
      function that was passed; empty without either.
    black_box: the function that answers, if the teacher is one.
    networks: teacher and student as shapes; no teacher behind an interface.
    method: the method with its hyper-parameters.
    round: what is static in a round.
    costs: at most this many queries, updates and samples, for each round.
    sample_bytes: memory of one stored sample.
    num_evaluation_queries: test images that a paid teacher will be shown.
    inputs: the arrays that all rounds share; shapes until `rounds.start` has
      the teacher.
    class_names: names of that teacher's classes; empty where it says none.
  """

  user_config: FrozenConfigDict
  config: FrozenConfigDict
  data: DatasetSummary
  teacher: Classifier | None
  teacher_spec: DataSpec | None
  teacher_digest: str
  black_box: BlackBoxFunction | None
  networks: Networks
  method: Method
  round: RoundSpec
  costs: tuple[RoundCost, ...]
  sample_bytes: int
  num_evaluation_queries: int
  inputs: RoundInputs
  class_names: tuple[str, ...] = ()

  @property
  def spec(self) -> DataSpec:
    """Description of the network's inputs."""
    return self.data.spec

  @property
  def values(self) -> dict[str, Any]:
    """The values of the config by their dotted names."""
    return flatten(self.config.to_dict())

  def key(self, stream: Stream, *path: int) -> Array:
    """The random key at the end of a path of the key tree."""
    root = jax.random.key(self.config.seed)
    return keys.fold(root, stream, *path)

  def record(self) -> dict[str, Any]:
    """What a workdir is compared with when a run goes on in it."""
    return {
      "config": self.user_config.to_dict(),
      "plan": {
        "rounds": self.method.rounds,
        "capacity": self.method.capacity,
        "teacher": self.teacher_digest,
      },
    }


def setup(
  config: ConfigDict,
  classifier: Classifier | BlackBoxFunction | None = None,
  dataset: Dataset | None = None,
) -> Setup:
  """Checks a config and works out what a run of it will do.

  Args:
    config: from `jaxkd.load_config`; it is copied.
    classifier: the teacher, a network or a `jaxkd.black_box`; None takes the
      one that the config describes.
    dataset: the data; None takes those that the config names.

  Raises:
    JaxkdError: for all that a run would refuse before it starts.
  """
  resolved = resolution.resolve(config)
  user_config = FrozenConfigDict(config)
  existing = external.load_external(resolved.teacher, classifier)
  if dataset is not None:
    summary = data.summary_of(dataset)
  else:
    summary = data.describe(
      resolved.dataset,
      image_size=resolved.image_size,
      teacher=existing.spec,
      class_names=existing.class_names,
      background=resolved.background,
    )
  resolved.dataset = summary.spec.name
  digest = ""
  if existing.classifier is not None:
    digest = weights.digest(existing.classifier)
  if isinstance(classifier, BlackBoxFunction):
    digest = f"{classifier.name}, {classifier.access}"
    resolved.teacher.callable = external.GIVEN + classifier.name
    resolved.teacher.access = classifier.access
  elif classifier is not None:
    resolved.teacher.checkpoint = external.GIVEN + digest
  if existing.black_box is not None:
    function_teacher.check(existing.black_box, summary.spec)
  networks = _networks(resolved, summary.spec, existing.classifier)
  resolution.fit(
    resolved,
    summary.spec,
    networks.teacher,
    compile_target.device_count(),
    compile_target.backend(),
  )
  reserved = access.count_evaluation_queries(resolved, summary.num_test)
  method = build_method(
    resolved, summary.spec, reserved=reserved, num_images=summary.num_train
  )
  resolved.student.start = resolution.student_start(
    resolved, summary.spec, networks.teacher, networks.student, method
  )
  inputs = _input_shapes(resolved, summary, networks, method)
  spec = _round_spec(resolved, summary.spec, method, networks.student)
  run = run_shapes(spec, inputs)
  costs = tuple(round_costs(spec, run, inputs))
  _check_budget(resolved, costs[0])
  if trains_student(method):
    updates = sum(cost.updates for cost in costs)
    tx = optimisers.optimiser(
      resolved.student.round_optimizer, updates, epochs=1
    )
    spec = spec._replace(train_config=spec.train_config._replace(tx=tx))
  return Setup(
    user_config,
    FrozenConfigDict(resolved),
    summary,
    existing.classifier,
    existing.spec,
    digest,
    existing.black_box,
    networks,
    method,
    spec,
    costs,
    _num_bytes(run.store.samples) // method.capacity,
    reserved,
    inputs,
    existing.class_names,
  )


def _networks(
  config: ConfigDict, spec: DataSpec, teacher: Classifier | None
) -> Networks:
  """Teacher and student as shapes; initialises nothing."""
  student = _abstract("student", config, spec)
  if behind_interface(config.teacher):
    return Networks(None, student)
  return Networks(teacher or _abstract("teacher", config, spec), student)


def _abstract(role: str, config: ConfigDict, spec: DataSpec) -> Classifier:
  name = config[role].model
  try:
    return models.abstract(name, spec)
  except JaxkdError as error:
    raise JaxkdError(f"{role}.model={name!r}: {error}") from error


def _input_shapes(
  config: ConfigDict,
  summary: DatasetSummary,
  networks: Networks,
  method: Method,
) -> RoundInputs:
  """Shapes of the arrays that all rounds will share."""
  oracle = None
  if networks.teacher is not None:
    oracle = access.local_oracle(config, summary.spec, method, networks.teacher)
  hyper = jax.eval_shape(lambda: as_arrays(method.hyper))
  if not method.real_images:
    return RoundInputs(oracle, networks.student, hyper)
  num_images = summary.num_train
  if method.real_images == "other":
    num_images = other_images.count_images(config.other_dataset)
  shape = summary.spec.shape
  if method.real_images == "photo":
    num_images = 1
    shape = other_images.load_photo(
      config.other_dataset, shape[-1], config.background
    ).shape
  real = Samples(
    jax.ShapeDtypeStruct((num_images, *shape), jnp.uint8),
    jax.ShapeDtypeStruct((num_images,), jnp.int32),
  )
  return RoundInputs(oracle, networks.student, hyper, real)


def as_arrays(hyper: dict[str, float]) -> dict[str, Array]:
  """The numbers of the student's objective as float32 scalars."""
  return {name: jnp.float32(value) for name, value in hyper.items()}


def _round_spec(
  config: ConfigDict, spec: DataSpec, method: Method, student: Classifier
) -> RoundSpec:
  """What is static in the rounds, but for the student's optimiser."""
  apply = models.with_compute_dtype(student, config.compute_dtype).apply
  return RoundSpec(
    method,
    TrainConfig(apply, optax.identity(), method.objective),
    spec,
    config.teacher.access,
    access.shows_eight_bit(config.teacher, spec, method),
    config.compute_dtype,
    lambda key: models.init(config.student.model, key, spec).variables,
  )


def init_run(spec: RoundSpec, inputs: RoundInputs, key: Array) -> RunState:
  """The state before round 0, with a student that was not trained yet."""
  student = init_state(inputs.student, spec.train_config.tx)
  return exchange.init_state(spec, inputs, student, key)


def run_shapes(spec: RoundSpec, inputs: RoundInputs) -> RunState:
  """Returns the state before round 0 as shapes.

  Raises:
    JaxkdError: what the method has against these networks.
  """
  key = jax.random.key(0)
  return jax.eval_shape(lambda inputs: init_run(spec, inputs, key), inputs)


def _num_bytes(samples: Samples) -> int:
  leaves = jax.tree.leaves(samples)
  return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)


def _check_budget(config: ConfigDict, first: RoundCost) -> None:
  """Refuses a budget that ends in the first round."""
  free = config.teacher.access == "white_box" or config.teacher.replay
  budget = config.queries.budget
  if not free and first.queries > budget:
    raise JaxkdError(
      f"queries.budget={budget} does not pay for one round, which asks about "
      f"{first.queries} images; raise it, or make smaller or fewer batches in "
      "a round."
    )
