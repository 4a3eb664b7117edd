"""A classifier behind HTTP on this machine, with faults on demand.

It speaks v2, V1 and takes PNG files, and keeps its own count of images.
"""

import base64
from collections import deque
import contextlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import io
import json
import socket
import struct
import threading
import time

import numpy as np
from PIL import Image

CLASSES = 10
NAMES = tuple(f"name{label}" for label in range(CLASSES))


def labels_of(images):
  """What the server says: the sum of the pixels, modulo the classes."""
  return images.reshape(len(images), -1).sum(-1, dtype=np.int64) % CLASSES


def probs_of(images):
  """0.91 for the label, 0.01 for each other class."""
  return np.where(np.eye(CLASSES)[labels_of(images)] > 0, 0.91, 0.01)


class FakeServer(contextlib.AbstractContextManager):
  """Listens while in its `with`; `faults` are used up one a request.

  Attributes:
    images: that arrived, whatever became of them.
    most_at_once: requests that were under way at the same time.
    headers: of the last request.
    delays: seconds before the next replies, one a request.
  """

  def __init__(
    self,
    faults=(),
    *,
    shape=(4, 4, 1),
    datatype="UINT8",
    output="FP32",
    extensions=(),
    most=1 << 30,
    tls=None,
  ):
    self.faults = deque(faults)
    self.delays = deque()
    self.images = self.requests = self.busy = self.most_at_once = 0
    self.headers = {}
    self.connections = []
    self.most = most
    self.released = threading.Event()
    self.lock = threading.Lock()
    shapes = {"FP32": [-1, CLASSES], "INT64": [-1]}
    self.metadata = {
      "name": "net",
      "inputs": [{"name": "x", "datatype": datatype, "shape": [-1, *shape]}],
      "outputs": [{"name": "y", "datatype": output, "shape": shapes[output]}],
    }
    self.extensions = list(extensions)
    self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    self._server.fake = self
    if tls:
      self._server.socket = tls.wrap_socket(
        self._server.socket, server_side=True
      )
    scheme = "https" if tls else "http"
    self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"

  def __enter__(self):
    self._thread = threading.Thread(
      target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
    )
    self._thread.start()
    return self

  def __exit__(self, *_):
    self.released.set()
    self._server.shutdown()
    self._thread.join()
    self._server.server_close()
    for connection in self.connections:
      with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)

  def arrive(self, count):
    """Counts a request, and says what is to go wrong with it."""
    with self.lock:
      self.images += count
      self.requests += 1
      self.busy += 1
      self.most_at_once = max(self.most_at_once, self.busy)
      fault = self.faults.popleft() if self.faults else ""
      delay = self.delays.popleft() if self.delays else 0
    time.sleep(delay)
    return fault

  def leave(self):
    with self.lock:
      self.busy -= 1


