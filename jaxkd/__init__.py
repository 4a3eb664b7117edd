"""Data-free knowledge distillation, model extraction and defences in JAX.

  import jaxkd
  config = jaxkd.load_config("configs/cake.py:smoke")
  student, report = jaxkd.distill(jaxkd.from_linen(net, variables), config)

The loss kernels can be imported alone: `from jaxkd.losses import kd_loss`.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

# Modules by public name; imported on first use, so that `import jaxkd.losses`
# imports little else.
_PUBLIC = {
  "Classifier": "types",
  "DataSpec": "types",
  "Dataset": "data",
  "JaxkdError": "errors",
  "NotServed": "teachers.remote.transport",
  "Outputs": "types",
  "Samples": "types",
  "black_box": "teachers.function_teacher",
  "distill": "pipeline.distill",
  "from_function": "models",
  "from_linen": "models",
  "from_nnx": "models",
  "from_torch": "models.pytorch",
  "load_config": "config",
  "load_classifier": "serialization.weights",
}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:  # noqa: ANN401 (functions and classes)
  if name not in _PUBLIC:
    raise AttributeError(f"module 'jaxkd' has no attribute {name!r}")
  module = importlib.import_module(f"jaxkd.{_PUBLIC[name]}")
  return getattr(module, name)
