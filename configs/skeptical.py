"""Skeptical Student: only its early exits hear the teacher.

  python -m jaxkd.main --config=configs/skeptical.py
  python -m jaxkd.main --config=configs/skeptical.py:term=htc
  python -m jaxkd.main --config=configs/skeptical.py:term=scm,student=cnn_half
  python -m jaxkd.main --config=configs/skeptical.py:smoke

The student is the Skeptical form of `student`. `loc` is 2, where its paper's
figure shows it; the settings of its code were not released. With `term=htc` or
`scm` these losses take the place of the teacher's term, with HTC's grid.
"""

from jaxkd import config as c

STUDENTS = {"tiny_imagenet": "mobilenet_v2"}  # the paper has no CNN there


def get_config(argument: str = ""):
  args = c.arguments(
    argument,
    dataset="mnist_5k",
    defense="nasty",
    fraction="1",
    labels="truth",
    term="kd",
  )
  student = args.get("student", STUDENTS.get(args["dataset"], "cnn_quarter"))
  plain = student.removeprefix("skeptical_")
  rest = c.without(argument, "term", "defense", "student")
  rest += f",defense={args['defense']},student=skeptical_{plain}"
  sequence = c.sibling(__file__, "scm", rest)
  config = sequence if args["term"] != "kd" else c.sibling(__file__, "kd", rest)
  config.method = "skeptical"
  config.synthesis = c.block(
    **sequence.synthesis,
    term=args["term"],
    loc=2,
    kd_delay=-1,
    self_target="through",
  )
  return config
