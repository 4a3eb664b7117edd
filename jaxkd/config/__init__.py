"""Configs: shared blocks, argument strings, files and tables.

A file in `configs/` has `get_config(argument)`; the argument is what stands
behind the colon in `--config=configs/cake.py:dataset=mnist`. It imports nothing
but this package.
"""

from jaxkd.config.arguments import (
  arguments,
  forbid,
  lookup,
  lookup_sized,
  number,
  without,
)
from jaxkd.config.blocks import (
  POINTS,
  block,
  defense,
  experiment,
  optimizer,
  smoke,
  weight_decay,
)
from jaxkd.config.cells import (
  HONEST,
  UNDEFENDED,
  cell,
  cells,
  cells_of_defenses,
  slug,
  table,
)
from jaxkd.config.controls import procedural_control
from jaxkd.config.files import (
  load_config,
  resolve_path,
  share_networks,
  sibling,
)
from jaxkd.config.teacher_fields import ACCESS_LEVELS
from jaxkd.errors import JaxkdError

__all__ = [
  "POINTS",
  "ACCESS_LEVELS",
  "HONEST",
  "JaxkdError",
  "UNDEFENDED",
  "arguments",
  "block",
  "cell",
  "cells",
  "cells_of_defenses",
  "defense",
  "experiment",
  "forbid",
  "load_config",
  "lookup",
  "lookup_sized",
  "number",
  "optimizer",
  "procedural_control",
  "resolve_path",
  "share_networks",
  "sibling",
  "slug",
  "smoke",
  "table",
  "weight_decay",
  "without",
]
