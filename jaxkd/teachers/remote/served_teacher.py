"""Opens a teacher behind HTTP that `config.teacher` describes."""

from ml_collections import ConfigDict

from jaxkd.config import ACCESS_LEVELS, checks
from jaxkd.errors import JaxkdError
from jaxkd.teachers.ledger import Ledger
from jaxkd.teachers.remote import protocols, urls
from jaxkd.teachers.remote.headers import RequestHeaders, Token
from jaxkd.teachers.remote.http import Http
from jaxkd.teachers.remote.remote_teacher import RemoteTeacher
from jaxkd.teachers.remote.transport import MIN_ATTEMPTS, preflight
from jaxkd.types import DataSpec

PREFLIGHT_S = 15.0  # to connect at the start, so that a wrong url ends soon


def check(spec: DataSpec, teacher: ConfigDict) -> None:
  """Checks the fields of `teacher` for a remote teacher; nothing is sent.

  Raises:
    JaxkdError: for a value that is not allowed; it never quotes the token.
  """
  if not teacher.authorization.strip():
    raise JaxkdError(
      "teacher.authorization is empty: say who allowed these queries; the "
      "report quotes it."
    )
  checks.choice("teacher.access", teacher.access, ACCESS_LEVELS[:-1])
  urls.check_url(teacher.url)
  _headers(teacher)
  protocols.build(spec, teacher)


def open_teacher(
  spec: DataSpec, teacher: ConfigDict, queries: ConfigDict, ledger: Ledger
) -> RemoteTeacher:
  """Connects to the teacher at `teacher.url` and checks that it fits.

  Args:
    spec: the shape and classes of the images.
    teacher: the config's block of that name.
    queries: the config's block of that name.
    ledger: counts the queries and holds the answers.

  Raises:
    JaxkdError: for a value that is not allowed, or a model that does not fit.
  """
  check(spec, teacher)
  transport = Http(
    teacher.url,
    protocols.build(spec, teacher),
    headers=_headers(teacher),
    connections=queries.max_in_flight,
    metadata_s=queries.deadline_s / MIN_ATTEMPTS,
    idempotency_key=queries.idempotency_key,
  )
  try:
    preflight(transport, queries.deadline_s, PREFLIGHT_S)
  except BaseException:
    transport.close()
    raise
  return RemoteTeacher.open(transport, ledger, teacher.access, queries)


def _headers(teacher: ConfigDict) -> RequestHeaders:
  token = Token(teacher.token_env, teacher.template.header)
  return RequestHeaders(token, teacher.headers)
