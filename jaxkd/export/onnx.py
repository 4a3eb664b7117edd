"""A student as ONNX, by jax2onnx, in an environment of its own.

jax2onnx and orbax-checkpoint ask for different versions of each other's
packages, so it is not among our dependencies:

  python -m venv onnx
  onnx/bin/pip install jaxkd jax2onnx==0.17.1 onnxruntime
  onnx/bin/python -m jaxkd.export onnx --student=DIR --out=student.onnx
"""

from pathlib import Path

import jax
import numpy as np

from jaxkd.errors import JaxkdError
from jaxkd.models.cpu import conv
from jaxkd.runtime.files import write_bytes
from jaxkd.serialization import bundle
from jaxkd.types import Classifier, DataSpec

LARGEST_DIFFERENCE = 1e-4  # of logits, between ONNX Runtime and JAX
FAULTY_PASSES = (
  "remove_redundant_transpose_add_forests",
  "remove_redundant_transpose_pairs",
)


def export_onnx(student: Path, out: Path) -> float:
  """Writes the network of a bundle as ONNX, for any size of the batch.

  Args:
    student: folder of the bundle.
    out: the file; not written if it does not answer like the network.

  Returns:
    The largest difference of the logits on the bundle's probe images.

  Raises:
    JaxkdError: if jax2onnx or onnxruntime is missing or fails, or the logits
      differ by more than `LARGEST_DIFFERENCE`.
  """
  try:
    from jax2onnx import to_onnx
    import onnxruntime
  except ImportError as error:
    raise JaxkdError(
      f"{error.name} is missing; in an environment of its own: pip install "
      "jaxkd jax2onnx==0.17.1 onnxruntime"
    ) from error
  classifier, spec, _ = bundle.read(student)
  network = jax.device_get(classifier)
  try:
    _leave_out_faulty_passes()
    with conv.reference_form():
      content = to_onnx(
        lambda images: network(images).logits,
        inputs=[("batch", *spec.shape)],
        model_name=classifier.name,
      ).SerializeToString()
    session = onnxruntime.InferenceSession(
      content, providers=["CPUExecutionProvider"]
    )
    difference = _difference(session, classifier, spec)
  except Exception as error:  # what it lacks, it says in as many ways
    raise JaxkdError(
      f"jax2onnx can't write {classifier.name}: "
      f"{f'{type(error).__name__}: {error}'.splitlines()[0][:200]}"
    ) from error
  if not difference <= LARGEST_DIFFERENCE:
    raise JaxkdError(
      f"The ONNX network's logits differ from the student's by up to "
      f"{difference:.2g}, more than {LARGEST_DIFFERENCE:g}; nothing was "
      "written. Use student.stablehlo, or another version of jax2onnx."
    )
  write_bytes(out, content)
  return difference


def _leave_out_faulty_passes() -> None:
  """Has jax2onnx keep the transposes round a residual sum; version 0.17.1 takes
  some away that are needed.
  """
  from jax2onnx.converter import ir_optimizations

  ir_optimizations._OPTIMIZER_PASSES = tuple(
    entry
    for entry in ir_optimizations._OPTIMIZER_PASSES
    if entry.name not in FAULTY_PASSES
  )


def _difference(session, classifier: Classifier, spec: DataSpec) -> float:
  """Of the logits of one image, and of many."""
  (name,) = (entry.name for entry in session.get_inputs())
  images = bundle.probe_images(spec)
  return max(
    float(
      np.abs(
        session.run(None, {name: some})[0] - np.asarray(classifier(some).logits)
      ).max()
    )
    for some in (images[:1], images)
  )
