"""The page of a report is self-contained HTML that says what is known."""

import base64
from html.parser import HTMLParser
import re

from report_example import UNKNOWN, a_report

from jaxkd.report.page import write_html

VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
  """Parses a page's text and attributes, and checks that its tags match."""

  def __init__(self, html):
    super().__init__()
    self.open, self.texts, self.attributes = [], [], []
    self.feed(html)
    self.close()
    assert self.open == []

  @property
  def text(self):
    return " ".join(self.texts)

  def handle_starttag(self, tag, attrs):
    self.attributes += attrs
    if tag not in VOID:
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    if self.open and self.open[-1] not in ("style", "script"):
      self.texts.append(data.strip())
    assert "script" not in self.open


def page_of(report, tmp_path, figures=()):
  path = tmp_path / "report.html"
  write_html(path, report, figures)
  return Page(path.read_text(encoding="utf-8"))


def test_page_tells_the_result(tmp_path):
  text = page_of(a_report(), tmp_path).text
  assert "keeps 75.0 % of the teacher's accuracy at 25.0 % of its size" in text
  assert "60.0 % [57.8, 62.1] ± 1.2 % (3 seeds)" in text
  assert "intervals (Wilson), 2,000 test images" in " ".join(text.split())
  assert "4.0 × less" in text
  assert "2,500 spent, budget 25,000: train 2,000, evaluate 500" in text
  assert "2 × cpu" in text
  assert "1 min 20 s" in text


def test_page_has_a_row_for_every_class(tmp_path):
  texts = page_of(a_report(), tmp_path).texts
  row = [text for text in texts if text]
  start = row.index("1,500") - 1
  assert row[start : start + 5] == [
    "0", "1,500", "90.0 %", "70.0 % [67.6, 72.3]",
    "65.0 % [62.6, 67.3]",
  ]  # fmt: skip
  assert row[start + 10 : start + 15] == ["2", "0", "–", "–", "–"]


def test_of_many_classes_the_worst_are_shown(tmp_path):
  accuracies = [0.505 + k / 100 for k in range(30)]
  classes = {
    "images": [10] * 30,
    "student_accuracy": accuracies[::-1],
    **dict.fromkeys(
      ("teacher_accuracy", "teacher_images", "agreement", "confusion")
    ),
  }
  text = page_of(a_report(classes=classes), tmp_path).text
  assert "the 20 classes with the lowest accuracies" in " ".join(text.split())
  assert "50.5 % [" in text and "69.5 % [" in text
  assert "70.5 % [" not in text


def test_page_is_self_contained_and_escaped(tmp_path):
  figure = tmp_path / "my_plot.png"
  figure.write_bytes(b"\x89PNG bytes")
  page = page_of(a_report(), tmp_path, [figure])
  assert "<half & half>" in page.text
  assert '"<script>alert(1)</script>"' in page.text
  sources = [v for k, v in page.attributes if k in ("src", "href")]
  (source,) = sources
  kind, _, content = source.partition(",")
  assert kind == "data:image/png;base64"
  assert base64.b64decode(content) == b"\x89PNG bytes"
  assert "my plot" in page.text
  html = (tmp_path / "report.html").read_text()
  assert not re.search(r"https?:|url\(|@import", html)


def test_page_shows_unknown_values(tmp_path):
  text = page_of(a_report(**UNKNOWN), tmp_path).text
  assert "no test data to evaluate it" in text
  assert "no budget" in text
  assert "None" not in text
  assert "±" not in text


def test_data_free_metrics_are_shown(tmp_path):
  text = page_of(a_report(), tmp_path).text
  for part in (
    "92.0 % agreement on 200 held-out samples (70.0 % on test data)",
    "77.0 %",
    "0.31 nat",
    "2.2 nat",
    "95.5 %",
    "22.0 %",
  ):
    assert part in text, part
  assert "predicted" not in page_of(a_report(**UNKNOWN), tmp_path).text


def test_a_run_without_held_out_samples_says_so(tmp_path):
  nothing = {"samples": 0, "agreement": None, "predicted": None}
  page = page_of(a_report(data_free=nothing), tmp_path)
  assert "unknown: no samples were held out." in page.text


def test_queries_price_and_agreement_are_shown(tmp_path):
  page = page_of(a_report(student__agreement=0.93), tmp_path)
  for part in ("the owner", "2,600", "3.75", "vulnerable", "93.0 %"):
    assert part in page.text, part
  page = page_of(a_report(queries__ended="<b>No money</b>"), tmp_path)
  assert "<b>No money</b>" in page.text
