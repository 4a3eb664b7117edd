"""Formats numbers and names for people; an unknown number (None) is a dash."""

from collections.abc import Iterable

UNKNOWN = "–"


def duration(seconds: float | None) -> str:
  """Formats seconds in milliseconds, seconds, minutes and hours.

  >>> [duration(s) for s in (0, 0.0042, 0.25, 42, 200, 7500)]
  ['0.0 s', '4.2 ms', '0.2 s', '42 s', '3 min 20 s', '2 h 05 min']
  """
  if seconds is None:
    return UNKNOWN
  if 0 < seconds < 0.05:
    return f"{1e3 * seconds:.2g} ms"
  if seconds < 9.95:
    return f"{seconds:.1f} s"
  minutes, rest = divmod(round(seconds), 60)
  if not minutes:
    return f"{rest} s"
  if minutes < 60:
    return f"{minutes} min {rest:02d} s"
  return f"{minutes // 60} h {minutes % 60:02d} min"


def percent(fraction: float | None) -> str:
  """Formats a fraction in percent, to three or four digits.

  >>> [percent(f) for f in (0.98765, 0.051, 1.0, 0.00042, None)]
  ['98.8 %', '5.1 %', '100.0 %', '0.042 %', '–']
  """
  if fraction is None:
    return UNKNOWN
  digits = ".1f" if abs(fraction) >= 0.01 or fraction == 0 else ".2g"
  return f"{100 * fraction:{digits}} %"


def percent_within(
  fraction: float | None, bounds: tuple[float, float] | list[float] | None
) -> str:
  """Formats a fraction in percent, with its 95 % interval if that is known.

  >>> percent_within(0.9881, (0.9858, 0.99)), percent_within(0.5, None)
  ('98.8 % [98.6, 99.0]', '50.0 %')
  """
  if bounds is None:
    return percent(fraction)
  low, high = (f"{100 * bound:.1f}" for bound in bounds)
  return f"{percent(fraction)} [{low}, {high}]"


def count(number: float | None) -> str:
  """Formats a whole number with commas between the thousands.

  >>> count(61706), count(None)
  ('61,706', '–')
  """
  return UNKNOWN if number is None else f"{number:,.0f}"


def scaled(number: float | None, unit: str) -> str:
  """Formats a number to three digits, with a decimal prefix of its unit.

  >>> scaled(246824, "B"), scaled(835200, "FLOP"), scaled(12, "B")
  ('247 kB', '835 kFLOP', '12 B')
  >>> scaled(999700, "B"), scaled(None, "B")
  ('1 MB', '–')
  """
  if number is None:
    return UNKNOWN
  prefixes = ["", "k", "M", "G", "T", "P", "E"]
  while number >= 999.5 and len(prefixes) > 1:
    number /= 1000
    prefixes.pop(0)
  return f"{number:.3g} {prefixes[0]}{unit}"


def number(value: float | None, unit: str) -> str:
  """Formats a number to three digits, with its unit.

  >>> number(0.44461, "nat"), number(None, "ms")
  ('0.445 nat', '–')
  """
  return UNKNOWN if value is None else f"{value:.3g} {unit}"


def comparison(student: float | None, teacher: float | None) -> str:
  """Says by which factor the student costs less or more than the teacher.

  >>> comparison(15738, 61706), comparison(2.0, 1.0), comparison(5, 5)
  ('3.9 × less', '2.0 × more', 'the same')
  >>> comparison(1, None)
  '–'
  """
  if not student or not teacher:
    return UNKNOWN
  factor = max(student, teacher) / min(student, teacher)
  if factor < 1.05:
    return "the same" if student == teacher else "about the same"
  return f"{factor:.1f} × {'less' if student < teacher else 'more'}"


def count_names(names: list[str]) -> str:
  """Joins names, with the number of times that each occurs.

  >>> count_names(["cpu"]), count_names(["TPU v4", "TPU v4"])
  ('cpu', '2 × TPU v4')
  """
  counts = {name: names.count(name) for name in names}
  return ", ".join(
    name if number == 1 else f"{number} × {name}"
    for name, number in counts.items()
  )


def first_three(names: Iterable[str]) -> str:
  """Returns the first three names, and how many more there are.

  >>> first_three("abcde")
  'a, b, c and 2 more'
  """
  names = list(names)
  more = f" and {len(names) - 3} more" if len(names) > 3 else ""
  return ", ".join(names[:3]) + more
