"""A server applies defences of the answer, by name and by the older flags."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from served_network import SPEC, images, linear, logits

from jaxkd.defenses import AnswerDefense, with_answer_defense
from jaxkd.serve import answers
from jaxkd.serve.answers import ServerConfig
from jaxkd.serve.inference import InferenceService
from jaxkd.teachers.oracles import BlackBox
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


def test_all_that_is_applied_is_described_in_its_order():
  assert answers.described(ServerConfig()) == []
  config = ServerConfig(
    defense="rounding:decimals=3", access="top_k", top_k=2, decimals=1
  )
  assert answers.described(config) == [
    "rounding:decimals=3",
    "top_k:count=2",
    "rounding:decimals=1",
  ]


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


def test_scores_are_short_and_the_same_to_the_last_place():
  scores = np.array([0.1, 1 / 3, 1e-9, 0.25], np.float32)
  short = answers.shortened(scores)
  np.testing.assert_array_max_ulp(short.astype(np.float32), scores, 1)
  assert short.tolist()[0] == 0.1


def test_rounded_answers_have_no_more_than_their_decimals():
  hundredths = np.arange(101) / 100
  probs = jnp.asarray(np.stack([hundredths, 1 - hundredths], -1) + 1e-4)
  (rounding,) = chain(decimals=2)
  told = np.asarray(jax.jit(rounding)(probs, probs))
  assert answers.shortened(told)[:, 0].tolist() == hundredths.tolist()


def test_a_server_and_a_teacher_in_process_answer_alike():
  defense = "additive_noise:scale=0.3,secret=7"
  service = InferenceService(linear(), SPEC, ServerConfig(defense=defense))
  body = {"instances": images(5).tolist()}
  served = service.predict(json.dumps(body).encode())[0]["predictions"]
  defended = with_answer_defense(linear(), answers.parse(defense))
  black_box = BlackBox(defended, "probs")
  np.testing.assert_allclose(
    np.exp(black_box.answer(jnp.asarray(images(5)))), served, atol=2e-6
  )
