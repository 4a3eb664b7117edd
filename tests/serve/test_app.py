"""The application answers two protocols over HTTP, here through real sockets:
its routes, its errors, its limits and its token.
"""

from concurrent.futures import ThreadPoolExecutor
import json
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from served_network import (
  INFER,
  PREDICT,
  SPEC,
  classified,
  images,
  linear,
  probs,
  tensor,
)

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
httpx = pytest.importorskip("httpx")

from jaxkd import models  # noqa: E402
from jaxkd.serve.app import build_app  # noqa: E402
from jaxkd.serve.inference import ServerConfig  # noqa: E402
from jaxkd.serve.server import serving  # noqa: E402
from jaxkd.types import JaxkdError  # noqa: E402

PIXELS = images(2)
GOOD = tensor(PIXELS)


@pytest.fixture(scope="module")
def client():
  """Yields a client of a server that gives probabilities at a price."""
  app = build_app(linear(), SPEC, ServerConfig(price_per_1000=2.0))
  with serving(app) as url, httpx.Client(base_url=url) as client:
    yield client


def output(reply):
  assert reply.status_code == 200, reply.text
  (described,) = reply.json()["outputs"]
  return np.array(described["data"]).reshape(described["shape"])


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
    metadata = client.get(path).json()
    assert metadata["inputs"] == [
      {"name": "images", "datatype": "UINT8", "shape": [-1, 4, 3, 1]}
    ]
    assert metadata["outputs"] == [
      {"name": "probs", "datatype": "FP32", "shape": [-1, 5]}
    ]
    status = client.get(f"/v1/models/teacher{version}").json()
    assert status["model_version_status"][0]["state"] == "AVAILABLE"


def test_both_protocols_answer_with_and_without_the_version(client):
  for path in (INFER, "/v2/models/teacher/versions/1/infer"):
    reply = client.post(path, json=GOOD | {"id": "seven"})
    np.testing.assert_allclose(output(reply), probs(PIXELS), rtol=1e-5)
    assert reply.json()["id"] == "seven"
    assert reply.json()["model_name"] == "teacher"
  for path in (PREDICT, "/v1/models/teacher/versions/1:predict"):
    reply = client.post(path, json={"instances": PIXELS.tolist()})
    np.testing.assert_allclose(
      reply.json()["predictions"], probs(PIXELS), rtol=1e-5
    )


@pytest.mark.parametrize(
  ("path", "body", "message"),
  [
    (INFER, b"{", "not JSON"),
    (INFER, {}, "one tensor"),
    (INFER, classified(PIXELS, 6), "1 to 5"),
    (PREDICT, {}, "instances must be a list"),
  ],
)
def test_an_invalid_request_gets_an_error_that_says_why_and_costs_nothing(
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
    output(client.post(INFER, json=GOOD))
    assert client.get("/stats").json()["refused"] == 21


def test_the_rate_limit_is_status_429_with_a_time_to_wait():
  app = build_app(linear(), SPEC, ServerConfig(rate_limit=10))
  with serving(app) as url, httpx.Client(base_url=url) as client:
    output(client.post(INFER, json=tensor(images(300))))
    reply = client.post(INFER, json=GOOD)
    assert "10 images per second" in refusal(reply, 429)
    assert 10 < int(reply.headers["retry-after"]) <= 30
    stats = client.get("/stats").json()
  assert (stats["images"], stats["refused"]) == (300, 1)


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
  compiled, running, release = (threading.Event() for _ in range(3))

  def wait():
    if compiled.is_set():
      running.set()
      release.wait(20)
    return np.float32(0)

  def slow(variables, images):
    zero = jax.pure_callback(wait, jax.ShapeDtypeStruct((), jnp.float32))
    return jnp.zeros((len(images), 5)) + variables + zero

  app = build_app(
    models.from_function(slow, jnp.zeros(5)), SPEC, ServerConfig()
  )
  compiled.set()
  with serving(app) as url, ThreadPoolExecutor(1) as pool:
    reply = pool.submit(httpx.post, url + INFER, json=GOOD)
    try:
      assert running.wait(20)
      assert httpx.get(f"{url}/v2/health/live").status_code == 200
      assert not reply.done()
    finally:
      release.set()
    assert reply.result().status_code == 200


def test_a_network_that_fails_is_status_500_and_logged(caplog):
  compiled = threading.Event()

  def fail(_, images):
    def raises():
      if compiled.is_set():
        raise ValueError("boom")
      return np.float32(0)

    zero = jax.pure_callback(raises, jax.ShapeDtypeStruct((), jnp.float32))
    return jnp.zeros((len(images), 5)) + zero

  app = build_app(
    models.from_function(fail, jnp.zeros(5)), SPEC, ServerConfig()
  )
  compiled.set()
  with serving(app) as url:
    assert "server failed" in refusal(httpx.post(url + INFER, json=GOOD), 500)
    stats = httpx.get(f"{url}/stats").json()
  assert (stats["images"], stats["refused"]) == (0, 1)
  assert "boom" in caplog.text
