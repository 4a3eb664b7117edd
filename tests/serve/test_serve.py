"""Tests of the server through real sockets on the loopback interface."""

from concurrent.futures import ThreadPoolExecutor
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
httpx = pytest.importorskip("httpx")

from jaxkd import models  # noqa: E402
from jaxkd.serialization import weights  # noqa: E402
from jaxkd.serve.app import build_app  # noqa: E402
from jaxkd.serve.inference import ServerConfig  # noqa: E402
from jaxkd.serve.metering import TokenBucket  # noqa: E402
from jaxkd.serve.server import serving  # noqa: E402
from jaxkd.types import (  # noqa: E402
  DataSpec,
  JaxkdError,  # noqa: E402
)

SPEC = DataSpec("tiny", (4, 3, 1), 5, (0.5,), (0.5,))
INFER, PREDICT = "/v2/models/teacher/infer", "/v1/models/teacher:predict"


def linear():
  kernel = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
  return models.from_function(
    lambda kernel, images: images.reshape(len(images), -1) @ kernel,
    jnp.asarray(kernel),
    mean=SPEC.mean,
    std=SPEC.std,
  )


def images(count, seed=0):
  shape = (count, *SPEC.shape)
  return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def tensor(pixels, datatype="UINT8", **changes):
  described = {"name": "images", "datatype": datatype} | {
    "shape": list(pixels.shape),
    "data": pixels.ravel().tolist(),
  }
  return {"inputs": [described | changes]}


def logits(pixels):
  return np.asarray(linear()(jnp.asarray(pixels, jnp.float32) / 255).logits)


def probs(pixels):
  return np.asarray(jax.nn.softmax(logits(pixels)))


@pytest.fixture(scope="module")
def client():
  """Yields a client of a server that gives probabilities at a price."""
  app = build_app(linear(), SPEC, ServerConfig(price_per_1000=2.0))
  with serving(app) as url, httpx.Client(base_url=url) as client:
    yield client


def ask(config, body, path=INFER, **options):
  """Starts a server, and returns its reply to one request."""
  with serving(build_app(linear(), SPEC, config)) as url:
    return httpx.post(url + path, json=body, **options)


def output(reply):
  assert reply.status_code == 200, reply.text
  (data,) = reply.json()["outputs"]
  return np.array(data["data"]).reshape(data["shape"]), data


def refusal(reply, status=400):
  assert reply.status_code == status, reply.text
  assert reply.headers["content-type"] == "application/json"
  assert list(reply.json()) == ["error"]
  return reply.json()["error"]


def test_health_and_metadata(client):
  for path in ("/v2/health/live", "/v2/health/ready", "/v2"):
    assert client.get(path).status_code == 200
  for version in ("", "/versions/1"):
    path = f"/v2/models/teacher{version}"
    assert client.get(f"{path}/ready").json()["ready"] is True
    described = client.get(path).json()
    assert described["inputs"] == [
      {"name": "images", "datatype": "UINT8", "shape": [-1, 4, 3, 1]}
    ]
    assert described["outputs"] == [
      {"name": "probs", "datatype": "FP32", "shape": [-1, 5]}
    ]
    status = client.get(f"/v1/models/teacher{version}").json()
    assert status["model_version_status"][0]["state"] == "AVAILABLE"


@pytest.mark.parametrize("count", [1, 3, 64, 300])  # 300 is more than a chunk
def test_probabilities_are_the_teachers_in_order(client, count):
  pixels = images(count)
  reply = client.post(INFER, json=tensor(pixels) | {"id": "seven"})
  data, described = output(reply)
  np.testing.assert_allclose(data, probs(pixels), rtol=2e-6, atol=1e-7)
  assert described["datatype"] == "FP32"
  assert reply.json()["id"] == "seven"
  assert reply.json()["model_name"] == "teacher"


