"""How long a run would take, here and on TPUs, before it starts.

Both follow from the FLOP of all convolutions and matrix products
(`jaxkd.evaluation.matrix_work`), which are counted from shapes. Evaluation,
ensembles that are trained before the student, and defences are not counted.
"""

import math
import time

import jax
import jax.numpy as jnp

from jaxkd.evaluation import matrix_work
from jaxkd.evaluation.matrix_work import MatrixWork, Peak
from jaxkd.pipeline import exchange, grid
from jaxkd.pipeline.exchange import RoundInputs, RunState
from jaxkd.pipeline.setup import Setup, run_shapes
from jaxkd.runtime.accelerators import ACCELERATORS
from jaxkd.runtime.formatting import duration, scaled
from jaxkd.types import (
  Array,
  Classifier,
  DataSpec,
  LossTerms,
  Phase,
  Variables,
)

BATCH = 8  # images of which the work is counted
# The share of a matrix product's rate that networks sustain. On two CPU cores
# it was a quarter for LeNet-5, and more than one for ResNet-18 at 32 pixels,
# whose convolutions save products.
SHARE = 0.5
SIDES, DEFAULT_SIDE = {"cpu": 512}, 8_192  # of the measured product
REPEATS = 20
CHIPS = 8
V5E = ACCELERATORS["v5e"]
# What the chips do together; a number in bfloat16 has two bytes.
V5E_PEAK = Peak(CHIPS * V5E.flops, CHIPS * V5E.bandwidth / 2)


def describe(setup: Setup) -> str:
  """Says how long the run would take, and how that is known."""
  parts = {
    "teacher": teacher_work(setup),
    "images": rounds_work(setup),
    "student": student_work(setup),
  }
  total = sum(map(matrix_work.flop, parts.values()))
  shares = ", ".join(
    f"{name} {matrix_work.flop(work) / max(total, 1):.0%}"
    for name, work in parts.items()
    if work
  )
  rate = product_rate()
  devices = f"{jax.device_count()} {jax.default_backend().upper()} device(s)"
  every = [each for work in parts.values() for each in work]
  bound = matrix_work.least_seconds(every, V5E_PEAK)
  return (
    f"  {scaled(total, 'FLOP')} in convolutions and products: {shares}\n"
    f"  {duration(total / (SHARE * rate))} on the {devices} here, estimated at "
    f"{SHARE:.0%} of the {scaled(rate, 'FLOP/s')} of a matrix product, "
    "measured now; a third or three times as long is possible\n"
    f"  {duration(bound)} or more on v5e-8, a roofline estimate that was "
    f"not measured: {CHIPS} chips of {scaled(V5E.flops, 'FLOP/s')} in "
    f"bfloat16 and {scaled(V5E.bandwidth, 'B/s')}"
  )


def rounds_work(setup: Setup) -> list[MatrixWork]:
  """Counts all rounds: what a method computes, and the teacher's answers."""
  inputs = setup.inputs
  run = run_shapes(setup.round, inputs)
  work = []
  for index, phase in enumerate(setup.method.phases):

    def once(
      run: RunState, inputs: RoundInputs, key: Array, phase: Phase = phase
    ) -> tuple[RunState, LossTerms]:
      state, samples, _ = exchange.ask(setup.round, phase, run, inputs, key)
      return exchange.tell(
        setup.round,
        phase,
        run.replace(state=state),
        inputs,
        samples,
        jnp.zeros(setup.spec.num_classes),
        key,
      )

    repeats = sum(cost.repeats[index] for cost in setup.costs)
    work += matrix_work.repeated(
      matrix_work.count(once, run, inputs, jax.random.key(0)), repeats
    )
  queries = sum(cost.queries for cost in setup.costs)
  return work + _answers(setup, queries)


def student_work(setup: Setup) -> list[MatrixWork]:
  """Counts the epochs of all students, and the answers to their views."""
  config = setup.config
  stored = sum(cost.stored for cost in setup.costs)
  views = round(
    config.student.epochs * stored * (1 - config.student.validation_fraction)
  )
  points = len(grid.expand_grid(config.grid, setup.method))
  step = training_step(setup.networks.student, setup.spec)
  work = matrix_work.repeated(step, views * points * config.student.seeds)
  return work + _answers(setup, views * setup.method.relabel_views)


def teacher_work(setup: Setup) -> list[MatrixWork]:
  """Counts the epochs of a teacher that is trained here, without a defence."""
  config, network = setup.config.teacher, setup.networks.teacher
  if network is None or setup.teacher is not None or config.checkpoint:
    return []
  images = config.epochs * setup.data.num_train
  return matrix_work.repeated(training_step(network, setup.spec), images)


def training_step(network: Classifier, spec: DataSpec) -> list[MatrixWork]:
  """Counts an update of the weights, for one of the images of its batch."""

  def gradient(network: Classifier, images: Array) -> Variables:
    def total(params: Variables) -> Array:
      variables = {**network.variables, "params": params}
      outputs, _ = network.apply(
        variables, images, train=True, rng=jax.random.key(0)
      )
      return outputs.logits.sum()

    return jax.grad(total)(network.variables["params"])

  images = jax.ShapeDtypeStruct((BATCH, *spec.shape), jnp.float32)
  work = matrix_work.count(gradient, network, images)
  return matrix_work.repeated(work, 1 / BATCH)


def product_rate() -> float:
  """Measures the FLOP/s of a float32 matrix product on one device, times the
  devices; those of the CPU share its cores.
  """
  backend = jax.default_backend()
  side = SIDES.get(backend, DEFAULT_SIDE)
  matrix = jnp.ones((side, side), jnp.float32)
  product = jax.jit(jnp.matmul)
  jax.block_until_ready(product(matrix, matrix))
  seconds = math.inf
  for _ in range(REPEATS):  # other work on the machine only adds to a time
    start = time.perf_counter()
    jax.block_until_ready(product(matrix, matrix))
    seconds = min(seconds, time.perf_counter() - start)
  devices = 1 if backend == "cpu" else jax.device_count()
  return devices * 2 * side**3 / seconds


def _answers(setup: Setup, images: int) -> list[MatrixWork]:
  network = setup.networks.teacher
  if network is None or not images:
    return []
  shape = jax.ShapeDtypeStruct((BATCH, *setup.spec.shape), jnp.float32)
  work = matrix_work.count(lambda net, x: net(x).logits, network, shape)
  return matrix_work.repeated(work, images / BATCH)
