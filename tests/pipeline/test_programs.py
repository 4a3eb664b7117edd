"""What is known of a run's programs from shapes is what a run dispatches."""

import jax
import pytest

import jaxkd
from jaxkd.pipeline import (
  distill,
  initial_weights,
  programs,
  rounds,
  students,
)
from jaxkd.pipeline.setup import setup as make_setup
from jaxkd.runtime import compile_target, devices, parallel
from jaxkd.runtime.compile_target import CompileTarget, compiling_for
from jaxkd.runtime.metrics import MetricsWriter
from jaxkd.teachers.access import TeacherHandle, local_oracle
from jaxkd.training import sample_store


def points(fraction=0.0):
  config = jaxkd.load_config("configs/cake.py:dataset=two_moons")
  config.student.seeds, config.student.validation_fraction = 3, fraction
  return make_setup(config)


def shapes(tree):
  return jax.tree.map(
    lambda leaf: (leaf.shape, leaf.dtype), devices.shapes(tree)
  )


class Dispatched(Exception):
  pass


def test_programs_are_those_of_a_run(tmp_path, monkeypatch):
  setup = points(fraction=0.25)
  fresh = initial_weights.init_students(setup, None)
  teacher = fresh[0]
  oracle = local_oracle(setup.config, setup.spec, setup.method, teacher)
  handle = TeacherHandle(oracle, setup.config, teacher)
  dataset = distill.load_data(setup)
  started, run = rounds.start(setup, handle, fresh[0], dataset)
  assert shapes(programs.first_state(setup)) == shapes(run)
  known = programs.round_program(setup, programs.first_state(setup))
  assert shapes(known.arguments[1]) == shapes(started.inputs)

  def dispatch(self, *arguments):
    raise Dispatched(arguments)

  for kind in (parallel.DataParallel, parallel.NetworkParallel):
    monkeypatch.setattr(kind, "__call__", dispatch)
  full = run.store.replace(inserted=setup.method.capacity)
  train, _ = distill.split(setup, sample_store.filled(full))
  with MetricsWriter(tmp_path) as metrics, pytest.raises(Dispatched) as caught:
    students.train_students(setup, None, fresh, run, train, tmp_path, metrics)
  known = programs.epoch_program(setup, run.store.samples)
  assert shapes(known.arguments) == shapes(caught.value.args[0])


def test_programs_are_written_for_the_compile_target():
  target = CompileTarget("tpus", "tpu", tuple(jax.devices()[:1]), 2**30)
  assert compile_target.backend() == "cpu"
  with compiling_for(target):
    assert compile_target.described() == target
    assert compile_target.backend() == "tpu"
    assert compile_target.device_count() == devices.mesh().size == 1
    assert compile_target.memory_bytes() == 2**30
    assert points().config.synthesis.sets_per_round == 40  # all of them
  assert compile_target.described() is None
  assert devices.mesh().size == 2
