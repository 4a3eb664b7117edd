"""The poster's "naive" synthesis: CAKE with the classification term alone.

  python -m jaxkd.main --config=configs/naive.py
  python -m jaxkd.main --config=configs/naive.py:dataset=two_moons
  python -m jaxkd.main --config=configs/naive.py:smoke

One step size for all sets, no contrast, no prior: the images sit on the right
sides of the boundary, and far from it. All else is `cake.py:recipe=published`.
"""

from jaxkd import config as c


def get_config(argument: str = ""):
  config = c.sibling(__file__, "cake", f"{argument},recipe=published")
  config.synthesis.step_size_decades = 0.0
  config.synthesis.weights.contrast = 0.0
  config.synthesis.weights.total_variation = 0.0
  return config
