"""What an audit of a black box says: how much was copied, at what price."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from jaxkd.figures import DPI, FAINT, INK, PALETTE
from jaxkd.quantities import UNKNOWN, count, percent

# Agreement with the model from which OWASP's AI Testing Guide (AITG-APP-09)
# speaks so; a convention, hence always beside the number itself.
BANDS = ((0.9, "vulnerable"), (0.75, "warning"), (0.0, "desired"))
WORDS = {
  "access": "what an answer tells",
  "authorization": "allowed by",
  "budget": "budget",
  "spent": "spent",
  "sent": "images sent, every attempt",
  "answered": "answered",
  "unknown": "outcome unknown, counted as spent",
  "refused": "refused by the server, not counted",
}


def band(agreement: float | None) -> str:
  """OWASP's word for a share of agreement.

  >>> band(0.93), band(0.9), band(0.75), band(0.2), band(None)
  ('vulnerable', 'warning', 'warning', 'desired', '–')
  """
  if agreement is None:
    return UNKNOWN
  (high, worst), (low, middle), (_, best) = BANDS
  return worst if agreement > high else middle if agreement >= low else best


def verdict(report: dict[str, Any]) -> str:
  """How far the copy went, in a sentence; empty without a black box."""
  queries, agreement = report["queries"], report["student"]["agreement"]
  if queries["budget"] is None:
    return ""
  spent = f"after {count(queries['spent'])} queries"
  if agreement is None:
    return f"How far the student agrees with the teacher {spent} is not known."
  return (
    f"The student agrees with the teacher on {percent(agreement)} of the test "
    f"data {spent}: {band(agreement)} in OWASP's bands (above 90 %, 75 to "
    "90 %, below 75 %)."
  )


def account(queries: dict[str, Any]) -> list[tuple[str, str]]:
  """The ledger's totals as rows of words and values."""

  def show(value: Any) -> str:
    return value if isinstance(value, str) else count(value)

  rows = [
    (words, show(queries[field]))
    for field, words in WORDS.items()
    if queries.get(field) is not None
  ]
  kinds = queries["by_class"].items()
  rows += [(f"of these for {kind}", count(number)) for kind, number in kinds]
  if queries["price_per_1000"]:
    rows.append(("price", f"{queries['price']:,.2f}"))
  return rows


def queries_figure(
  path: str | Path,
  curve: Sequence[dict[str, Any]],
  teacher_accuracy: float | None,
) -> None:
  """Accuracy and agreement of the student against queries, over the bands.

  Args:
    path: of the PNG file.
    curve: points `queries`, `accuracy`, `agreement`; None where not known.
    teacher_accuracy: drawn as a line, if known.
  """
  figure = Figure((6.6, 3.6), layout="constrained")
  axes = figure.subplots()
  edges = [1.0, *(bound for bound, _ in BANDS)]
  for index, (bound, word) in enumerate(BANDS):
    axes.axhspan(
      bound, edges[index], color=INK, alpha=0.09 - 0.03 * index, lw=0
    )
    axes.text(
      1.01, (bound + edges[index]) / 2, word, fontsize=7, color=FAINT,
      va="center", transform=axes.get_yaxis_transform(),
    )  # fmt: skip
  for colour, name in zip((5, 0), ("accuracy", "agreement"), strict=True):
    points = [(p["queries"], p[name]) for p in curve if p[name] is not None]
    if points:
      axes.plot(
        *zip(*points, strict=True), color=PALETTE[colour], marker="o", ms=3,
        lw=1.6, label=name,
      )  # fmt: skip
  if teacher_accuracy is not None:
    axes.axhline(
      teacher_accuracy, color=FAINT, lw=1, ls="--", label="teacher's accuracy"
    )
  axes.set(xlabel="queries", ylim=(0, 1))
  axes.yaxis.set_major_formatter(PercentFormatter(1.0))
  axes.xaxis.set_major_formatter(lambda value, _: count(value))
  axes.spines[["top", "right"]].set_visible(False)
  axes.spines[["left", "bottom"]].set_color(FAINT)
  axes.tick_params(colors=FAINT, labelsize=7)
  if axes.get_legend_handles_labels()[0]:
    axes.legend(frameon=False, fontsize=8, loc="lower right")
  figure.savefig(path, dpi=DPI)
