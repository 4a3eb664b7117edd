"""Tests of HTTP teachers with a local server, with and without faults."""

import datetime
import email.utils
import json
import logging
import re
import shutil
import ssl
import subprocess

from fake_server import NAMES, FakeServer, labels_of, probs_of
import httpx
import numpy as np
import pytest
from remote_blocks import SPEC, queries_block, teacher_block

from jaxkd.errors import JaxkdError
from jaxkd.teachers.ledger import Ledger
from jaxkd.teachers.remote import served_teacher, transport as transports
from jaxkd.teachers.remote.headers import (
  RequestHeaders,
  Token,
  retry_after_s,
)

TOKEN = "sk-Very/Secret+Token=="


@pytest.fixture(autouse=True)
def alone(monkeypatch):
  """Shortens the waits, and takes no proxy."""
  monkeypatch.setattr(transports, "FIRST_WAIT_S", 0.002)
  monkeypatch.setattr(served_teacher, "PREFLIGHT_S", 1.0)
  monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def ledger(tmp_path):
  with Ledger(tmp_path / "ledger.jsonl", budget=10_000) as ledger:
    yield ledger


@pytest.fixture
def open_to(ledger):
  """Opens remote teachers, and closes them at the end."""
  opened = []

  def open_to(url, queries=(), **fields):
    remote = served_teacher.open_teacher(
      SPEC, teacher_block(url, **fields), queries_block(**dict(queries)), ledger
    )
    opened.append(remote)
    return remote

  yield open_to
  for remote in opened:
    remote.close()


def some_images(count, seed=0):
  key = np.random.default_rng(seed)
  return key.integers(0, 256, (count, 4, 4, 1), np.uint8)


@pytest.mark.parametrize("datatype", ["UINT8", "FP32"])
def test_v2_gives_the_answers_in_order(open_to, ledger, datatype):
  images = some_images(60)
  with FakeServer(datatype=datatype) as server:
    server.delays.extend([0.4, 0.3, 0.2])
    answers = open_to(server.url).answer(images)
    assert server.max_in_flight == 4
    assert server.requests == 8
    assert server.images == ledger.totals().sent == 60
    assert server.headers["User-Agent"].startswith("jaxkd/")
  np.testing.assert_array_equal(answers, labels_of(images))


@pytest.mark.parametrize(
  ("access", "output", "extensions"),
  [
    ("probs", "FP32", ()),
    ("top_k", "FP32", ["classification"]),
    ("label", "FP32", ["classification"]),
    ("label", "INT64", ["classification"]),
  ],
)
def test_v2_by_access(open_to, access, output, extensions):
  images = some_images(9)
  with FakeServer(output=output, extensions=extensions) as server:
    answers = open_to(server.url, access=access).answer(images)
  if access == "label":
    np.testing.assert_array_equal(answers, labels_of(images))
  else:
    np.testing.assert_allclose(np.exp(answers), probs_of(images), rtol=1e-5)


def test_v1_and_templates(open_to, ledger):
  images = some_images(6)
  png = {"labels": NAMES}
  text = {
    "body": '{"image": "{{image_b64}}"}',
    "content_type": "application/json",
    "response": "found.0.id",
  }
  with FakeServer() as server:
    for seed, fields in enumerate(
      (
        {"protocol": "v1"},
        {"protocol": "template", "template": png},
        {"protocol": "template", "template": text},
      )
    ):
      images = some_images(6, seed)
      answers = open_to(f"{server.url}/any", **fields).answer(images)
      np.testing.assert_array_equal(answers, labels_of(images))
    assert server.requests == 1 + 6 + 6
    assert server.images == ledger.totals().sent == 18


