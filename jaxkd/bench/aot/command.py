"""`python -m jaxkd.bench compile`: all cells for one target."""

from collections.abc import Collection, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
import importlib.metadata
import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

from jaxkd.bench.aot import tables, targets
from jaxkd.bench.aot.cells import Cell
from jaxkd.bench.aot.compilation import ORIGIN, compile_cell
from jaxkd.runtime.environment import environment
from jaxkd.runtime.files import write_json, write_text

COMPILERS = {"tpu": "libtpu", "gpu": "jax-cuda12-pjrt", "cpu": "jaxlib"}


def compile_all(
  target_name: str,
  cells: Mapping[str, Cell],
  names: Collection[str],
  dtype: str,
  folder: Path,
) -> str:
  """Compiles cells for a target and returns their table.

  Each cell is written to `folder/TARGET` when it is done. One that is there
  already, of the same commit and versions, is not compiled again, so that a
  command that was stopped goes on.

  Args:
    target_name: such as `v5e-8`.
    cells: cells by name.
    names: names of those to compile; empty for all.
    dtype: that networks compute in.
    folder: for the results.
  """
  target = targets.describe(target_name)
  compiler = COMPILERS[target.backend]
  origin = environment()
  version = importlib.metadata.version(compiler)
  stamp = {
    "versions": {**origin["versions"], compiler: version},
    "commit": origin["commit"],
  }
  folder, rows = folder / target_name, []
  for cell in cells.values():
    if names and cell.name not in names:
      continue
    path = folder / f"{cell.name}-{dtype}.json"
    row = _read(path, stamp)
    if row is None:
      print(f"{cell.name} ...", flush=True)
      row = {
        **compile_apart(cell, target_name, dtype),
        **stamp,
        "date": origin["date"],
      }
      write_json(path, row)
    rows.append(row)
  about = [
    f"{target_name}: {ORIGIN}.",
    f"{compiler} {version}, jax {origin['versions']['jax']}, commit "
    f"{origin['commit'] or 'unknown'}, {origin['date']}, {dtype}.",
  ]
  text = tables.markdown(rows, about)
  write_text(folder / f"{dtype}.md", text)
  return text


def compile_apart(cell: Cell, target_name: str, dtype: str) -> dict[str, Any]:
  """Compiles a cell in a process of its own, which compilers may abort."""
  os.environ["JAX_PLATFORMS"] = "cpu"  # the process looks for no accelerator
  context = multiprocessing.get_context("spawn")
  with ProcessPoolExecutor(1, mp_context=context) as pool:
    try:
      return pool.submit(_compile_here, cell, target_name, dtype).result()
    except BrokenProcessPool:
      return {
        "case": cell.case, "part": cell.part, "program": cell.program,
        "target": target_name, "dtype": dtype, "note": "",
        "error": "it aborted; its reason is in what the command printed",
      }  # fmt: skip


def _compile_here(cell: Cell, target_name: str, dtype: str) -> dict[str, Any]:
  return compile_cell(cell, targets.describe(target_name), dtype)


def _read(path: Path, stamp: dict[str, Any]) -> dict[str, Any] | None:
  """Returns the cell in a file, if it has the same stamp."""
  if not path.exists():
    return None
  row = json.loads(path.read_text())
  return row if all(row[name] == stamp[name] for name in stamp) else None
