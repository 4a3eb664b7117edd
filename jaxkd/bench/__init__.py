"""How fast jaxkd is, beside the same algorithms in PyTorch in the same run, and
how far it is from what the device can do.

  pip install 'jaxkd[torch]'
  python -m jaxkd.bench                 LeNet-5; or resnet18, resnet34, vit8
  python -m jaxkd.bench engines         DAFL, DFME and DeepInversion
  python -m jaxkd.bench grid            students at points of a grid
  python -m jaxkd.bench scan            steps inside `lax.scan` against outside
  python -m jaxkd.bench scale           cost and memory, jobs on many devices
  python -m jaxkd.bench gpu             all that is asked of one accelerator

All are compiled and run once, then they take turns, so that a noisy machine is
noisy for all; medians of times that end when the result is there. The rival's
images and weights are compared with ours before it is timed: speed counts only
where the result is the same.
"""
