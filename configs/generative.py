"""The poster's "generative" synthesis: a generator that only classifies.

  python -m jaxkd.main --config=configs/generative.py:dataset=two_moons
  python -m jaxkd.main --config=configs/generative.py:smoke

15,000 steps of Adam at 1e-3 on batches of 64, as in the released toy. All else
is `cake.py:recipe=published`.
"""

from jaxkd import config as c


def get_config(argument: str = ""):
  args = c.arguments(argument, dataset="two_moons")
  published = f"{argument},dataset={args['dataset']},recipe=published"
  config = c.sibling(__file__, "cake", published)
  config.method = "generative"
  sizes = config.synthesis
  config.synthesis = c.block(
    num_sets=sizes.num_sets,
    set_size=sizes.set_size,
    num_steps=4 if args["smoke"] else 15_000,
    batch_size=64,
    step_size=1e-3,
  )
  return config
