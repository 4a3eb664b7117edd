"""Pages that need no other file: the style, and the pieces they are made of."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

STYLE = """
:root { color-scheme: light dark; --ink: #1d2329; --faint: #5d6771;
  --line: #dde2e7; --paper: #fff; --tile: #f4f6f8; --teacher: #0072b2;
  --synthesis: #009e73; --student: #d55e00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec;
  --faint: #9aa5af; --line: #343c44; --paper: #14181c; --tile: #1e242a; } }
body { max-width: 54rem; margin: 0 auto; padding: 2.5rem 1.25rem;
  color: var(--ink); background: var(--paper);
  font: 1rem/1.55 system-ui, sans-serif; }
header p, figcaption, footer, th, dt, summary { color: var(--faint); }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0.3rem 0 1rem; }
h2 { font-size: 1.1rem; margin: 2.5rem 0 0.6rem; }
dl { display: grid; gap: 0.8rem; margin: 1.5rem 0;
  grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); }
dl div { background: var(--tile); border-radius: 0.6rem; padding: 0.8rem 1rem; }
dt { font-size: 0.85rem; }
dd { margin: 0; font-size: 1.45rem; font-weight: 600; }
table { width: 100%; border-collapse: collapse;
  font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 0.35rem 0.6rem;
  border-bottom: 1px solid var(--line); font-weight: normal; }
th:first-child { text-align: left; padding-left: 0; }
.bar { display: flex; height: 0.8rem; gap: 2px; margin: 0.6rem 0; }
.bar span, i { background: var(--stage); border-radius: 2px; }
i { display: inline-block; width: 0.7rem; height: 0.7rem;
  margin: 0 0.4rem 0 0; }
li { display: inline-block; margin-right: 1.6rem; }
ul { padding: 0; margin: 0; }
figure { margin: 1.2rem 0; break-inside: avoid; }
img { box-sizing: border-box; max-width: 100%; background: #fff;
  border: 1px solid var(--line); border-radius: 0.6rem; }
pre { overflow-x: auto; background: var(--tile); border-radius: 0.6rem;
  padding: 1rem; font-size: 0.85rem; white-space: pre-wrap; }
footer { margin-top: 3rem; font-size: 0.85rem; overflow-wrap: anywhere; }
@media print { :root { color-scheme: light; --ink: #000; --faint: #444;
  --line: #bbb; --paper: #fff; --tile: #f4f6f8; }
  body { max-width: none; padding: 0; print-color-adjust: exact; }
  table { break-inside: avoid; } h2 { break-after: avoid; }
  details { display: none; } }
"""


def write(path: str | Path, title: str, sections: Iterable[str]) -> None:
  """Writes a page.

  Args:
    path: of the file.
    title: as plain text.
    sections: HTML.
  """
  Path(path).write_text(
    '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
    + "\n".join(sections)
    + "\n</body>\n</html>\n",
    encoding="utf-8",
  )


def section(title: str, content: str) -> str:
  """A heading and HTML below it."""
  return f"<section><h2>{escape(title)}</h2>{content}</section>"


def row(cells: Sequence[str], tag: str = "td") -> str:
  """A line of a table: a heading, then cells, all plain text."""
  first, *rest = map(escape, cells)
  others = "".join(f"<{tag}>{cell}</{tag}>" for cell in rest)
  return f"<tr><th>{first}</th>{others}</tr>"


def figure(path: Path, caption: str) -> str:
  """A PNG file and what it shows, as plain text."""
  image = base64.b64encode(path.read_bytes()).decode("ascii")
  caption = escape(caption)
  return (
    f'<figure><img alt="{caption}" src="data:image/png;base64,{image}">'
    f"<figcaption>{caption}</figcaption></figure>"
  )