def test_all_forms_of_an_image_get_the_same_answer(client):
  pixels = images(3)
  floats = (pixels / np.float32(255)).astype(np.float32)
  expected, _ = output(client.post(INFER, json=tensor(pixels)))
  versioned = "/v2/models/teacher/versions/1/infer"
  for path, body in (
    (INFER, tensor(pixels, data=pixels.tolist())),
    (INFER, tensor(floats, "FP32")),
    (versioned, tensor(floats, "FP32", data=floats.tolist())),
  ):
    data, _ = output(client.post(path, json=body))
    np.testing.assert_array_equal(data, expected)
  for instances in (pixels.tolist(), floats.tolist()):
    for path in (PREDICT, "/v1/models/teacher/versions/1:predict"):
      reply = client.post(path, json={"instances": instances})
      np.testing.assert_array_equal(reply.json()["predictions"], expected)


def test_v1_tells_integers_from_floats(client):
  ones = np.ones((1, *SPEC.shape), int)
  dark = client.post(PREDICT, json={"instances": ones.tolist()})
  white = client.post(PREDICT, json={"instances": (ones * 1.0).tolist()})
  np.testing.assert_allclose(dark.json()["predictions"], probs(ones), rtol=1e-5)
  np.testing.assert_allclose(
    white.json()["predictions"], probs(255 * ones), rtol=1e-5
  )


def test_label_access_returns_labels_only():
  pixels = images(6)
  config = ServerConfig(access="label")
  app = build_app(linear(), SPEC, config)
  with serving(app) as url, httpx.Client(base_url=url) as client:
    data, described = output(client.post(INFER, json=tensor(pixels)))
    assert described["datatype"] == "INT64"
    assert described["shape"] == [6]
    np.testing.assert_array_equal(data, logits(pixels).argmax(-1))
    reply = client.post(PREDICT, json={"instances": pixels.tolist()})
    assert reply.json()["predictions"] == data.tolist()
    described = client.get("/v2/models/teacher").json()["outputs"]
    assert described == [{"name": "label", "datatype": "INT64", "shape": [-1]}]
    strings, _ = output(client.post(INFER, json=classified(1, "label")))
    assert strings.tolist() == [[f"1:{label}"] for label in data]
    error = refusal(client.post(INFER, json=classified(2, "label")))
    assert "1 to 1" in error


def classified(count, name="probs"):
  requested = {"name": name, "parameters": {"classification": count}}
  return tensor(images(6)) | {"outputs": [requested]}


def test_classification_gives_the_likeliest_first(client):
  strings, described = output(client.post(INFER, json=classified(3)))
  assert described["datatype"] == "BYTES"
  assert described["shape"] == [6, 3]
  expected = probs(images(6))
  for row, likely in zip(strings, expected, strict=True):
    scores, labels = zip(*(string.split(":") for string in row), strict=True)
    assert [int(n) for n in labels] == np.argsort(-likely)[:3].tolist()
    np.testing.assert_allclose(
      [float(score) for score in scores], np.sort(likely)[::-1][:3], rtol=1e-5
    )


def test_logits_top_k_and_rounded_scores():
  pixels = images(6)
  data, described = output(ask(ServerConfig(access="logits"), tensor(pixels)))
  assert described["name"] == "logits"
  np.testing.assert_allclose(data, logits(pixels), rtol=1e-5, atol=1e-5)

  data, _ = output(ask(ServerConfig(access="top_k", top_k=2), tensor(pixels)))
  expected = probs(pixels)
  likeliest = np.argsort(-expected)[:, :2]
  np.testing.assert_allclose(
    np.take_along_axis(data, likeliest, 1),
    np.take_along_axis(expected, likeliest, 1),
    rtol=1e-5,
  )
  assert all(len(np.unique(row.round(9))) <= 3 for row in data)
  np.testing.assert_allclose(data.sum(-1), 1, rtol=1e-5)
  error = refusal(ask(ServerConfig(access="top_k", top_k=2), classified(3)))
  assert "1 to 2" in error

  reply = ask(ServerConfig(decimals=1), tensor(pixels))
  assert set(output(reply)[1]["data"]) <= {n / 10 for n in range(11)}


GOOD = tensor(images(2))
FLOATS = tensor(np.zeros((1, *SPEC.shape)), "FP32")


