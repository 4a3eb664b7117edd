"""The types that all packages share: classifiers, samples and methods.

    classifier.py  a network, its outputs and its inputs
    method.py      a method, its phases and objectives
    samples.py     images with labels and answers, and their store

Axis letters, here and in every docstring: `S` sets (the vmapped axis), `N`
samples in a set, `B` batch, `G` group, `K` classes, `H W C` image (NHWC), `D`
features, `Z` latent, `T` synthesis steps, `E` ensemble members.
"""

from jaxkd.errors import JaxkdError
from jaxkd.types.classifier import (
  ApplyFn,
  Array,
  Classifier,
  DataSpec,
  Outputs,
  Variables,
)
from jaxkd.types.method import (
  Ask,
  LossContext,
  LossTerms,
  Method,
  MethodInfo,
  Networks,
  Objective,
  PerSampleObjective,
  Phase,
  PreStudentStage,
  RepeatFn,
  State,
  Tell,
  passthrough,
)
from jaxkd.types.samples import Samples, SampleStore

__all__ = [
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
  "PerSampleObjective",
  "Phase",
  "PreStudentStage",
  "RepeatFn",
  "SampleStore",
  "Samples",
  "State",
  "Tell",
  "Variables",
  "passthrough",
]
