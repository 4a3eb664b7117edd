"""A server applies defences of the answer, by name and by the older flags."""

import jax.numpy as jnp
import numpy as np
import pytest
from served_network import SPEC, images, logits

from jaxkd.defenses import AnswerDefense
from jaxkd.serve import answers
from jaxkd.serve.answers import ServerConfig
from jaxkd.types import JaxkdError


def chain(**fields):
  return answers.chain(ServerConfig(**fields), SPEC)


def test_older_flags_stand_for_defences_and_come_last():
  assert chain() == ()
  assert chain(access="label") == (AnswerDefense("label_only"),)
  assert chain(defense="label_only", access="top_k", top_k=2, decimals=3) == (
    AnswerDefense("label_only"),
    AnswerDefense("top_k", (("count", 2),)),
    AnswerDefense("rounding", (("decimals", 3),)),
  )


def test_a_defence_is_named_with_its_fields():
  (defense,) = chain(defense="additive_noise:scale=0.5,secret=7")
  assert dict(defense.values) == {"scale": 0.5, "secret": 7}
  pixels = jnp.asarray(images(5), jnp.float32) / 255
  told = answers.changed((defense,), jnp.asarray(logits(images(5))), pixels)
  np.testing.assert_allclose(told.sum(-1), 1, rtol=1e-5)


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"defense": "rouding"}, "Unknown defense 'rouding'. Did you mean roun"),
    ({"defense": "nasty"}, "defense=nasty trains .*additive_noise, label_only"),
    ({"defense": "rounding:digits=1"}, "defense rounding 'digits'"),
    ({"defense": "rounding:decimals=x"}, "rounding.decimals='x': choose an in"),
    ({"defense": "rounding:decimals"}, "rounding.decimals='': choose an int"),
    ({"defense": "rounding", "access": "logits"}, "access=logits shows more"),
    ({"decimals": 12}, "rounding.decimals=12: .* at most 9"),
  ],
)
def test_a_defence_that_can_not_be_is_refused(fields, message):
  with pytest.raises(JaxkdError, match=message):
    chain(**fields)


def test_scores_are_short_and_the_same_in_float32():
  scores = np.array([0.1, 1 / 3, 1e-9, 0.25], np.float32)
  short = answers.shortened(scores)
  np.testing.assert_array_equal(short.astype(np.float32), scores)
  assert short.tolist()[0] == 0.1
