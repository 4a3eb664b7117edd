"""What a run found: measurements, and the report in all its forms."""

from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
import platform
import statistics
import subprocess
import time
from typing import Any

import jax
import jax.numpy as jnp

from jaxkd import __version__, models
from jaxkd.data import to_float
from jaxkd.metrics import read_metrics
from jaxkd.models import conv
from jaxkd.objectives import hard_labels
from jaxkd.page import write_html
from jaxkd.runtime.files import write_json
from jaxkd.summary import summary
from jaxkd.types import Array, Classifier, DataSpec, Samples

DISTRIBUTIONS = {
  "jax": "jax",
  "jaxlib": "jaxlib",
  "flax": "flax",
  "optax": "optax",
  "orbax": "orbax-checkpoint",
  "numpy": "numpy",
}
WARM_UPS, REPEATS = 3, 30


def measure(classifier: Classifier, spec: DataSpec) -> dict[str, Any]:
  """What a network costs.

  Args:
    classifier: in evaluation mode.
    spec: shape of its input.

  Returns:
    `model` (name); `parameters` (numbers in the collection `params`; all
    variables if there is none); `bytes` of all variables; `flops` of one
    image, as XLA counts them, None where it can't; `latency_ms`, the median of
    a jitted forward pass of one image.
  """
  variables = classifier.variables
  image = jnp.zeros((1, *spec.shape), jnp.float32)

  def forward(classifier: Classifier, image: jax.Array) -> jax.Array:
    return classifier(image).logits

  compiled = jax.jit(forward).lower(classifier, image).compile()
  # An artefact has its weights inside, where nobody counts them.
  parameters = models.count_parameters(variables) or None
  return {
    "model": classifier.name,
    "parameters": parameters,
    "bytes": parameters and sum(x.nbytes for x in jax.tree.leaves(variables)),
    "flops": defined_flops(forward, classifier, image),
    "latency_ms": _latency_ms(lambda: compiled(classifier, image)),
  }


def defined_flops(
  function: Callable[..., Any], *arguments: Any
) -> float | None:
  """FLOP of `function` as it is defined: before the compiler, without loops of
  which XLA counts the body once, and without the forms that multiply zeros to
  be faster.

  XLA's client for the CPU counts them whatever the backend: those of
  accelerators don't, or leave out what libraries do. None where JAX_PLATFORMS
  leaves the CPU out, or for an artefact that was not made for it.
  """
  try:
    device = jax.local_devices(backend="cpu")[0]
    shapes = jax.eval_shape(lambda *found: found, *arguments)
    with conv.as_defined(), jax.default_device(device):
      # A new function, for what was traced in another form is kept.
      lowered = jax.jit(lambda *found: function(*found)).lower(*shapes)
    found = (lowered.cost_analysis() or {}).get("flops", 0)
  except (RuntimeError, ValueError):
    return None
  return float(found) if found > 0 else None


def _latency_ms(run: Callable[[], Any]) -> float:
  times = []
  for _ in range(WARM_UPS + REPEATS):
    start = time.perf_counter()
    jax.block_until_ready(run())
    times.append(1000 * (time.perf_counter() - start))
  return statistics.median(times[WARM_UPS:])


def environment() -> dict[str, Any]:
  """`versions`, `devices`, `commit` of this package's checkout, `date`."""
  versions = {name: metadata.version(d) for name, d in DISTRIBUTIONS.items()}
  versions |= {"python": platform.python_version(), "jaxkd": __version__}
  return {
    "versions": versions,
    "devices": [device.device_kind for device in jax.devices()],
    "commit": commit(Path(__file__).parent),
    "date": datetime.now(UTC).isoformat(timespec="seconds"),
  }


def commit(folder: Path) -> str | None:
  """The commit that `folder` is at, with `-dirty` if tracked files differ.

  None where git does not track the folder's `__init__.py`: an installed
  package may lie inside somebody else's checkout.
  """

  def git(*arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    done.check_returncode()
    return done.stdout.strip()

  try:
    git("ls-files", "--error-unmatch", "__init__.py")
    return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
  except (OSError, subprocess.SubprocessError):
    return None


def publish(
  folder: Path,
  report: dict[str, Any],
  dataset: Any,
  teacher: Classifier | None,
  student: Classifier,
  samples: Samples,
) -> None:
  """Writes the figures, `report.json` and `report.html`; prints the summary."""
  drawn = draw(folder, dataset, teacher, student, samples)
  if report["queries"]["curve"]:
    drawn.insert(0, folder / "queries.png")
    from jaxkd import audit_figure  # matplotlib is slow to import

    audit_figure.queries_figure(
      drawn[0], report["queries"]["curve"], report["teacher"]["accuracy"]
    )
  write_json(folder / "report.json", report)
  write_html(folder / "report.html", report, drawn)
  print(f"\n{summary(report)}\nreport      {folder / 'report.html'}")


def shown_labels(samples: Samples) -> Array:
  """The class meant, or the teacher's answer where none was."""
  answers = hard_labels(samples.targets)
  return jnp.where(samples.labels < 0, answers, samples.labels)


def draw(
  folder: Path,
  dataset: Any,
  teacher: Classifier | None,
  student: Classifier,
  samples: Samples,
) -> list[Path]:
  """The figures that suit the data: boundary or images, then the curves."""
  from jaxkd import figures  # matplotlib is slow to import

  drawn, spec = [], dataset.spec
  if spec.shape == (2,) and teacher is not None:
    drawn.append(folder / "decision_boundary.png")
    real = dataset.test_images if len(dataset.test_labels) else None
    figures.decision_boundary_figure(
      drawn[-1], teacher, student, samples.images, samples.labels, real
    )
  elif len(spec.shape) == 3:
    drawn.append(folder / "samples.png")
    figures.samples_figure(
      drawn[-1],
      to_float(samples.images),
      shown_labels(samples),
      samples.extras.get("step_size"),
      spec.num_classes,
    )
  drawn.append(folder / "curves.png")
  figures.curves_figure(drawn[-1], read_metrics(folder))
  return drawn
