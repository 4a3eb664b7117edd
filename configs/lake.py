"""LAKE: CAKE whose sets walk by Langevin dynamics.

  python -m jaxkd.main --config=configs/lake.py
  python -m jaxkd.main --config=configs/lake.py:dataset=two_moons
  python -m jaxkd.main --config=configs/lake.py:smoke

With `recipe=published` every step adds noise of standard deviation sqrt(2 step
size), for which the poster gives no number; with `recipe=ours` noise that is as
large as the first step.
"""

from jaxkd import config as c


def get_config(argument: str = ""):
  config = c.sibling(__file__, "cake", argument)
  config.synthesis.dynamics = "langevin"
  return config