def changed(body, **changes):
  return body | {"inputs": [body["inputs"][0] | changes]}


@pytest.mark.parametrize(
  "path, body, message",
  [
    (INFER, b"", "not JSON"),
    (INFER, b"{", "not JSON"),
    (INFER, b"\xff\xfe", "not JSON"),
    (INFER, b"[" * 100_000, "not JSON"),
    (INFER, [], "JSON object"),
    (INFER, {}, "one tensor"),
    (INFER, {"inputs": GOOD["inputs"] * 2}, "one tensor"),
    (INFER, changed(GOOD, name="image"), "'images'"),
    (INFER, changed(GOOD, datatype="INT32"), "UINT8 or FP32"),
    (INFER, changed(GOOD, datatype=[]), "UINT8 or FP32"),
    (INFER, changed(GOOD, shape=[2, 12]), "['n', 4, 3, 1]"),
    (INFER, changed(GOOD, shape=[0, 4, 3, 1]), "with n at least 1"),
    (INFER, changed(GOOD, shape=[-1, 4, 3, 1]), "with n at least 1"),
    (INFER, changed(GOOD, shape=[2.0, 4, 3, 1]), "with n at least 1"),
    (INFER, changed(GOOD, shape=[10**30, 4, 3, 1]), "data has shape"),
    (INFER, changed(GOOD, shape=[3, 4, 3, 1]), "flat with 36 numbers"),
    (INFER, changed(GOOD, data=[1] * 23), "flat with 24 numbers"),
    (INFER, changed(GOOD, data=None), "data must be a list"),
    (INFER, changed(GOOD, data=[]), "data must be a list"),
    (INFER, changed(GOOD, data=["1"] * 24), "numbers only"),
    (INFER, changed(GOOD, data=[None] * 24), "numbers only"),
    (INFER, changed(GOOD, data=[10**30] * 24), "numbers only"),
    (INFER, changed(GOOD, data=[10**400, 0.5]), "data must"),
    (INFER, changed(GOOD, data=[[1, 2], [3]]), "equal length"),
    (INFER, changed(GOOD, data=[0.5] * 24), "whole numbers"),
    (INFER, changed(GOOD, data=[256] * 24), "0 to 255"),
    (INFER, changed(GOOD, data=[-1] * 24), "0 to 255"),
    (INFER, changed(FLOATS, data=[1.5] * 12), "0 to 1"),
    (INFER, changed(FLOATS, data=[float("nan")] * 12), "0 to 1"),
    (INFER, GOOD | {"outputs": [{"name": "logits"}]}, "'probs'"),
    (INFER, GOOD | {"outputs": "probs"}, "one tensor"),
    (INFER, classified(0), "1 to 5"),
    (INFER, classified(6), "1 to 5"),
    (INFER, classified("2"), "1 to 5"),
    (INFER, classified(True), "1 to 5"),
    (
      INFER,
      GOOD | {"outputs": [{"name": "probs", "parameters": [1]}]},
      "JSON object",
    ),
    (INFER, GOOD | {"id": 7}, "id must be"),
    (PREDICT, {}, "instances must be a list"),
    (PREDICT, {"instances": [{"b64": "AA=="}]}, "numbers only"),
    (PREDICT, {"instances": [[[[0]] * 4] * 3]}, "['n', 4, 3, 1]"),
    (PREDICT, {"instances": [[[[0.5], [0], [256]]] * 4]}, "0 to 1"),
  ],
)
def test_an_invalid_request_gets_an_error_that_says_why(
  client, path, body, message
):
  before = client.get("/stats").json()
  content = body if isinstance(body, bytes) else json.dumps(body).encode()
  assert message in refusal(client.post(path, content=content))
  expected = before | {"refused": before["refused"] + 1}
  assert client.get("/stats").json() == expected


def test_unknown_addresses_are_errors_in_json(client):
  assert "'techer'" in refusal(client.get("/v2/models/techer"), 404)
  path = "/v2/models/teacher/versions/2/infer"
  assert "only version is 1" in refusal(client.post(path, json=GOOD), 404)
  refusal(client.get("/nowhere"), 404)
  refusal(client.get(INFER), 405)


