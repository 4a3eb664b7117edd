"""The server listens on an address, or says why it can't; the command serves a
folder of a run until it is told to stop.
"""

import os
from pathlib import Path
import signal
import subprocess
import sys

from forks import run_module
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from served_network import SPEC, images, linear, tensor

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
httpx = pytest.importorskip("httpx")

from jaxkd import models  # noqa: E402
from jaxkd.serialization import weights  # noqa: E402
from jaxkd.serve.app import build_app  # noqa: E402
from jaxkd.serve.inference import ServerConfig  # noqa: E402
from jaxkd.serve.server import listen, serving, url_of  # noqa: E402
from jaxkd.types import JaxkdError  # noqa: E402


def test_a_port_that_is_in_use_is_named():
  app = build_app(linear(), SPEC, ServerConfig())
  with listen("127.0.0.1", 0) as listener:
    port = listener.getsockname()[1]
    assert url_of(listener) == f"http://127.0.0.1:{port}"
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
      url = process.stdout.readline().split()[-1]
      pixels = images(2)
      reply = httpx.post(f"{url}/infer", json=tensor(pixels))
      (output,) = reply.json()["outputs"]
      expected = student(jnp.asarray(pixels, jnp.float32) / 255).logits
      np.testing.assert_allclose(
        np.reshape(output["data"], output["shape"]),
        expected,
        rtol=1e-4,
        atol=1e-5,
      )
      process.send_signal(signal.SIGTERM)
      stdout, stderr = process.communicate(timeout=30)
    finally:
      process.kill()
  assert process.returncode == 143, stderr
  assert stderr == ""
  assert '"images": 2' in stdout


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ([], "--workdir is missing"),
    (["--workdir=nowhere"], "no checkpoint nowhere/teacher.safetensors"),
    (["--workdir=x", "--port=many"], "port"),
  ],
)
def test_wrong_flags_give_one_line(arguments, message):
  result = run_module(["jaxkd.serve", *arguments], Path.cwd(), dict(os.environ))
  assert result.returncode == 2, result.stderr
  assert len(result.stderr.splitlines()) == 1
  assert message in result.stderr
