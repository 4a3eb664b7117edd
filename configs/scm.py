r"""SCM: a nasty teacher's false peaks, averaged away over a sequence of models.

  python -m jaxkd.main --config=configs/scm.py
  python -m jaxkd.main --config=configs/scm.py --config.synthesis.length=4
  python -m jaxkd.main --config=configs/scm.py:dataset=cifar100 \
      --config.synthesis.member=shufflenet_v2
  python -m jaxkd.main --config=configs/scm.py:smoke

The sequence has k = 3 members, the nasty teacher among them, each trained as a
nasty teacher of the one before it. The grid and its choice are HTC's.
"""

from jaxkd import config as c


def get_config(argument: str = ""):
  config = c.sibling(__file__, "htc", argument)
  config.method = "scm"
  defense, plain = config.teacher.defense, dict(config.synthesis)
  del plain["source"]
  config.synthesis = c.block(
    **plain,
    length=3,
    member="",
    include_teacher=True,
    omega=defense.omega,
    temperature=defense.temperature,
  )
  return config
