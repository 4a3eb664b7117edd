"""Other people's images, labelled by the teacher.

  python -m jaxkd.main --config=configs/knockoff.py
  python -m jaxkd.main --config=configs/knockoff.py:photo=cat.jpg,access=probs
  python -m jaxkd.main --config=configs/knockoff.py:images=fashion_mnist
  python -m jaxkd.main --config=configs/knockoff.py:images=FOLDER,select=none
  python -m jaxkd.main --config=configs/knockoff.py:smoke

`images` names a data set, or a folder of images without labels. `photo` is one
image file, of which crops are drawn; without either it is `china`, a photograph
that comes with scikit-learn, as `flower` does. All else is that of
`procedural.py`. With `images` a round, a tenth of the budget, can't ask about
more than there are, nor can all rounds with `select=none` or no mutations.
"""

from jaxkd import config as c

PHOTO = "china"
WHOLE = {"mnist_5k": "mnist"}  # data sets that are a part of others


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
  if args["images"] and args["photo"]:
    raise c.JaxkdError(
      f"images={args['images']}, photo={args['photo']}: choose one of the two."
    )
  config = c.sibling(
    __file__, "procedural", c.without(argument, "images", "photo")
  )
  del config.synthesis.sources
  config.method = "knockoff"
  config.synthesis.source = "images" if args["images"] else "photo"
  config.other_dataset = args["images"] or args["photo"] or PHOTO
  own, others = config.dataset, config.other_dataset
  if WHOLE.get(own, own) == WHOLE.get(others, others):
    raise c.JaxkdError(
      f"images={others}: these are the images of dataset={own}, on which the "
      "teacher is trained and tested; choose others, or configs/kd.py for "
      "distillation on them."
    )
  return config
