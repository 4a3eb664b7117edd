"""What happens in a run, in order: teacher, rounds of (synthesise, label,
store), student, evaluation, report. The only loop over rounds.
"""

import functools
from pathlib import Path
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxkd import (
  config as configs,
)
from jaxkd import (
  data,
  evaluate,
  exchange,
  methods,
  models,
  optim,
  parallel,
  report,
  training,
  weights,
  workdirs,
)
from jaxkd.checkpointing import Checkpoints
from jaxkd.data import Dataset
from jaxkd.metrics import MetricsWriter, Progress
from jaxkd.teachers import white_box
from jaxkd.teachers.white_box import WhiteBox
from jaxkd.types import (
  Array,
  Classifier,
  DataSpec,
  JaxkdError,
  Method,
  Samples,
)

STAGES = ("teacher", "synthesis", "student")
TEACHER, SYNTHESIS, STUDENT, HOLDOUT = 1, 2, 3, 4  # streams of randomness


class Run(NamedTuple):
  """What every stage looks at."""

  config: Any
  dataset: Dataset
  method: Method
  workdir: Path
  metrics: MetricsWriter
  began: float  # on the monotonic clock, earlier parts of the run set off

  def key(self, stream: int) -> Array:
    return jax.random.fold_in(jax.random.key(self.config.seed), stream)


def distill(
  classifier: Classifier | None,
  config,
  workdir: str | Path | None = None,
  *,
  dataset: Dataset | None = None,
) -> tuple[Classifier, dict[str, Any]]:
  """Copies a classifier into a student.

  Args:
    classifier: the teacher, e.g. from `jaxkd.from_linen`; None takes the one
      that the config describes.
    config: from `jaxkd.load_config("configs/cake.py")`.
    workdir: where checkpoints and the report go; None: a folder under `runs/`
      that is named after the config. The same folder goes on where it stopped.
    dataset: what inputs look like and what to judge on; None takes the one
      that the config names.

  Returns:
    The student (of the first seed) and the report, as in `report.json`.

  Raises:
    JaxkdError: for input that can't be, in one or two lines.
    Preempted: after a signal, with everything saved.
  """
  config = configs.resolve(config, jax.device_count(), jax.default_backend())
  if dataset is None:
    dataset = data.load(config.dataset, image_size=config.image_size)
  config.dataset = dataset.spec.name
  if classifier is not None:  # another teacher is another run
    config.teacher.checkpoint = f"given:{weights.digest(classifier)}"
  method = build_method(config, dataset.spec)
  with (
    workdirs.claimed(workdir, config) as folder,
    MetricsWriter(folder, tensorboard=config.tensorboard) as metrics,
  ):
    earlier = sum(stage_seconds(metrics).values())
    began = time.monotonic() - earlier
    run = Run(config, dataset, method, folder, metrics, began)
    teacher = open_teacher(run, classifier)
    students = new_students(run)
    play = play_rounds(run, teacher, students[0])
    train, held_out = split(play.store.samples, run)
    students = teach(run, teacher, students, play, train)
    result = judge(run, teacher, students, held_out)
    weights.save(
      folder / "student.safetensors",
      students[0],
      dataset.spec,
      config.student.model,
    )
    report.publish(
      folder, result, dataset, teacher.classifier, students[0], train
    )
  return students[0], result


def build_method(config, spec: DataSpec) -> Method:
  """The method of `config`."""
  method = methods.build(
    config.method,
    spec,
    hyper=config.hyper.to_dict(),
    synthesis=config.synthesis.to_dict(),
  )
  in_play = any(phase.student_steps for phase in method.phases)
  if in_play and config.student.seeds > 1:
    raise JaxkdError(
      f"{config.method} trains the student while it makes images, so "
      f"student.seeds={config.student.seeds} would need as many image sets; "
      "set student.seeds=1 and repeat with another seed."
    )
  return method


def open_teacher(run: Run, classifier: Classifier | None) -> WhiteBox:
  """The teacher: given, loaded, reused or trained."""
  if classifier is None:
    classifier = white_box.obtain(
      run.config, run.dataset, run.key(TEACHER), run.workdir, run.metrics
    )
  return WhiteBox(parallel.replicate(classifier))