def test_a_strange_id_comes_back(client):
  identity = 'a "quoted" \ud800 é'
  body = json.dumps(GOOD | {"id": identity})
  assert client.post(INFER, content=body).json()["id"] == identity


def test_stats_count_what_was_answered(client):
  before = client.get("/stats").json()
  with ThreadPoolExecutor(4) as pool:
    sizes = [1, 2, 3, 4] * 5
    replies = pool.map(
      lambda n: client.post(INFER, json=tensor(images(n))), sizes
    )
    assert all(reply.status_code == 200 for reply in replies)
  after = client.get("/stats").json()
  assert after["images"] - before["images"] == sum(sizes)
  assert after["requests"] - before["requests"] == len(sizes)
  assert after["income"] == pytest.approx(after["images"] / 1000 * 2)


def test_large_bodies_are_refused():
  config = ServerConfig(max_body_bytes=2000)
  app = build_app(linear(), SPEC, config)
  large = json.dumps(tensor(images(1000))).encode()

  def endless():
    while True:
      yield b" " * 65536

  with serving(app) as url, httpx.Client(base_url=url) as client:
    for _ in range(20):
      assert "2000 bytes" in refusal(client.post(INFER, content=large), 413)
    assert refusal(client.post(INFER, content=endless()), 413)
    output(client.post(INFER, json=tensor(images(2))))
    assert client.get("/stats").json()["refused"] == 21


def test_rate_limit_says_when_to_come_back():
  app = build_app(linear(), SPEC, ServerConfig(rate_limit=10))
  with serving(app) as url, httpx.Client(base_url=url) as client:
    output(client.post(INFER, json=tensor(images(300))))
    reply = client.post(INFER, json=GOOD)
    assert "10 images per second" in refusal(reply, 429)
    assert 10 < int(reply.headers["retry-after"]) <= 30
    counted = client.get("/stats").json()
  assert (counted["images"], counted["refused"]) == (300, 1)


def test_token_bucket_keeps_to_its_rate():
  now = [0.0]
  bucket = TokenBucket(10, lambda: now[0])
  assert bucket.take(6) == 0
  assert bucket.take(6) == pytest.approx(0.2)
  now[0] += 0.2
  assert bucket.take(6) == 0
  now[0] += 100  # no more than a second's worth is saved up
  assert bucket.take(25) == 0
  assert bucket.take(1) == pytest.approx(1.6)


def test_the_token_is_asked_for(monkeypatch):
  monkeypatch.setenv("AUDIT_TOKEN", "s3cret")
  app = build_app(linear(), SPEC, ServerConfig(token_env="AUDIT_TOKEN"))
  with serving(app) as url, httpx.Client(base_url=url) as client:
    assert client.get("/v2/health/ready").status_code == 200
    for given in ("", "s3cret", "Bearer s3cre", "Bearer s3cretx", "Bearer é"):
      headers = {"Authorization": given.encode()} if given else {}
      for reply in (
        client.post(INFER, json=GOOD, headers=headers),
        client.get("/stats", headers=headers),
      ):
        refusal(reply, 401)
        assert reply.headers["www-authenticate"] == "Bearer"
    client.headers["Authorization"] = "Bearer s3cret"
    output(client.post(INFER, json=GOOD))
    assert client.get("/stats").json()["refused"] == 5
  monkeypatch.delenv("AUDIT_TOKEN")
  with pytest.raises(JaxkdError, match="AUDIT_TOKEN"):
    build_app(linear(), SPEC, ServerConfig(token_env="AUDIT_TOKEN"))


