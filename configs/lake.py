"""LAKE: CAKE whose sets walk by Langevin dynamics.

  python -m jaxkd.main --config=configs/lake.py
  python -m jaxkd.main --config=configs/lake.py:dataset=two_moons
  python -m jaxkd.main --config=configs/lake.py:smoke

Every step adds noise of standard deviation sqrt(2 step size); the poster gives
no number for it.
"""

from jaxkd import config as c


def get_config(argument: str = ""):
  config = c.sibling(__file__, "cake", argument)
  config.synthesis.dynamics = "langevin"
  return config
