"""What happens in a run, in order: teacher (and its defence), rounds of
(synthesise, label, store), student, evaluation, report. The only loop over
rounds.
"""

from pathlib import Path
import shutil
import time
from typing import Any, NamedTuple

import jax

from jaxkd import data, defenses, methods, models
from jaxkd.data import Dataset
from jaxkd.errors import BudgetExhausted
from jaxkd.evaluation import sanity_checks
from jaxkd.pipeline import (
  exchange,
  grid,
  hosts,
  resolution,
  results,
  rounds,
  students,
  teacher,
)
from jaxkd.pipeline.exchange import RoundCost, RunState
from jaxkd.pipeline.teacher import TeacherPair
from jaxkd.report import writer
from jaxkd.runtime import devices, keys, memory, processes, run_folder
from jaxkd.runtime.checkpoints import Checkpoints
from jaxkd.runtime.files import write_text
from jaxkd.runtime.keys import Purpose, Stream
from jaxkd.runtime.metrics import MetricsWriter
from jaxkd.runtime.progress import Progress
from jaxkd.serialization import weights
from jaxkd.synthesis import label_only
from jaxkd.teachers import access as accesses, external
from jaxkd.teachers.access import TeacherHandle
from jaxkd.training import sample_store
from jaxkd.types import Array, Classifier, DataSpec, Method, Samples


class SynthesisResult(NamedTuple):
  """What the rounds led to.

  Attributes:
    play: the state after the last one.
    images: that were made and kept.
    queries: that the rounds took, at most.
    ended: why they ended early, if the budget did it.
  """

  play: RunState
  images: int
  queries: int
  ended: str | None


class Run(NamedTuple):
  """What every stage looks at.

  `bills` say what each round asks and does, at most.
  """

  config: Any
  dataset: Dataset
  method: Method
  bills: list[RoundCost]
  workdir: Path
  metrics: MetricsWriter
  began: float  # on the monotonic clock, earlier parts of the run set off

  def key(self, stream: Stream) -> Array:
    return keys.fold(jax.random.key(self.config.seed), stream)

  @property
  def method_key(self) -> Array:
    return keys.fold(self.key(Stream.SYNTHESIS), Purpose.INITIAL)

  def round_key(self, index: int) -> Array:
    return keys.fold(self.key(Stream.SYNTHESIS), Purpose.ROUNDS, index)

  @property
  def student_key(self) -> Array:
    return self.key(Stream.STUDENT)

  @property
  def member_key(self) -> Array:
    return self.key(Stream.MEMBERS)


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
      that the config describes. `config.teacher.access` says how much of it
      the method may use.
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
  with processes.raise_on_all():
    config = resolution.resolve(
      config, jax.device_count(), jax.default_backend()
    )
    given = classifier is not None
    classifier, spec = external.load_external(config.teacher, classifier)
    if dataset is None:
      dataset = data.find(
        config.dataset, image_size=config.image_size, teacher=spec
      )
    config.dataset = dataset.spec.name
    digest = ""
    if classifier is not None:
      sanity_checks.warn(sanity_checks.check_teacher(classifier, dataset.spec))
      digest = weights.digest(classifier)
    if given:
      config.teacher.checkpoint = external.GIVEN + digest
    spec, num_images = dataset.spec, len(dataset.train_labels)
    method = build_method(
      config,
      spec,
      reserved=accesses.count_evaluation_queries(config, dataset),
      num_images=num_images,
    )
    bills = rounds.estimate_costs(method, config, spec, classifier, num_images)
    config.plan = {
      "rounds": method.rounds,
      "capacity": method.capacity,
      "teacher": digest,  # another one is another run
    }
  hosts.check(config, dataset)
  with (
    run_folder.lock_workdir(workdir, config) as folder,
    MetricsWriter(
      folder, tensorboard=config.tensorboard, profile=config.profile.steps
    ) as metrics,
  ):
    earlier = sum(results.stage_seconds(metrics).values())
    began = time.monotonic() - earlier
    run = Run(config, dataset, method, bills, folder, metrics, began)
    owned = make_teacher(run, classifier)
    with open_teacher(run, owned) as access:
      fresh = new_students(run)
      played = run_rounds(run, access, fresh[0])
      train, held_out = split(sample_store.filled(played.play.store), run)
      guide, train = students.run_pre_student_stage(run, access, train)
      points = students.train_students(run, guide, fresh, played.play, train)
      chosen, scores = grid.choose(points, held_out)
      taught = points[chosen].students
      graded = grid.summary(points, chosen, scores, dataset)
      result = results.build_report(
        run, access, taught, held_out, played, graded
      ) | {
        "defense": results.evaluate_defense(run, owned),
        "guide": results.evaluate_effective_teacher(run, guide, owned),
        "grid": graded,
      }
    weights.save(
      folder / "student.safetensors",
      taught[0],
      dataset.spec,
      config.student.model,
    )
    with processes.raise_on_all():
      if processes.is_primary():
        writer.write_report(
          folder, result, dataset, access.classifier, taught[0], train
        )
  return taught[0], result


