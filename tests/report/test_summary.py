"""The summary of a report is a few lines for the terminal."""

from report_example import UNKNOWN, a_report

from jaxkd.report.summary import summary


def test_summary_is_a_few_lines():
  lines = summary(a_report()).splitlines()
  assert 6 <= len(lines) <= 11
  assert lines[0].split() == (
    ["run", "cake", "on", "mnist:", "lenet5", "->", "<half", "&", "half>"]
  )
  text = "\n".join(lines)
  expected = "teacher 80.0 %, student 60.0 % [57.8, 62.1] ± 1.2 % (3 seeds)"
  assert expected in text
  assert "70.0 % [68.0, 72.0] on the test data" in text
  assert "lowest accuracy 30.0 % (class 1), lowest agreement 65.0 %" in text
  assert "400 -> 100, 4.0 × less" in text
  assert "12,346 image-steps/s" in text


def test_summary_shows_unknown_values():
  text = summary(a_report(**UNKNOWN))
  assert 6 <= len(text.splitlines()) <= 11
  assert "None" not in text
  assert "no test data" in text


def test_a_teacher_whose_answers_are_unknown_has_no_agreement():
  classes = {**a_report()["classes"], "agreement": None}
  text = summary(a_report(classes=classes))
  assert "classes     lowest accuracy 30.0 % (class 1)\n" in text


def test_data_free_metrics_are_a_line():
  line = (
    "data-free   92.0 % agreement on 200 held-out samples (70.0 % on test "
    "data), 100.0 % of the classes, calibration error 4.0 %"
  )
  assert line in summary(a_report())
  assert "on test data)" not in summary(a_report(**UNKNOWN))


def test_a_run_without_held_out_samples_says_so():
  nothing = {"samples": 0, "agreement": None, "predicted": None}
  text = summary(a_report(data_free=nothing))
  assert "data-free   unknown: no samples were held out" in text


def test_a_start_with_weights_of_the_teacher_is_said():
  report = a_report()
  assert "before it was trained" not in summary(report)
  report["student"]["start"] = "teacher"
  assert "before it was trained the student had" in summary(report)