def new_students(run: Run) -> list[Classifier]:
  """A fresh student per seed."""
  block = run.config.student
  keys = jax.random.split(run.key(STUDENT), block.seeds)
  return [models.init(block.model, key, run.dataset.spec) for key in keys]


def student_recipe(run: Run, student: Classifier) -> training.Recipe:
  """How the student is trained, in the rounds and after them."""
  block = run.config.student
  count = run.method.capacity - held_out_count(run)
  batch_size = training.check_batch_size(
    block.batch_size, count, "student.batch_size"
  )
  return training.Recipe(
    student.apply,
    optim.optimiser(block.optimizer, count // batch_size, block.epochs),
    run.method.objective,
    tuple(block.augment),
    run.method.answers == "per_view",
  )


def play_rounds(
  run: Run, teacher: WhiteBox, student: Classifier
) -> exchange.Play:
  """All rounds of the method, from the last checkpoint on."""
  method, key = run.method, run.key(SYNTHESIS)
  recipe = student_recipe(run, student)
  play = exchange.new_play(
    method, teacher, student, training.create(student, recipe.tx), key
  )
  hyper = {name: jnp.float32(value) for name, value in method.hyper.items()}
  play_round = jax.jit(
    functools.partial(exchange.play_round, method, recipe, run.dataset.spec),
    donate_argnums=0,
  )
  images = method.capacity // method.rounds
  with Checkpoints(run.workdir / "checkpoints" / "synthesis") as checkpoints:
    saved = {"round": 0, "play": play}
    saved = checkpoints.restore(saved) or saved
    play, start = parallel.replicate(saved["play"]), int(saved["round"])
    run.metrics.rewind("synthesis", start)
    with Progress(
      method.capacity, "synthesis", "images", done=start * images
    ) as progress:
      for index in range(start, method.rounds):
        inputs = (play, teacher, student, hyper, jax.random.fold_in(key, index))
        began = time.monotonic()
        if index == start:
          play_round = play_round.lower(*inputs).compile()
        compiled = time.monotonic()
        play, terms = play_round(*inputs)
        terms = jax.device_get(terms)
        check_finite(terms, index)
        run.metrics.write(
          "synthesis",
          index + 1,
          seconds=time.monotonic() - compiled,
          compile_seconds=compiled - began,
          **{name: term.mean() for name, term in terms.items()},
        )
        progress.advance(images)
        checkpoints.tick(
          index + 1,
          {"round": index + 1, "play": play},
          last=index + 1 == method.rounds,
        )
  return play


def check_finite(terms: dict[str, np.ndarray], index: int) -> None:
  """Refuses a round in which a term blew up, naming the term and the set."""
  for name, values in terms.items():
    wrong = np.flatnonzero(~np.isfinite(np.atleast_1d(values)))
    if wrong.size:
      number = index * np.size(values) + wrong[0]
      raise JaxkdError(
        f"The term {name} is {np.atleast_1d(values)[wrong[0]]} in set {number}"
        f" ({wrong.size} sets of round {index}); lower synthesis.step_size or "
        f"synthesis.weights.{name}."
      )


def held_out_count(run: Run) -> int:
  """Samples that no student is trained on."""
  return round(run.config.student.holdout * run.method.capacity)


def split(samples: Samples, run: Run) -> tuple[Samples, Samples]:
  """Samples to train on, and the held-out rest, at random."""
  count = samples.labels.shape[0]
  order = jax.random.permutation(run.key(HOLDOUT), count)
  cut = count - held_out_count(run)

  def rows(indices: Array) -> Samples:
    return jax.tree.map(lambda leaf: leaf[indices], samples)

  return rows(order[:cut]), rows(order[cut:])


def teach(
  run: Run,
  teacher: WhiteBox,
  students: list[Classifier],
  play: exchange.Play,
  samples: Samples,
) -> list[Classifier]:
  """The students after all epochs on the stored samples, trained together."""
  block = run.config.student
  recipe = student_recipe(run, students[0])
  states = [training.create(student, recipe.tx) for student in students]
  states[0] = play.student
  states = training.fit(
    "student",
    recipe,
    jax.tree.map(lambda *leaves: jnp.stack(leaves), *states),
    samples,
    epochs=block.epochs,
    batch_size=training.check_batch_size(
      block.batch_size, len(samples.labels), "student.batch_size"
    ),
    num_classes=run.dataset.spec.num_classes,
    hyper=run.method.hyper,
    key=run.key(STUDENT),
    teacher=teacher.classifier if recipe.per_view else None,
    workdir=run.workdir,
    metrics=run.metrics,
  )
  return [
    student.replace(
      variables=jax.tree.map(lambda leaf, i=i: leaf[i], states.variables)
    )
    for i, student in enumerate(students)
  ]


def judge(
  run: Run, teacher: WhiteBox, students: list[Classifier], held_out: Samples
) -> dict[str, Any]:
  """The report; test data is looked at here and nowhere before."""
  config, method, spec = run.config, run.method, run.dataset.spec
  compare = functools.partial(judge_student, run, teacher.classifier, held_out)
  judged = [compare(student) for student in students]
  accuracies = [each["accuracy"] for each in judged]
  many = len(students) > 1 and accuracies[0] is not None
  seconds = stage_seconds(run.metrics)
  synthesis_s = run.metrics.seconds("synthesis")
  seconds["total"] = time.monotonic() - run.began
  image_steps = method.capacity * method.steps
  return {
    "method": config.method,
    "dataset": spec.name,
    "teacher": {
      **report.measure(teacher.classifier, spec),
      "accuracy": test_accuracy(teacher.classifier, run.dataset),
    },
    "student": {
      **report.measure(students[0], spec),
      **{name: mean([each[name] for each in judged]) for name in judged[0]},
      "accuracy_std": float(np.std(accuracies, ddof=1)) if many else None,
      "accuracies": accuracies,
      "seeds": len(students),
    },
    "synthesis": {
      "images": method.capacity,
      "steps": method.steps,
      "image_steps_per_s": image_steps / synthesis_s,
      "seconds": synthesis_s,
      "compile_seconds": run.metrics.seconds("synthesis", "compile_seconds"),
    },
    "queries": {
      "spent": 0,
      "budget": teacher.budget,
      "by_class": dict.fromkeys(("train", "evaluate", "probe", "retry"), 0),
    },
    "seconds": seconds,
    "config": config.to_dict(),
    **report.environment(),
  }


def stage_seconds(metrics: MetricsWriter) -> dict[str, float]:
  """Seconds of each stage so far, compilation and earlier parts included."""
  return {
    stage: metrics.seconds(stage) + metrics.seconds(stage, "compile_seconds")
    for stage in STAGES
  }


def judge_student(
  run: Run, teacher: Classifier, held_out: Samples, student: Classifier
) -> dict[str, float | None]:
  """How well a student follows the teacher, on test data and on synthetic
  samples that it was not trained on; None where there is no such data.
  """
  data, result = run.dataset, {}
  if len(data.test_labels):
    result = evaluate.evaluate(
      student, data.test_images, data.test_labels, teacher=teacher
    )
  if len(held_out.labels):
    synthetic = evaluate.evaluate(
      student, held_out.images, held_out.labels, teacher=teacher
    )
    result["synthetic_agreement"] = synthetic["agreement"]
  fields = ("accuracy", "agreement", "kl", "synthetic_agreement")
  return {name: result.get(name) for name in fields}


def test_accuracy(classifier: Classifier, data: Dataset) -> float | None:
  """Accuracy on the test split; None if there is none."""
  if not len(data.test_labels):
    return None
  return evaluate.evaluate(classifier, data.test_images, data.test_labels)[
    "accuracy"
  ]


def mean(values: list[float | None]) -> float | None:
  """The mean; None if there is nothing to average."""
  return None if None in values else float(np.mean(values))