FAULTS = {
  "retry 429": "refused",
  "retry 429 retry-after-ms: 1": "refused",
  "retry 503 Retry-After: Fri, 31 Dec 1999 23:59:59 GMT": "refused",
  "retry 500": "unknown",
  "retry 502": "unknown",
  "retry 504": "unknown",
  "stall": "unknown",
  "reset": "unknown",
  "truncated": "unknown",
  "cut": "unknown",
  "reordered": "answered",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_survived_and_recorded(open_to, ledger, fault):
  images = some_images(8)
  with FakeServer([fault]) as server:
    remote = open_to(server.url, {"deadline_s": 1.0})
    np.testing.assert_array_equal(remote.answer(images), labels_of(images))
    totals = ledger.totals()
    assert server.images == totals.sent
  failed = 0 if FAULTS[fault] == "answered" else 8
  assert totals.sent == 8 + failed
  assert totals.answered == 8
  assert totals.unknown == (8 if FAULTS[fault] == "unknown" else 0)
  assert totals.refused == (8 if FAULTS[fault] == "refused" else 0)
  assert totals.by_kind["retry"] == totals.unknown


def test_many_faults_at_once(open_to, ledger):
  faults = [fault for fault in FAULTS if fault != "stall"] * 4
  np.random.default_rng(0).shuffle(faults)
  images = some_images(400)
  with FakeServer(faults) as server:
    remote = open_to(server.url, {"deadline_s": 30.0, "max_unanswered": 100})
    np.testing.assert_array_equal(remote.answer(images), labels_of(images))
    totals = ledger.totals()
    assert server.images <= totals.sent
  assert totals.spent == totals.answered + totals.unknown
  assert (totals.answered, totals.in_flight) == (400, 0)


@pytest.mark.parametrize(
  ("fault", "message"),
  [
    ("wrong shape", "its shape"),
    ("wrong count", "7 answers to 8 images"),
  ],
)
def test_a_wrong_answer_names_the_request_and_stays_spent(
  open_to, ledger, fault, message
):
  with FakeServer([fault], output="INT64") as server:
    remote = open_to(server.url)
    with pytest.raises(JaxkdError, match=f"Request 1 .8 images.*{message}"):
      remote.answer(some_images(8))
    assert server.requests == 1
  assert (ledger.totals().unknown, ledger.totals().spent) == (8, 8)


@pytest.mark.parametrize(
  ("fault", "message"),
  [("nan", "not valid. .*NaN"), ("range", "not valid. .*the class 10")],
)
def test_an_answer_that_is_not_valid_leaves_the_others(
  open_to, ledger, capsys, fault, message
):
  images = some_images(8)
  with FakeServer([fault], output="INT64") as server:
    answers = open_to(server.url).answer(images)
    assert server.requests == 1
  assert answers[0] == -1
  np.testing.assert_array_equal(answers[1:], labels_of(images)[1:])
  assert (ledger.totals().wrong, ledger.totals().spent) == (1, 8)
  said = capsys.readouterr().out
  assert re.search(f"Warning: request 1: 1 of 8.*{message}", said)


def test_an_unknown_name_is_said(open_to, ledger, capsys):
  with FakeServer(["name"]) as server:
    remote = open_to(
      server.url, protocol="template", template={"labels": NAMES}
    )
    assert remote.answer(some_images(1)) == -1
  assert "'nameX'. Did you mean" in capsys.readouterr().out
  assert (ledger.totals().wrong, ledger.totals().spent) == (1, 1)


@pytest.mark.parametrize(
  ("status", "spent"),
  [(401, 0), (403, 0), (404, 0), (415, 0), (421, 0)]
  + [(400, 8), (402, 8), (409, 8), (422, 8), (424, 8), (499, 8), (501, 8)],
)
def test_what_is_not_repeated_is_free_only_if_nothing_was_done(
  open_to, ledger, status, spent
):
  with FakeServer([str(status)]) as server:
    remote = open_to(server.url)
    with pytest.raises(JaxkdError, match=f"Request 1 .*{status} .*said"):
      remote.answer(some_images(8))
    assert server.requests == 1
  totals = ledger.totals()
  assert (totals.spent, totals.unknown, totals.refused) == (
    spent, spent, 8 - spent,
  )  # fmt: skip


@pytest.mark.parametrize(
  "words",
  [
    '400 {"__type": "TooManyRequestsException"}',
    '400 {"__type": "ThrottlingException", "message": "Rate exceeded"}',
    '403 {"error": {"errors": [{"reason": "rateLimitExceeded"}]}}',
    "400 ProvisionedThroughputExceededException",
    "400 Model net is not ready",
    "404 Model is currently loading",
    "422 Quota exceeded for online prediction requests, try again later",
  ],
)
def test_limits_and_waking_up_may_be_told_in_words(open_to, ledger, words):
  images = some_images(8)
  with FakeServer([words] * 5) as server:
    answers = open_to(server.url).answer(images)
  np.testing.assert_array_equal(answers, labels_of(images))
  assert (ledger.totals().refused, ledger.totals().spent) == (40, 8)


def test_a_type_of_error_may_stand_in_a_header(open_to, ledger):
  fault = "retry 400 x-amzn-errortype: ThrottlingException:http://internal/"
  with FakeServer([fault]) as server:
    open_to(server.url).answer(some_images(8))
  assert (ledger.totals().refused, ledger.totals().spent) == (8, 8)


@pytest.mark.parametrize(
  "words",
  [
    "400 exceeds the maximum batch size of 3",
    "400 inference request batch-size must be <= 3 for 'net'",
    "400 Request payload size exceeds the limit: 1572864 bytes.",
    "422 List should have at most 3 items after validation",
    "400 Content-Length too long",
    "400 RESOURCE_EXHAUSTED: received message larger than max (12 vs. 4)",
  ],
)
def test_a_limit_of_size_may_be_told_in_words(open_to, ledger, words):
  images = some_images(8)
  with FakeServer(max_images=3, too_many=words) as server:
    remote = open_to(server.url, {"max_in_flight": 1})
    np.testing.assert_array_equal(remote.answer(images), labels_of(images))
    remote.answer(some_images(4, seed=1))
    assert server.images == ledger.totals().sent == 8 + 4 + 8 + 4
  assert ledger.totals().spent == 12


@pytest.mark.parametrize(
  "words",
  [
    "500 inference request batch-size must be <= 4 for 'net'",
    "502 exceeds the maximum batch size",
    "200 Too many instances in the request: 8 (limit 4)",
  ],
)
def test_a_limit_of_size_after_the_work_is_spent(open_to, ledger, words):
  images = some_images(8)
  with FakeServer(max_images=4, too_many=words, bills=lambda _: 1) as server:
    remote = open_to(server.url, {"max_in_flight": 1})
    np.testing.assert_array_equal(remote.answer(images), labels_of(images))
    remote.answer(some_images(4, seed=1))
    assert server.billed == ledger.totals().spent == 8 + 8 + 4


@pytest.mark.parametrize(
  ("fault", "spent"), [("half 429", 8), ("half 500", 16), ("close", 16)]
)
def test_a_status_counts_even_if_its_body_is_cut(open_to, ledger, fault, spent):
  images = some_images(8)
  with FakeServer([fault]) as server:
    answers = open_to(server.url).answer(images)
  np.testing.assert_array_equal(answers, labels_of(images))
  assert ledger.totals().spent == spent


def test_a_408_may_come_after_the_work(open_to, ledger):
  images = some_images(8)
  with FakeServer(["408"], bills=lambda fault: True) as server:
    answers = open_to(server.url).answer(images)
    np.testing.assert_array_equal(answers, labels_of(images))
    assert server.billed == ledger.totals().spent == 16


def test_redirects_in_a_circle_end(open_to, ledger):
  with FakeServer([f"redirect 307 /{n}" for n in range(9)]) as server:
    with pytest.raises(JaxkdError, match="in a circle; set teacher.url"):
      open_to(server.url).answer(some_images(1))
    assert server.requests == 6
  assert ledger.totals().spent == 0


def test_the_idempotency_key_stays_the_same_on_a_retry(open_to):
  keys = []
  with FakeServer(["500", "429"]) as server:
    server.bills = lambda fault: keys.append(server.headers["Idempotency-Key"])
    remote = open_to(server.url, {"idempotency_key": True})
    remote.answer(some_images(4))
    remote.answer(some_images(4, seed=1))
    server.bills = lambda fault: True
    open_to(server.url).answer(some_images(4, seed=2))
    assert "Idempotency-Key" not in server.headers
  assert len(keys) == 4
  assert keys[0] == keys[1] == keys[2] != keys[3]


def test_413_halves(open_to, ledger):
  images = some_images(16)
  with FakeServer() as server:
    server.max_images = 3
    remote = open_to(server.url, {"max_in_flight": 1})
    np.testing.assert_array_equal(remote.answer(images), labels_of(images))
    assert server.images == ledger.totals().sent == 8 + 4 + 16
  assert ledger.totals().spent == 16


def test_no_server_is_an_error_that_costs_nothing(open_to, ledger):
  with FakeServer() as server:
    remote = open_to(server.url, {"deadline_s": 0.2})
  with pytest.raises(JaxkdError, match="no answer within 0.2 s"):
    remote.answer(some_images(1))
  assert ledger.totals().answered == 0
  with pytest.raises(JaxkdError, match=r"no connection to .*check teacher.url"):
    open_to(server.url)


def test_the_preflight_comes_before_any_query(open_to, ledger):
  with FakeServer(shape=(8, 8, 1)) as server:
    with pytest.raises(JaxkdError, match=r"\[8, 8, 1\].*image_size"):
      open_to(server.url)
    with pytest.raises(JaxkdError, match="no metadata of other: .*model_name"):
      open_to(server.url, model_name="other")
    assert server.requests == 0
  assert ledger.totals().sent == 0


def test_metadata_may_have_moved_on_the_server(open_to):
  images = some_images(3)
  with FakeServer() as server:
    remote = open_to(f"{server.url}/old?version=1")
    np.testing.assert_array_equal(remote.answer(images), labels_of(images))


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_on_the_server_keeps_the_body(open_to, ledger, status):
  images = some_images(16)
  with FakeServer([f"redirect {status} /elsewhere"]) as server:
    remote = open_to(server.url, {"max_in_flight": 1})
    np.testing.assert_array_equal(remote.answer(images), labels_of(images))
    assert server.images == ledger.totals().sent == 24
  assert ledger.totals().spent == 16


@pytest.mark.parametrize(
  ("status", "target", "message"),
  [
    (301, "/elsewhere", "drop the images"),
    (302, "/elsewhere", "drop the images"),
    (307, "http://localhost:1/", "another server"),
    (308, "https://127.0.0.1/", "another server"),
    (307, "//me:pass@HOST/", "another server"),
    (307, "http://[", "another server"),
  ],
)
def test_other_redirects_are_refused(open_to, ledger, status, target, message):
  with FakeServer() as server:
    target = target.replace("HOST", server.url.removeprefix("http://"))
    server.faults.append(f"redirect {status} {target}")
    with pytest.raises(JaxkdError, match=message):
      open_to(server.url).answer(some_images(1))
    assert server.requests == 1
  assert ledger.totals().spent == 0


@pytest.mark.parametrize("source", ["variable", "file"])
def test_the_token_goes_into_the_header_only(
  open_to, ledger, tmp_path, monkeypatch, caplog, capfd, source
):
  caplog.set_level(logging.DEBUG)
  monkeypatch.setenv("TEACHER_TOKEN", TOKEN)
  (tmp_path / "token").write_text(f"{TOKEN}\n")
  name = {"variable": "TEACHER_TOKEN", "file": f"file:{tmp_path / 'token'}"}
  messages = []
  with FakeServer(["", "403", "echo"]) as server:
    fields = {"token_env": name[source], "protocol": "template"}
    fields["template"] = {"labels": NAMES}
    remote = open_to(server.url, **fields)
    for seed in range(3):
      try:
        remote.answer(some_images(1, seed))
      except JaxkdError as error:
        messages += [str(error), repr(error.__cause__)]
      assert server.headers["Authorization"] == f"Bearer {TOKEN}"
    described = repr(remote) + str(vars(remote)) + repr(vars(remote._transport))
  assert len(messages) == 2
  assert "[token]" in messages[0]
  written = (tmp_path / "ledger.jsonl").read_text()
  printed = capfd.readouterr()
  assert "[token]" in printed.out  # what the answer that is not valid repeats
  everything = [*messages, written, caplog.text, *printed, described]
  assert "Secret" not in "".join(everything)


@pytest.mark.parametrize(
  "form", ["{}", "<a href='?key={}'>", '{{"token": "{}"}}', "x" * 290 + "{}"]
)
def test_a_token_is_redacted_before_a_message_is_cut(monkeypatch, form):
  monkeypatch.setenv("TEACHER_TOKEN", TOKEN)
  redact = Token("TEACHER_TOKEN").redact
  for written in (
    TOKEN,
    "sk-Very\\/Secret+Token==",
    "sk-Very%2FSecret%2BToken%3D%3D",
  ):
    assert "Very" not in redact(form.format(written))


@pytest.mark.parametrize(
  ("header", "value"),
  [
    ("Prediction-Key", TOKEN),
    ("x-api-key", TOKEN),
    ("authorization", f"Bearer {TOKEN}"),
  ],
)
def test_another_header_carries_the_token_alone(
  open_to, monkeypatch, header, value
):
  monkeypatch.setenv("TEACHER_TOKEN", TOKEN)
  fields = {"token_env": "TEACHER_TOKEN", "protocol": "template"}
  fields["template"] = {"labels": NAMES, "header": header}
  with FakeServer() as server:
    open_to(server.url, **fields).answer(some_images(1))
    assert server.headers[header] == value
    named = [name.lower() for name in server.headers]
    assert ("authorization" in named) == (header == "authorization")


@pytest.mark.parametrize("header", ["", "Host", "content-type", "key: secret"])
def test_a_header_that_can_not_carry_a_token(monkeypatch, header):
  monkeypatch.setenv("TEACHER_TOKEN", TOKEN)
  with pytest.raises(JaxkdError, match="teacher.template.header") as error:
    Token("TEACHER_TOKEN", header)
  assert "secret" not in str(error.value)


@pytest.mark.parametrize("value", ["", "abc", "two words", "zwölf", "a\nb: c"])
def test_a_token_that_fits_no_header(monkeypatch, value):
  monkeypatch.setenv("TEACHER_TOKEN", value)
  with pytest.raises(JaxkdError, match="token_env") as error:
    Token("TEACHER_TOKEN")
  assert not value or value not in str(error.value)


def test_a_token_in_the_wrong_place_is_not_repeated(tmp_path):
  for source in (TOKEN, f"file:{tmp_path}/{TOKEN}"):
    with pytest.raises(JaxkdError, match="token_env") as error:
      Token(source)
    assert "Secret" not in str(error.value)


@pytest.mark.parametrize(
  ("url", "message"),
  [
    ("http://me:pass@host/", "a user or a password"),
    ("ftp://host/", "choose https"),
    ("host:80", "choose https"),
    ("", "choose https"),
    ("http://host:port", "teacher.url has the port 'port'"),
    ("http://127.0.0.1:99999", "port '99999': choose a number from 1 to 65535"),
    ("http://me:pa/ss@host:0", "teacher.url"),
    ("http://a host", "teacher.url is not a url"),
    ("http://host /path", "teacher.url is not a url"),
    ("http://a%20host", "teacher.url is not a url"),
  ],
)
def test_urls_that_cannot_be(open_to, url, message):
  with pytest.raises(JaxkdError, match=message) as error:
    open_to(url)
  assert "pass@" not in str(error.value)


def test_fields_that_cannot_be(open_to):
  with pytest.raises(JaxkdError, match="teacher.authorization is empty"):
    open_to("http://host", authorization=" ")
  with pytest.raises(JaxkdError, match="teacher.access 'white_box'"):
    open_to("http://host", access="white_box")


def test_retry_after_in_all_forms():
  def parsed(**headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return retry_after_s(httpx.Headers(named))

  soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=30)
  assert parsed(retry_after="7") == 7.0
  assert parsed(retry_after_ms="20", retry_after="7") == 0.02
  assert 28 < parsed(retry_after=email.utils.format_datetime(soon, True)) <= 30
  assert 28 < parsed(retry_after=soon.strftime("%a %b %d %H:%M:%S %Y")) <= 30
  assert parsed(retry_after="Fri, 31 Dec 1999 23:59:59 GMT") == 0.0
  assert parsed(retry_after="-3") == 0.0
  for nothing in ("soon", "nan", "inf", ""):
    assert parsed(retry_after=nothing) is None
  assert parsed() is None


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")
def test_certificates_are_verified(open_to, ledger, tmp_path, monkeypatch):
  key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
  subprocess.run(
    ["openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]
    + ["-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=localhost"]
    + ["-addext", "subjectAltName=IP:127.0.0.1"]
    + ["-keyout", str(key), "-out", str(certificate)],
    check=True,
    capture_output=True,
  )
  tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
  tls.load_cert_chain(certificate, key)
  images = some_images(3)
  with FakeServer(tls=tls) as server:
    with pytest.raises(JaxkdError, match="CERTIFICATE_VERIFY_FAILED"):
      open_to(server.url)
    assert ledger.totals().sent == server.requests == 0
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    answers = open_to(server.url).answer(images)
  np.testing.assert_array_equal(answers, labels_of(images))


def test_metadata_that_say_nothing_are_replaced_by_fields(open_to):
  images = some_images(9)
  fields = {"input": {"name": "x", "datatype": "FP32", "shape": (1, 4, 4)}}
  with FakeServer() as server:
    server.metadata = {"name": "net", "inputs": [], "outputs": []}
    with pytest.raises(JaxkdError, match="set teacher.input.name"):
      open_to(server.url)
    server.predictions = None
    answers = open_to(server.url, **fields, output="y").answer(images)
    np.testing.assert_array_equal(answers, labels_of(images))
    # Without metadata at all, and with an output that the reply names.
    server.get_faults.extend(["404 none"] * 3)
    answers = open_to(server.url, **fields).answer(some_images(9, seed=1))
    np.testing.assert_array_equal(answers, labels_of(some_images(9, seed=1)))
    server.get_faults.extend(["", "404 none"])
    with pytest.raises(JaxkdError, match=r"no metadata.*teacher.input.name"):
      open_to(server.url)


@pytest.mark.parametrize("fault", ["404 none", "405 no"])
def test_a_server_may_lack_all_but_the_metadata_of_its_model(open_to, fault):
  with FakeServer() as server:
    server.get_faults.extend([fault, "", fault])
    answers = open_to(server.url).answer(some_images(3))
  np.testing.assert_array_equal(answers, labels_of(some_images(3)))


@pytest.mark.parametrize("fault", ["400 unknown", "501 no", "413 no"])
def test_metadata_that_cannot_be_read_are_replaced_by_fields(open_to, fault):
  with FakeServer() as server:
    server.get_faults.extend(["", fault])
    with pytest.raises(JaxkdError, match=f"{fault[:3]}.*set teacher.input.nam"):
      open_to(server.url)
    server.get_faults.extend(["", fault])
    fields = {"input": {"name": "x", "datatype": "UINT8", "shape": ()}}
    open_to(server.url, **fields).answer(some_images(1))


@pytest.mark.parametrize(
  "waking", ["400 no", "503 scaling from zero", "500 oops", "408 slow"]
)
def test_a_server_that_is_waking_up_is_waited_for(open_to, capsys, waking):
  images = some_images(3)
  with FakeServer() as server:
    server.get_faults.extend([waking, waking])
    answers = open_to(server.url).answer(images)
  np.testing.assert_array_equal(answers, labels_of(images))
  assert "Waiting for the server of the teacher: " in capsys.readouterr().out


def test_a_first_request_that_takes_long_is_waited_for(open_to, monkeypatch):
  monkeypatch.setattr(served_teacher, "PREFLIGHT_S", 0.2)
  images = some_images(3)
  with FakeServer() as server:
    server.get_faults.append("wait 0.5")
    answers = open_to(server.url, {"deadline_s": 30.0}).answer(images)
  np.testing.assert_array_equal(answers, labels_of(images))


def test_a_server_that_never_wakes_ends_at_the_deadline(open_to):
  with FakeServer() as server:
    server.get_faults.extend(["400 not yet"] * 1000)
    with pytest.raises(JaxkdError, match="within 0.3 s.*400 .*not yet"):
      open_to(server.url, {"deadline_s": 0.3})


def test_a_host_that_does_not_exist_ends_soon(open_to, monkeypatch):
  monkeypatch.setattr(served_teacher, "PREFLIGHT_S", 0.2)
  with pytest.raises(JaxkdError, match="no connection to nowhere.invalid"):
    open_to("http://nowhere.invalid", {"deadline_s": 3000.0})


@pytest.mark.parametrize(
  ("variable", "value", "message"),
  [
    ("SSL_CERT_FILE", "/nowhere/ca.pem", "in SSL_CERT_FILE .*No such file"),
    ("SSL_CERT_FILE", __file__, "in SSL_CERT_FILE"),  # it holds no certificate
    ("NO_PROXY", "::1,fe80::/10", "in NO_PROXY is not a proxy"),
    ("HTTP_PROXY", "127.0.0.1:1", "through the proxy in HTTP_PROXY"),
  ],
)
def test_an_environment_that_cannot_be(
  open_to, monkeypatch, variable, value, message
):
  monkeypatch.setattr(served_teacher, "PREFLIGHT_S", 0.1)
  monkeypatch.delenv("NO_PROXY")
  monkeypatch.delenv("SSL_CERT_DIR", raising=False)
  monkeypatch.setenv(variable, value)
  with pytest.raises(JaxkdError, match=message):
    open_to("http://models.example")


@pytest.mark.parametrize("variable", ["ALL_PROXY", "all_proxy", "HTTP_PROXY"])
def test_a_proxy_of_the_environment(open_to, monkeypatch, variable):
  monkeypatch.delenv("NO_PROXY")
  monkeypatch.setenv(variable, "socks5://me:secret@127.0.0.1:1")
  images = some_images(3)
  with FakeServer() as server:
    answers = open_to(server.url).answer(images)
  np.testing.assert_array_equal(answers, labels_of(images))
  with pytest.raises(JaxkdError, match=f"{variable.upper()} needs .*socksio"):
    open_to("http://models.example")
  monkeypatch.setenv(variable, "nonsense://127.0.0.1:1")
  with pytest.raises(JaxkdError, match=f"{variable.upper()} is not a proxy"):
    open_to("http://models.example")


def test_further_headers_are_sent_and_their_secrets_kept(
  open_to, ledger, tmp_path, monkeypatch
):
  monkeypatch.setenv("KEY", "very-secret")
  (tmp_path / "key").write_text("also-secret")
  headers = (
    "Host: digits.example.com",
    "x-key: env:KEY",
    f"x-other: file:{tmp_path / 'key'}",
  )
  with FakeServer(["", "403"]) as server:
    remote = open_to(server.url, headers=headers)
    remote.answer(some_images(1))
    assert server.headers["Host"] == "digits.example.com"
    assert server.headers["x-key"] == "very-secret"
    assert server.headers["x-other"] == "also-secret"
    with pytest.raises(JaxkdError, match="403") as error:
      remote.answer(some_images(1, seed=1))
  assert "[token]" in str(error.value)
  assert "secret" not in str(error.value)


@pytest.mark.parametrize(
  ("line", "message"),
  [
    ("Host", "'Host' is not the name"),
    ("a b: c", "'a b' is not the name"),
    ("Content-Type: x", "Content-Type is set by the protocol"),
    ("x: env:NONE", "x is to come from env:NONE"),
    ("x: file:/none", "x is to come from file:/none"),
    ("x: zwölf", "the value of x"),
  ],
)
def test_headers_that_cannot_be(open_to, line, message):
  with pytest.raises(JaxkdError, match=f"teacher.headers: .*{message}"):
    open_to("http://127.0.0.1:1", headers=(line,))


@pytest.mark.parametrize("late", ["", "401", "403"])
def test_a_token_may_be_renewed_in_a_run(open_to, ledger, tmp_path, late):
  path = tmp_path / "token"
  path.write_text("old-token")
  with FakeServer(["", late]) as server:
    remote = open_to(server.url, token_env=f"file:{path}")
    remote.answer(some_images(1))
    if late:  # it is renewed while the request is under way
      server.bills = lambda fault: path.write_text("new-token")
    else:
      path.write_text("new-token")
    images = some_images(1, seed=1)
    np.testing.assert_array_equal(remote.answer(images), labels_of(images))
    assert server.headers["Authorization"] == "Bearer new-token"
  assert ledger.totals().spent == 2


@pytest.mark.parametrize("value", ["Basic dXNlcjpwYXNz", "Api-Key abcd.efgh"])
def test_a_token_may_name_its_scheme(open_to, monkeypatch, value):
  monkeypatch.setenv("TEACHER_TOKEN", value)
  with FakeServer(["403"]) as server:
    with pytest.raises(JaxkdError) as error:
      open_to(server.url, token_env="TEACHER_TOKEN").answer(some_images(1))
    assert server.headers["Authorization"] == value
  assert value.split()[1] not in str(error.value)


@pytest.mark.parametrize(
  "text",
  [
    '"ya29.secret"',  # as a query of a field prints it
    '{"kind": "ExecCredential", "status": {"token": "ya29.secret"}}',
    "\ufeffya29.secret\r\n",
  ],
)
def test_a_token_may_stand_in_other_forms(tmp_path, text):
  path = tmp_path / "token"
  path.write_text(text, encoding="utf-8")
  token = Token(f"file:{path}")
  assert token.headers() == {"Authorization": "Bearer ya29.secret"}


@pytest.mark.parametrize("name", ["access_token", "accessToken", "token"])
def test_a_token_may_stand_in_the_json_of_a_cloud(tmp_path, name):
  path = tmp_path / "token.json"
  path.write_text(json.dumps({"expires_in": 3599, name: "ya29.secret"}))
  token = Token(f"file:{path}")
  assert token.headers() == {"Authorization": "Bearer ya29.secret"}
  path.write_text("{")  # while it is being written
  assert token.headers() == {"Authorization": "Bearer ya29.secret"}
  with pytest.raises(JaxkdError, match="token_env"):
    Token(f"file:{path}")


def test_a_file_that_is_being_renewed_leaves_the_value_before(tmp_path):
  path = tmp_path / "key"
  path.write_text("first")
  headers = RequestHeaders(Token(), (f"x-key: file:{path}",))
  path.unlink()
  assert headers.headers() == {"x-key": "first"}
  path.write_text("second")
  assert headers.headers() == {"x-key": "second"}
  assert headers.redact("first second") == "[token] [token]"
