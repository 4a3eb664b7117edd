"""HTC: what a nasty teacher still gives away at high temperature.

  python -m jaxkd.main --config=configs/htc.py
  python -m jaxkd.main --config=configs/htc.py:sweep=temperature
  python -m jaxkd.main --config=configs/htc.py:sweep=multiplier
  python -m jaxkd.main --config=configs/htc.py:control
  python -m jaxkd.main --config=configs/htc.py:fraction=0.1
  python -m jaxkd.main --config=configs/htc.py:labels=teacher
  python -m jaxkd.main --config=configs/htc.py:smoke

The grid of the paper trains as one program, and its point is chosen on held-out
training images. `sweep` is figure 4: temperatures at multiplier 50, or
multipliers at temperature 50, alpha .9. `control` is label smoothing, which HTC
becomes as the temperature grows. Without labels: table 5.
Other recipes are those of `configs/kd.py`.
"""

from jaxkd import config as c

GRID = {
  "multiplier": (1.0, 5.0, 10.0, 50.0),
  "temperature": (4.0, 20.0, 50.0, 100.0),
  "alpha": (0.1, 0.3, 0.5, 0.7, 0.9),
}
# By data set, in addition to the temperatures of all.
HIGHER = {"tiny_imagenet": (200.0,)}
SMALL = {
  "multiplier": (1.0, 10.0),
  "alpha": (0.5, 0.9),
  "temperature": (20.0, 100.0),
}
SWEEPS = {
  "temperature": {"temperature": (10.0, 20.0, 50.0, 100.0)},
  "multiplier": {"multiplier": (1.0, 5.0, 10.0, 50.0)},
}
INFINITE = 1e9


def get_config(argument: str = ""):
  args = c.arguments(
    argument,
    dataset="mnist_5k",
    defense="nasty",
    fraction="1",
    labels="truth",
    sweep="",
    control=False,
  )
  rest = c.without(argument, "sweep", "control", "defense")
  config = c.sibling(__file__, "kd", f"{rest},defense={args['defense']}")
  config.method = "htc"
  config.hyper = c.block(temperature=50.0, alpha=0.9, multiplier=50.0)
  if args["sweep"]:
    grid = c.lookup(SWEEPS, args["sweep"], "sweep")
  else:
    small = args["dataset"] == "mnist_5k" or args["smoke"]
    grid = SMALL if small else with_higher_temperatures(args["dataset"])
  if args["control"]:
    grid = {**grid, "temperature": (INFINITE,)}
  config.grid = c.block(**grid)
  return config


def with_higher_temperatures(dataset: str):
  """The grid of the paper for a data set."""
  temperatures = GRID["temperature"] + HIGHER.get(dataset, ())
  return {**GRID, "temperature": temperatures}
