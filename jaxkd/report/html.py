"""Renders Jinja templates to HTML pages that need no other file."""

import base64
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from jaxkd.runtime import formatting
from jaxkd.runtime.files import write_text

TEMPLATES = Path(__file__).parent / "templates"


def write(path: Path, template: Path, **values: object) -> None:
  """Renders a template and writes the page.

  Args:
    path: the page.
    template: the template. It may extend `page.html`, import `macros.html`, and
      use the functions of `jaxkd.runtime.formatting` as filters.
    **values: the values of the template's variables; text is escaped.
  """
  environment = Environment(
    loader=FileSystemLoader([template.parent, TEMPLATES]),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  environment.filters |= {
    "base64": _base64,
    "comparison": formatting.comparison,
    "count": formatting.count,
    "duration": formatting.duration,
    "number": formatting.number,
    "percent": formatting.percent,
    "percent_within": formatting.percent_within,
    "scaled": formatting.scaled,
    "count_names": formatting.count_names,
  }
  page = environment.get_template(template.name).render(values)
  write_text(path, page)


def _base64(path: Path) -> str:
  return base64.b64encode(path.read_bytes()).decode("ascii")
