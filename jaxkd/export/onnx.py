"""Export of a student to ONNX by jax2onnx, which needs a separate environment.

jax2onnx and orbax-checkpoint require different versions of the same packages,
so jax2onnx is not among our dependencies:

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

LARGEST_DIFFERENCE = 1e-4  # allowed between logits of ONNX Runtime and JAX
# Version 0.17.1 removes transposes around a residual sum that are needed.
FAULTY_PASSES = (
  "remove_redundant_transpose_add_forests",
  "remove_redundant_transpose_pairs",
)


def export_onnx(student: Path, out: Path, model: str = "") -> float:
  """Writes the network of a bundle as ONNX, for any batch size.

  Args:
    student: the folder of the bundle.
    out: the file; it is not written if its logits differ.
    model: `module:function` that builds the network, if it is the user's own.

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
      f"The package {error.name} is missing. In a separate environment, run: "
      "pip install jaxkd jax2onnx==0.17.1 onnxruntime"
    ) from error
  classifier, spec, _ = bundle.read(student, model)
  network = jax.device_get(classifier)
  try:
    _remove_faulty_passes()
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
  except Exception as error:  # jax2onnx raises many types
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


def _remove_faulty_passes() -> None:
  from jax2onnx.converter import ir_optimizations

  ir_optimizations._OPTIMIZER_PASSES = tuple(
    entry
    for entry in ir_optimizations._OPTIMIZER_PASSES
    if entry.name not in FAULTY_PASSES
  )


def _difference(session, classifier: Classifier, spec: DataSpec) -> float:
  """Returns the largest difference of logits, for one image and for many."""
  (name,) = (entry.name for entry in session.get_inputs())
  images = bundle.probe_images(spec)
  return max(
    float(
      np.abs(
        session.run(None, {name: batch})[0]
        - np.asarray(classifier(batch).logits)
      ).max()
    )
    for batch in (images[:1], images)
  )
