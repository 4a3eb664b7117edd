"""Records of the runs whose numbers `configs/README.md` shows.

A record is a JSON file for a row of `jaxkd.tables.rows`: its config, and what
the `report.json` of each of its runs says, with that file's SHA-256. It is
written by a command and never by hand.
"""

from collections.abc import Collection, Mapping, Sequence
import hashlib
import json
from pathlib import Path
from typing import Any

from jaxkd.runtime.files import write_json
from jaxkd.runtime.finished_run import REPORT_NAME, read_report
from jaxkd.runtime.formatting import count_names
from jaxkd.tables.rows import RESULTS, Row, differences
from jaxkd.types import JaxkdError

# What a record keeps of each block of a report.
KEPT = {
  "teacher": ("model", "accuracy"),
  "student": ("model", "accuracy", "accuracy_std", "seeds", "agreement"),
  "synthesis": ("images", "steps"),
  "queries": ("access", "budget", "spent"),
  "seconds": ("teacher", "synthesis", "student", "total"),
}
# The older reports have no `cores` and no `test_images`.
PLAIN = ("devices", "cores", "versions", "commit", "date", "test_images")
Record = Mapping[str, Any]  # of a row, or of one of its runs


def record(
  workdirs: Sequence[Path], rows: Sequence[Row], folder: Path = RESULTS
) -> tuple[Path, list[str]]:
  """Records finished runs of one row, each with a seed of its own.

  A run replaces an older one of the same seed. Recorded runs whose config is
  not that of the row any more are dropped.

  Args:
    workdirs: folders of the runs.
    rows: the declared rows.
    folder: where records are.

  Returns:
    The record's file, and lines that say what was done.

  Raises:
    JaxkdError: if a run is not finished or can't be recorded, if its config is
      that of no row, or if the runs differ in more than the seed.
  """
  reports = [read_report(workdir) for workdir in workdirs]
  row = find_row(workdirs[0], reports[0], rows)
  config, runs = row.load(), {}
  for workdir, report in zip(workdirs, reports, strict=True):
    differing = differences(config, report["config"])
    if differing:
      raise JaxkdError(
        f"{workdirs[0]} is a run of {row.command}, but {workdir} differs: "
        f"{'; '.join(differing)}. Record the runs of one row at a time."
      )
    run = record_of(workdir, report)
    if run["seed"] in runs:
      raise JaxkdError(
        f"{workdir} has seed {run['seed']}, as a run before it; give one run "
        "for each seed."
      )
    runs[run["seed"]] = run
  path, lines = folder / row.record_name, []
  before = read_record(path) if path.exists() else {"runs": []}
  if before["runs"] and differences(config, before["values"]):
    lines.append(
      f"dropped {len(before['runs'])} earlier runs, whose config was another"
    )
    before["runs"] = []
  for run in before["runs"]:
    newer = runs.get(run["seed"])
    if newer is None or newer["date"] < run["date"]:
      runs[run["seed"]] = run
      lines.append(f"kept seed {run['seed']} of {run['date']}")
  values = {k: v for k, v in reports[0]["config"].items() if k != "seed"}
  write_json(
    path,
    {
      "config": row.config,
      "overrides": row.overrides,
      "values": values,
      "runs": [runs[seed] for seed in sorted(runs)],
    },
  )
  seeds = ", ".join(map(str, sorted(runs)))
  return path, [f"{row.command}: seeds {seeds}", *lines]


def find_row(workdir: Path, report: dict[str, Any], rows: Sequence[Row]) -> Row:
  """Returns the row whose config a run had.

  Raises:
    JaxkdError: if there is none, with the fields in which the nearest differs.
  """
  candidates = []
  for row in rows:
    if not row.is_table:
      differing = differences(row.load(), report["config"])
      if not differing:
        return row
      candidates.append((len(differing), row.command, differing))
  _, nearest, differing = min(candidates)
  raise JaxkdError(
    f"{workdir} is a run of no row in rows.toml; the nearest is {nearest}, "
    f"which differs in {'; '.join(differing[:5])}. Add a row, with overrides."
  )


def record_of(workdir: Path, report: dict[str, Any]) -> dict[str, Any]:
  """Returns what a record keeps of a run.

  Raises:
    JaxkdError: if the student's accuracy or the commit is not known, or if the
      report lacks a field.
  """
  missing = [
    f"{block}.{name}"
    for block, names in KEPT.items()
    for name in names
    if name not in report.get(block, {})
  ]
  if missing:
    raise JaxkdError(
      f"{workdir / REPORT_NAME} lacks {', '.join(missing)}; another version of "
      "jaxkd wrote it, so run the command of the run again."
    )
  if report["student"]["accuracy"] is None:
    raise JaxkdError(
      f"{workdir} has no accuracy, because there was no test data; record a "
      "run whose dataset has some."
    )
  if report["commit"] is None:
    raise JaxkdError(
      f"{workdir} was run with a jaxkd outside of a checkout, so its commit is "
      "not known; run it from a checkout."
    )
  content = (workdir / REPORT_NAME).read_bytes()
  blocks = {
    block: {name: report[block][name] for name in names}
    for block, names in KEPT.items()
  }
  return {
    "seed": report["config"]["seed"],
    "report_sha256": hashlib.sha256(content).hexdigest(),
    **{name: report.get(name) for name in PLAIN},
    **blocks,
  }


def read_records(
  rows: Sequence[Row], folder: Path = RESULTS
) -> dict[str, dict[str, Any]]:
  """Reads all records, by the names of their files.

  Raises:
    JaxkdError: if a record belongs to no row.
  """
  names = {row.record_name for row in rows}
  records = {}
  for path in sorted(folder.glob("*.json")):
    if path.name not in names:
      raise JaxkdError(
        f"{path} is the record of no row in rows.toml; add the row, or delete "
        "the record."
      )
    records[path.name] = read_record(path)
  return records


def read_record(path: Path) -> dict[str, Any]:
  """Reads the record of a row.

  Raises:
    JaxkdError: if the file is damaged or no record.
  """
  try:
    content = json.loads(path.read_text(encoding="utf-8"))
    content["config"], content["runs"]
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise JaxkdError(
      f"{path} is no record of results ({error}); put back the committed one, "
      "or delete it and record the runs again."
    ) from error
  return content


def devices(runs: Collection[Record]) -> list[str]:
  """Lists the devices of the runs, each once, with the CPU's cores."""
  texts = set()
  for run in runs:
    cores = f" of {run['cores']} cores" if run["cores"] else ""
    texts.add(count_names(run["devices"]) + cores)
  return sorted(texts)


def origins(runs: Collection[Record]) -> list[str]:
  """Lists the days and commits of the runs, each once."""
  return sorted({f"{run['date'][:10]} {short(run['commit'])}" for run in runs})


def short(commit: str) -> str:
  """Shortens a commit; one with changes that were not committed says so."""
  digest, dirty, _ = commit.partition("-dirty")
  return f"{digest[:7]}{' with changes' if dirty else ''}"
