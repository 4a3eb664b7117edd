"""The plain student: what a thief could train without the teacher.

  python -m jaxkd.main --config=configs/vanilla.py
  python -m jaxkd.main --config=configs/vanilla.py:dataset=cifar10,student=cnn
  python -m jaxkd.main --config=configs/vanilla.py:smoke

Recipes are those of `configs/kd.py`.
"""

from jaxkd import config as c


def get_config(argument: str = ""):
  config = c.sibling(__file__, "kd", argument)
  config.method = "vanilla"
  config.synthesis = c.block(fraction=config.synthesis.fraction)
  config.hyper = c.block()
  return config
