"""Sanity checks find faulty teachers, and accept sound ones."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import jaxkd
from jaxkd import data, models
from jaxkd.evaluation import sanity_checks
from jaxkd.export import stablehlo
from jaxkd.pipeline import rounds
from jaxkd.serialization.stablehlo import from_export
from jaxkd.types import DataSpec, JaxkdError

CONFIGS = Path(__file__).parents[2] / "configs"
SPEC = DataSpec("pets", (4, 6, 3), 5, (0.5,) * 3, (0.5,) * 3)
KERNEL = jax.random.normal(jax.random.key(0), (4 * 6 * 3, 5))


def teacher(answer):
  """Returns a teacher that applies `answer` to a linear network's logits."""

  def network(kernel, images):
    return answer(images.reshape(len(images), -1) @ kernel)

  return jaxkd.from_function(network, KERNEL, name="theirs")


def test_a_sound_teacher_is_accepted():
  assert sanity_checks.check_teacher(teacher(lambda x: x), SPEC) == []
  assert sanity_checks.check_teacher(teacher(jax.nn.log_softmax), SPEC) == []
  assert (
    sanity_checks.check_teacher(teacher(lambda x: x.astype("bfloat16")), SPEC)
    == []
  )


@pytest.mark.parametrize("name", ["lenet5", "ideal_lenet", "mlp"])
def test_untrained_networks_of_the_zoo_are_sound(name):
  spec = data.spec("two_moons" if name == "mlp" else "mnist")
  if name != "mlp":
    spec = spec._replace(shape=(32, 32, 1))
  network = models.init(name, jax.random.key(0), spec)
  assert sanity_checks.check_teacher(network, spec) == []


@pytest.mark.parametrize(
  ("answer", "message"),
  [
    (jax.nn.softmax, "returns probabilities, not logits; .*output_kind=prob"),
    (lambda x: x[:, :3], "answers an image with .3. numbers, .* 5 classes"),
    (lambda x: x.sum(), "answers an image with .. numbers"),
    (lambda x: jnp.log(x - x), "NaN or infinity .100% of"),
    (lambda x: x.at[0, 0].set(jnp.nan), "NaN or infinity .2% of"),
    (lambda x: 0 * x, "the same answer to every image"),
    (lambda x: jnp.ones_like(x) + 1e-9 * x, "the same answer to every image"),
    (lambda x: x @ x, "fails on images of shape .8, 4, 6, 3.: TypeError"),
  ],
)
def test_a_faulty_teacher_is_refused(answer, message):
  with pytest.raises(JaxkdError, match=message) as error:
    sanity_checks.check_teacher(teacher(answer), SPEC)
  assert "'theirs'" in str(error.value)
  assert len(str(error.value).splitlines()) == 1


def test_a_teacher_for_other_images_is_refused():
  with pytest.raises(JaxkdError, match="fails on images of shape .8, 5, 6, 3."):
    sanity_checks.check_teacher(
      teacher(lambda x: x), SPEC._replace(shape=(5, 6, 3))
    )


def one_number(answer, **options):
  spec = SPEC._replace(num_classes=2)
  network = lambda kernel, x: answer(x.reshape(len(x), -1) @ kernel[:, :1])
  return jaxkd.from_function(network, KERNEL, name="theirs", **options), spec


def test_one_number_that_may_be_a_probability_needs_a_word():
  assert not sanity_checks.check_teacher(*one_number(lambda x: x))
  with pytest.raises(JaxkdError, match=r"one number.*kind=sigmoid.*=logits"):
    sanity_checks.check_teacher(*one_number(jax.nn.sigmoid))
  for kind in ("sigmoid", "logits"):
    said = one_number(jax.nn.sigmoid, output_kind=kind)
    assert not sanity_checks.check_teacher(*said)


def test_several_sigmoids_cause_a_warning():
  (line,) = sanity_checks.check_teacher(teacher(jax.nn.sigmoid), SPEC)
  assert "--config.teacher.output_kind=sigmoid" in line


def test_huge_logits_cause_a_warning():
  (line,) = sanity_checks.check_teacher(teacher(lambda x: 1e5 * x), SPEC)
  assert "gradients vanish" in line
  assert "normaliser" in line


def test_an_artefact_is_slower_on_the_cpu():
  artefact = stablehlo.serialize(teacher(lambda x: x), SPEC)
  network = from_export(artefact, SPEC, "theirs.stablehlo")
  (line,) = sanity_checks.check_teacher(network, SPEC)
  assert "exported whole by jax.export" in line
  assert "teacher.factory" in line


def test_warnings_are_lines(capsys):
  sanity_checks.warn(["one", "two"])
  assert capsys.readouterr().out == "Warning: one\nWarning: two\n"


@pytest.mark.parametrize("method", ["deepinversion", "cmi"])
def test_a_teacher_without_batch_norm_is_refused_before_the_rounds(
  method, tmp_path, monkeypatch
):
  monkeypatch.setattr(rounds, "compile_round", None)  # no round is played
  config = jaxkd.load_config(f"{CONFIGS}/{method}.py:dataset=mnist_5k,smoke")
  config.image_size = 32
  spec = data.spec("mnist_5k", 32)
  network = models.init("lenet5", jax.random.key(0), spec)
  with pytest.raises(JaxkdError, match="shows none; choose") as error:
    jaxkd.distill(network, config, tmp_path)
  assert len(str(error.value).splitlines()) == 1
