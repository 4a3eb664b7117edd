"""Other people's images, labelled by the teacher.

  python -m jaxkd.main --config=configs/knockoff.py:images=fashion_mnist
  python -m jaxkd.main --config=configs/knockoff.py:images=photos,select=student
  python -m jaxkd.main --config=configs/knockoff.py:photo=cat.jpg,access=probs
  python -m jaxkd.main --config=configs/knockoff.py:smoke

`images` names a data set, or a folder of images without labels; `photo` is one
image file, of which crops are drawn. All else is that of `procedural.py`. With
`images` and `select=none` at most as many are asked about as there are. The
smoke run crops one digit.
"""

from jaxkd import config as c

IMAGES, DIGITS = 60_000, "mnist_5k"


def get_config(argument: str = ""):
  args = c.arguments(
    argument,
    dataset="mnist_5k",
    access="label",
    select="student",
    images="",
    photo="",
    budget="0",
  )
  rest = c.without(argument, "images", "photo")
  config = c.sibling(__file__, "procedural", rest)
  del config.synthesis.sources
  config.method = "knockoff"
  config.synthesis.source = "photo" if args["photo"] else "images"
  config.other_dataset = args["photo"] or args["images"] or DIGITS
  return config