class _Handler(BaseHTTPRequestHandler):
  protocol_version = "HTTP/1.1"
  disable_nagle_algorithm = True
  wbufsize = -1
  timeout = 5

  @property
  def fake(self):
    return self.server.fake

  def log_message(self, *_):
    pass

  def handle(self):
    self.fake.connections.append(self.connection)
    with contextlib.suppress(OSError):
      super().handle()

  def do_GET(self):  # noqa: N802
    paths = {
      "/v2": {"name": "fake", "extensions": self.fake.extensions},
      "/v2/models/net": self.fake.metadata,
      "/v2/models/net/ready": {"ready": True},
    }
    self.fake.headers = dict(self.headers)
    found = paths.get(self.path.partition("?")[0])
    if self.path.startswith("/old/"):
      self.reply(301, {}, {"Location": self.path.removeprefix("/old")})
      return
    self.reply(404 if found is None else 200, found or {"error": "no such"})

  def do_POST(self):  # noqa: N802
    body = self.rfile.read(int(self.headers["Content-Length"]))
    self.fake.headers = dict(self.headers)
    images, answer = self.read(body)
    fault = self.fake.arrive(len(images))
    try:
      if len(images) > self.fake.most:
        self.reply(413, {"error": "too large"})
      else:
        self.answer(images, answer, fault)
    finally:
      self.fake.leave()

  def read(self, body):
    """The images, and how to answer them."""
    if self.headers["Content-Type"] == "image/png":
      return _png(body), lambda images: {"top": NAMES[labels_of(images)[0]]}
    asked = json.loads(body)
    if "inputs" in asked:
      tensor = asked["inputs"][0]
      images = np.array(tensor["data"]).reshape(tensor["shape"])
      return _pixels(images, tensor["datatype"]), lambda images: self.v2(
        images, asked["outputs"][0]
      )
    if "instances" in asked:
      images = _pixels(np.array(asked["instances"]), "FP32")
      return images, lambda images: {"predictions": probs_of(images).tolist()}
    images = _png(base64.b64decode(asked["image"]))
    return images, lambda images: {"found": [{"id": int(labels_of(images)[0])}]}

  def v2(self, images, wanted):
    probs = probs_of(images)
    count = wanted.get("parameters", {}).get("classification")
    if self.fake.metadata["outputs"][0]["datatype"] == "INT64":
      values, datatype = labels_of(images), "INT64"
    elif count:
      best = np.argsort(-probs, -1, kind="stable")[:, :count]
      values = np.array(
        [
          [f"{row[i]}:{i}:{NAMES[i]}" for i in top]
          for row, top in zip(probs, best, strict=True)
        ],
        object,
      )
      datatype = "BYTES"
    else:
      values, datatype = probs, "FP32"
    output = {
      "name": "y",
      "datatype": datatype,
      "shape": list(values.shape),
      "data": values.ravel().tolist(),
    }
    return {"model_name": "net", "outputs": [output]}

  def answer(self, images, answer, fault):
    if fault.startswith("retry "):
      _, status, *wait = fault.split(" ", 2)
      name, _, value = (wait or ["Retry-After: 0"])[0].partition(": ")
      self.reply(int(status), {"error": "busy"}, {name: value})
    elif fault.isdigit():
      self.reply(int(fault), {"error": f"said {dict(self.headers)}"})
    elif fault.startswith("redirect "):
      _, status, target = fault.split()
      self.reply(int(status), {}, {"Location": target})
    elif fault == "stall":
      self.fake.released.wait(3)
      self.close_connection = True
    else:
      self.answered(images, answer(images), fault)

  def answered(self, images, payload, fault):
    if "outputs" in payload:
      output = payload["outputs"][0]
      if fault == "wrong shape":
        output["shape"] = [len(images), 3]
      if fault == "wrong count":
        output["shape"][0] -= 1
        output["data"] = output["data"][: int(np.prod(output["shape"]))]
      if fault == "nan":
        output["data"][0] = float("nan")
      if fault == "range":
        output["data"][0] = CLASSES
      if fault == "reordered":
        payload["outputs"] = [
          {"name": "other", "shape": [1], "data": [7]},
          dict(reversed(output.items())),
        ]
        payload = dict(reversed(payload.items()))
    if fault == "name":
      payload = {"top": "nameX"}
    if fault == "echo":
      payload = {"top": self.headers["Authorization"]}
    text = json.dumps(payload).encode()
    if fault == "cut":
      self.reply(200, text[: len(text) // 2])
    elif fault in ("reset", "truncated"):
      self.send_response(200)
      self.send_header("Content-Length", str(len(text)))
      self.end_headers()
      self.wfile.write(text[: len(text) // 2])
      self.wfile.flush()
      self.close_connection = True
      if fault == "reset":
        self.connection.setsockopt(
          socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
    else:
      self.reply(200, text)

  def reply(self, status, payload, headers=()):
    if not isinstance(payload, bytes):
      payload = json.dumps(payload).encode()
    self.send_response(status)
    for name, value in dict(headers).items():
      self.send_header(name, value)
    self.send_header("Content-Length", str(len(payload)))
    self.end_headers()
    self.wfile.write(payload)


def _png(body):
  pixels = np.asarray(Image.open(io.BytesIO(body)))
  return pixels.reshape(1, *pixels.shape[:2], -1)


def _pixels(numbers, datatype):
  if datatype == "FP32":
    numbers = numbers * 255
    assert np.abs(numbers - numbers.round()).max() < 1e-4
  return numbers.round().astype(np.uint8)