def build_method(
  config, spec: DataSpec, *, reserved: int, num_images: int
) -> Method:
  """The method of `config`, refused if the teacher gives less than it needs.

  Args:
    config: resolved.
    spec: of the inputs.
    reserved: queries of the budget that are spoken for.
    num_images: real images of the data set to train on; of another set, which
      `config.images` names, as the table of data sets has it.
  """
  accesses.check(config, spec)
  defenses.check(config.teacher)
  if config.images:
    num_images = data.train_size(config.images)
  info = methods.info(config.method)
  label_only.check(config, info)
  budget = max(config.queries.budget - reserved, 0)
  method = methods.build(
    config.method,
    spec,
    hyper=config.hyper.to_dict(),
    synthesis=label_only.synthesis_of(config, info),
    objective=config.objective,
    budget=budget,
    num_images=num_images,
  )
  method = label_only.adapt(config, info, spec, method, budget)
  remote = bool(config.teacher.url or config.teacher.replay)
  exchange.check_access(method, config.teacher.access, remote)
  rounds.check_student(config, method)
  grid.check(config, method)
  return method


def make_teacher(run: Run, classifier: Classifier | None) -> TeacherPair | None:
  """The teacher that is ours: given, loaded, reused or trained, and defended;
  None behind an interface.
  """
  block = run.config.teacher
  if block.url or block.replay:
    return None
  return teacher.build_teacher(
    run.config,
    run.dataset,
    run.key(Stream.TEACHER),
    run.workdir,
    run.metrics,
    classifier,
  )


def open_teacher(run: Run, owned: TeacherPair | None):
  """What may be asked of the teacher; see `teachers.access.open_teacher`."""
  return accesses.open_teacher(
    run.config,
    run.dataset,
    run.method,
    run.workdir,
    lambda: owned.published,
  )


def new_students(run: Run) -> list[Classifier]:
  """A fresh student per seed."""
  block = run.config.student
  return [
    models.init(
      block.model,
      keys.fold(run.student_key, Purpose.INITIAL, seed),
      run.dataset.spec,
    )
    for seed in range(block.seeds)
  ]


def run_rounds(
  run: Run, access: TeacherHandle, student: Classifier
) -> SynthesisResult:
  """All rounds of the method, from the last checkpoint on."""
  game, play = rounds.setup_rounds(run, access, student)
  count, ended = len(run.bills), None
  kept = [bill.kept for bill in run.bills]
  folder = run.workdir / "checkpoints" / "synthesis"
  with Checkpoints(folder) as checkpoints:
    saved = {"round": 0, "play": play}
    saved = checkpoints.restore(saved) or saved
    play, start = saved["play"], int(saved["round"])
    del saved  # a round takes the place of the play that it is given
    run.metrics.truncate_after("synthesis", start)
    compile_s = 0.0
    if start < count:
      play_round, compile_s = rounds.compile_round(game, access.oracle, play)
    with (
      Progress(
        sum(kept), "synthesis", "images", done=sum(kept[:start])
      ) as progress,
      run.metrics.traced("synthesis", range(start, count)) as turns,
    ):
      for index in turns:
        began = time.monotonic()
        try:
          access.charge(f"round {index}", run.bills[index].queries)
          play, terms = play_round(play, run.round_key(index))
        except BudgetExhausted as error:
          if not index:
            raise
          ended = f"The budget ended it after {index} rounds. {error}"
          kept = kept[:index]
          break
        terms = jax.device_get(terms)
        rounds.check_finite(terms, index, run.config.to_dict())
        if index == min(2, count - 1):
          classes = run.dataset.spec.num_classes
          sanity_checks.warn(
            sanity_checks.check_round(
              sample_store.filled(devices.to_local(play.store)), classes
            )
          )
        run.metrics.write(
          "synthesis",
          index + 1,
          seconds=time.monotonic() - began,
          compile_seconds=compile_s if index == start else 0.0,
          peak_bytes=memory.peak_bytes(),
          **{name: term.mean() for name, term in terms.items()},
        )
        rounds.evaluate_at_budget(
          run, access, student, play, run.bills[: index + 1]
        )
        progress.advance(kept[index])
        checkpoints.maybe_save(
          index + 1,
          {"round": index + 1, "play": play},
          last=index + 1 == count,
        )
  discard_stale_student(run, sum(kept))
  queries = sum(bill.queries for bill in run.bills[: len(kept)])
  return SynthesisResult(devices.to_local(play), sum(kept), queries, ended)


def discard_stale_student(run: Run, images: int) -> None:
  """Forgets a student and a committee that began on fewer images, before the
  budget was raised.
  """
  folder = run.workdir / "checkpoints"
  note = folder / "student_images"
  if processes.broadcast(note.exists() and note.read_text() != str(images)):
    if processes.is_primary():
      for stage in (*folder.glob("student*/"), *folder.glob("committee*/")):
        shutil.rmtree(stage, ignore_errors=True)
      for member in run.workdir.glob("committee*.safetensors"):
        member.unlink()
    run.metrics.truncate_after("student", 0)
  with processes.raise_on_all():
    if processes.is_primary():
      write_text(note, str(images))


def split(samples: Samples, run: Run) -> tuple[Samples, Samples]:
  """Samples to train on, and the held-out rest, at random.

  Nothing is held out where the student has learned all of it in the rounds.
  """
  count, block = len(samples.labels), run.config.student
  share = block.holdout if block.epochs else 0
  order = jax.random.permutation(run.key(Stream.HOLDOUT), count)
  cut = count - round(share * count)

  def rows(indices: Array) -> Samples:
    return jax.tree.map(lambda leaf: leaf[indices], samples)

  return rows(order[:cut]), rows(order[cut:])
