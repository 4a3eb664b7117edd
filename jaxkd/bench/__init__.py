"""Benchmarks of jaxkd, beside the same algorithms in PyTorch.

Rates are also compared with the device's matrix products and copies.

  pip install 'jaxkd[torch]'
  python -m jaxkd.bench                 LeNet-5; or resnet18, resnet34, vit8
  python -m jaxkd.bench engines         DAFL, DFME and DeepInversion
  python -m jaxkd.bench grid            students at points of a grid
  python -m jaxkd.bench scan            steps inside `lax.scan` against outside
  python -m jaxkd.bench scale           cost and memory, jobs on many devices
  python -m jaxkd.bench gpu             all measurements of one accelerator
  python -m jaxkd.bench compile         programs for accelerators that are not
                                        there, by what their compilers say

All are compiled and run once before they are timed. Their timed runs alternate,
so that other work on the machine slows all of them down alike; a time is the
median of runs that end when the result is on the device. PyTorch's images and
weights are compared with ours first: times are compared only if the results are
the same.
"""
