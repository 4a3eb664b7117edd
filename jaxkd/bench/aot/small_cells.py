"""A round and an epoch of every method, with small networks.

The networks are a ResNet of three blocks and narrow generators, so that
all methods compile within half an hour.
"""

from jaxkd import config as configs, methods
from jaxkd.bench.aot.cells import Cell

NETWORKS = "smoke,teacher=resnet8_8,student=resnet8_8"
SETS = 64
# Methods with other networks: of points in the plane, and with heads.
OTHER = {
  "generative": "smoke",
  "skeptical": "smoke,teacher=resnet8_8,student=skeptical_cnn_quarter",
}
FIELDS = {
  # A store that is much larger than what a round works on.
  "cake": {"synthesis.num_sets": SETS * 8, "synthesis.sets_per_round": 8},
  "dafl": {"synthesis.width": 8},
}


def small_cells() -> dict[str, Cell]:
  """Returns the cells by name: a round of every method, and an epoch of its
  student if that has epochs.
  """
  cells = {}
  for method in methods.names():
    config = f"configs/{method}.py:{OTHER.get(method, NETWORKS)}"
    has_epochs = configs.load_config(config).student.epochs > 0
    for program in ("round", "epoch")[: 1 + has_epochs]:
      fields = FIELDS.get(method, {})
      cell = Cell(method, program, config, program, fields)
      cells[cell.name] = cell
  return cells
