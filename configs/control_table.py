"""Every method beside itself without learning: does it do better than chance?

  python -m jaxkd.main --config=configs/control_table.py --workdir=DIR
  python -m jaxkd.main --config=configs/control_table.py:part=4
  python -m jaxkd.main --config=configs/control_table.py:methods=DisGUIDE+IDEAL
  python -m jaxkd.main --config=configs/control_table.py:columns=procedural
  python -m jaxkd.main --config=configs/control_table.py:dataset=fashion_mnist
  python -m jaxkd.main --config=configs/control_table.py:smoke

A control is the same run, student and all, in which images are never improved:
the generator stays as it was initialised, pixels stay noise, walks stay where
they began. The column `procedural` is the control that counts: the same student
makes as many updates, to whole epochs, on as many procedural images, which the
same teacher answers with the same access. Three seeds, each with a teacher of
its own.
`part=4` makes a quarter of each method's rounds, sets or queries. `methods` are
rows and `columns` are columns of each seed, with `+` between them.
"""

from jaxkd import config as c, methods

METHODS = {
  "DAFL": "dafl",
  "ZSKT": "zskt",
  "DD": "dd",
  "DI": "deepinversion",
  "ADI": "deepinversion:adi",
  "CMI": "cmi",
  "CMI*": "cmi:hard",
  "FastDFKD": "fast_dfkd",
  "CAKE": "cake",
  "LAKE": "lake",
  "ZSDB3KD": "zsdb3kd",
  "DFME": "dfme",
  "MAZE": "maze",
  "DaST": "dast",
  "IDEAL": "ideal",
  "DisGUIDE": "disguide",
  "CaBaGE": "cabage",
}
SEEDS = (0, 1, 2)
# Columns of each seed, and what a seed's name is followed by.
COLUMNS = {"method": "", "control": ", control", "procedural": ", procedural"}
NEGLIGIBLE_STEP = 1e-12  # for images: far below one of 256 levels


def get_config(argument: str = ""):
  args = c.arguments(
    argument,
    dataset="mnist_5k",
    part="1",
    methods="+".join(METHODS),
    columns="+".join(COLUMNS),
  )
  c.forbid(args, "teacher", "student", "seeds")
  part = c.number(args, "part")
  if part < 1:
    raise c.JaxkdError(f"part={part}: it must be 1 or above.")
  rest = f"dataset={args['dataset']}" + ",smoke" * args["smoke"]
  shown = args["columns"].split("+")
  columns = {
    f"seed {seed}{c.lookup(COLUMNS, column, 'columns')}": (seed, column)
    for seed in SEEDS
    for column in shown
  }
  cells = {}
  rows = tuple(args["methods"].split("+"))
  for row in rows:
    method = c.lookup(METHODS, row, "methods")
    name, _, method_argument = method.partition(":")
    for title, (seed, column) in columns.items():
      config = c.sibling(__file__, name, f"{rest},{method_argument}".strip(","))
      config.seed = seed
      shorten(config, part)
      if column == "control":
        freeze_images(config)
      if column == "procedural":
        config = c.procedural_control(
          config, c.sibling(__file__, "procedural", rest)
        )
      control = ""
      if column == "method" and "procedural" in shown:
        control = c.slug(f"{row}_{title}, procedural")
      cells[c.slug(f"{row}_{title}")] = c.cell(
        row, title, config, control=control
      )
  caption = f"Students, and those of the same runs without learning, on {rest}"
  return c.table("control", caption, rows, tuple(columns), cells)


def shorten(config, part: int):
  """Leaves one part of what a method makes or asks for."""
  parts = [
    (config.synthesis, name)
    for name in ("num_sets", "num_rounds")
    if name in config.synthesis
  ]
  for block, name in (*parts, (config.queries, "budget")):
    if 0 < block[name] < part:
      raise c.JaxkdError(
        f"part={part}: {name}={block[name]} of {config.method} has no such "
        "part; choose a smaller one."
      )
    block[name] //= part


def freeze_images(config):
  """Sets all step sizes of images, or of what makes them, to almost zero."""
  steps = methods.info(config.method).image_steps
  config.synthesis.update_from_flattened_dict(
    dict.fromkeys(steps, NEGLIGIBLE_STEP)
  )
  if "start" in config.synthesis:
    config.synthesis.start = "noise"
