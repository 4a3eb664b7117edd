"""Learning rates of configs suit the networks that arguments choose."""

import pytest

from jaxkd import config as c

PLAIN = (
  "lenet5", "lenet5_half", "mlp", "cake_cnn", "vit4", "ideal_mlp", "dast_small",
)  # fmt: skip


@pytest.mark.parametrize("network", PLAIN)
@pytest.mark.parametrize("recipe", ["ours", "published"])
def test_cake_spares_networks_without_normalisation(network, recipe):
  """At the ResNets' peak of .5 a LeNet-5 ends at chance in some seeds."""
  config = c.load_config(
    f"configs/cake.py:dataset=svhn_cropped,recipe={recipe}"
    f",teacher={network},student={network}"
  )
  assert config.teacher.optimizer.learning_rate <= 0.1
  assert config.student.optimizer.learning_rate <= 0.1


@pytest.mark.parametrize("recipe", ["ours", "published"])
def test_transformers_have_adam(recipe):
  """With SGD the loss of a ViT-4 is 2.2 after seven epochs of mnist_5k."""
  config = c.load_config(
    f"configs/cake.py:recipe={recipe},teacher=vit4,student=vit4_half"
  )
  for block in (config.teacher, config.student):
    assert (block.optimizer.name, block.optimizer.learning_rate) == (
      "adam", 1e-3,
    )  # fmt: skip
  cells = c.load_config("configs/teachers_table.py:methods=CAKE").cells
  assert cells.vit_4_cake.config.teacher.optimizer.name == "adam"
  assert cells.mlp_cake.config.teacher.optimizer.name == "sgd"


@pytest.mark.parametrize("dataset", ["mnist_5k", "mnist", "fashion_mnist"])
def test_zsdb3kds_lenets_have_the_published_adam(dataset):
  """With SGD at .1 a teacher of MNIST stayed at 12 %."""
  rate = c.load_config(
    f"configs/zsdb3kd.py:dataset={dataset}"
  ).teacher.optimizer
  assert (rate.name, rate.learning_rate) == ("adam", 5e-4)


def test_cake_keeps_the_rate_of_the_released_code_for_resnets():
  config = c.load_config("configs/cake.py:dataset=cifar10,recipe=published")
  assert config.teacher.optimizer.learning_rate == 0.5
  assert config.student.optimizer.learning_rate == 0.5


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_dd_has_the_authors_script_for_grey_images(dataset):
  config = c.load_config(f"configs/dd.py:dataset={dataset}")
  rate = config.student.round_optimizer
  assert (rate.name, rate.learning_rate, rate.weight_decay) == (
    "sgd", 0.01, 1e-4,
  )  # fmt: skip
  synthesis = config.synthesis
  assert (synthesis.num_rounds, synthesis.batch_size) == (40, 512)
  # 50 updates of the generator and 5 of the student for each.
  assert (synthesis.steps_per_round, synthesis.student_steps) == (250, 5)
  assert synthesis.latents == 100
  assert config.teacher.optimizer.learning_rate == 0.01