def test_the_loop_stays_responsive_while_the_network_runs():
  warm, running, release = (threading.Event() for _ in range(3))

  def wait():
    if warm.is_set():
      running.set()
      release.wait(20)
    return np.float32(0)

  def slow(variables, images):
    zero = jax.pure_callback(wait, jax.ShapeDtypeStruct((), jnp.float32))
    return jnp.zeros((len(images), 5)) + variables + zero

  app = build_app(
    models.from_function(slow, jnp.zeros(5)), SPEC, ServerConfig()
  )
  warm.set()
  with serving(app) as url, ThreadPoolExecutor(1) as pool:
    reply = pool.submit(httpx.post, url + INFER, json=GOOD)
    try:
      assert running.wait(20)
      assert httpx.get(f"{url}/v2/health/live").status_code == 200
      assert not reply.done()
    finally:
      release.set()
    assert reply.result().status_code == 200


def test_a_failing_network_is_no_traceback(caplog):
  def fail(_, images):
    def raises():
      if warm:
        raise ValueError("boom")
      return np.float32(0)

    zero = jax.pure_callback(raises, jax.ShapeDtypeStruct((), jnp.float32))
    return jnp.zeros((len(images), 5)) + zero

  warm = []
  app = build_app(
    models.from_function(fail, jnp.zeros(5)), SPEC, ServerConfig()
  )
  warm.append(True)
  with serving(app) as url:
    assert "server failed" in refusal(httpx.post(url + INFER, json=GOOD), 500)
    counted = httpx.get(f"{url}/stats").json()
  assert (counted["images"], counted["refused"]) == (0, 1)
  assert "boom" in caplog.text


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"access": "lable"}, "Did you mean label"),
    ({"access": "white_box"}, "Choose one of label"),
    ({"access": "top_k", "top_k": 5}, "top_k=5"),
    ({"name": "a/b"}, "name='a/b'"),
    ({"decimals": -1}, "decimals=-1"),
    ({"rate_limit": float("nan")}, "rate_limit=nan"),
    ({"max_body_bytes": 0}, "max_body_bytes=0"),
  ],
)
def test_values_that_are_not_allowed_are_named(changes, message):
  with pytest.raises(JaxkdError, match=message):
    build_app(linear(), SPEC, ServerConfig(**changes))


def test_points_and_busy_ports_are_refused(client):
  points = DataSpec("two_moons", (2,), 2, (0.0,), (1.0,))
  with pytest.raises(JaxkdError, match="only images"):
    build_app(linear(), points, ServerConfig())
  app, port = build_app(linear(), SPEC, ServerConfig()), client.base_url.port
  with pytest.raises(JaxkdError, match=f"port {port}"), serving(app, port):
    pass


def start(*arguments):
  return subprocess.Popen(
    [sys.executable, "-m", "jaxkd.serve", *arguments],
    cwd=Path(__file__).parents[2],
    env=os.environ,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def test_the_command_serves_a_workdir_until_sigterm(tmp_path):
  student = models.init("mlp", jax.random.key(0), SPEC)
  weights.save(tmp_path / "student.safetensors", student, SPEC, "mlp")
  with start(
    f"--workdir={tmp_path}", "--which=student", "--port=0", "--access=logits"
  ) as process:
    try:
      address = process.stdout.readline().split()[-1]
      pixels = images(2)
      data, _ = output(httpx.post(f"{address}/infer", json=tensor(pixels)))
      expected = student(jnp.asarray(pixels, jnp.float32) / 255).logits
      np.testing.assert_allclose(data, expected, rtol=1e-4, atol=1e-5)
      process.send_signal(signal.SIGTERM)
      output_text, errors = process.communicate(timeout=30)
    finally:
      process.kill()
  assert process.returncode == 143, errors
  assert errors == ""
  assert '"images": 2' in output_text


@pytest.mark.parametrize(
  "arguments, message",
  [
    ([], "--workdir is missing"),
    (["--workdir=nowhere"], "no checkpoint nowhere/teacher.safetensors"),
    (["--workdir=x", "--port=many"], "port"),
  ],
)
def test_wrong_flags_give_one_line(arguments, message):
  with start(*arguments) as process:
    _, errors = process.communicate(timeout=60)
  assert process.returncode == 2, errors
  assert len(errors.splitlines()) == 1
  assert message in errors
