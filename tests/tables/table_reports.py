"""Reports of runs as tables find them."""

CONFIG = {"dataset": "two_moons", "image_size": 0, "synthesis": {}}


def report_of(method="htc", accuracy=0.5, defence="nasty_early_stop", **more):
  return {
    "method": method,
    "dataset": "two_moons",
    "teacher": {"model": "big"},
    "student": {"model": "small", "accuracy": accuracy},
    "defense": {"name": defence} if defence else None,
    "config": CONFIG,
    **more,
  }
