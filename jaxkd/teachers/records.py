"""The records of a query ledger: their format and checksums.

Every line is a JSON object that ends with the CRC-32 of the file up to there,
so that changed, lost and moved lines are detected.
"""

import json
from pathlib import Path
import re
import zlib

from jaxkd.errors import JaxkdError
from jaxkd.teachers.ledger_state import LedgerState

VERSION = 1
_FIRST = b'{"record": "created", "version": '
_CHECKSUM = ', "crc": "%08x"}\n'


def redact_url(reason: str) -> str:
  """Shortens a text to one line and removes user and password from its URLs.

  >>> redact_url("connection to https://me:secret@host/v2 lost")
  'connection to https://host/v2 lost'
  """
  line = " ".join(reason.split())
  return re.sub(r"//[^/\s]*@", "//", line)[:200]


def add_checksum(body: bytes, crc: int) -> tuple[bytes, int]:
  """Completes a line, and returns it with the checksum of the file up to it.

  Args:
    body: a record in JSON without its last brace.
    crc: the checksum of the lines before; 0 for the first.
  """
  crc = zlib.crc32(body, crc)
  return body + (_CHECKSUM % crc).encode(), crc


def read_ledger(path: Path) -> tuple[LedgerState, int]:
  """Reads a ledger's state, and the length in bytes of its complete records.

  A crash may leave the last record incomplete: without its end, or with zeros
  where a page did not reach the disk. It is ignored, because its writer had not
  returned yet.

  Raises:
    JaxkdError: if the file is not a ledger, or is damaged.
    OSError: if it can't be read.
  """
  state, length = LedgerState(), 0
  with path.open("rb") as file:
    for number, line in enumerate(file, 1):
      if number == 1 and not line.startswith(_FIRST[: len(line)]):
        raise JaxkdError(
          f"{path} is not a query ledger: its line 1 is not a ledger's first "
          "record. Name the ledger.jsonl of a run, or another --workdir."
        )
      computed, crc = add_checksum(line[: -len(_CHECKSUM % 0)], state.crc)
      if computed == line:
        _add(state, line, path, number)
        state.crc, length = crc, length + len(line)
      elif not line.endswith(b"\n") or (b"\0" in line and not file.peek(1)):
        break
      else:
        raise JaxkdError(
          f"The query ledger {path} is damaged in line {number}; put back a "
          "copy, or start a new run."
        )
  return state, length


def _add(state: LedgerState, line: bytes, path: Path, number: int) -> None:
  record = json.loads(line)
  version = record.get("version", VERSION)
  if version != VERSION:
    raise JaxkdError(
      f"The query ledger {path} has version {version}; this jaxkd knows "
      f"version {VERSION}. Use the jaxkd that wrote it."
    )
  try:
    state.add(record)
  except (KeyError, ValueError) as error:
    raise JaxkdError(
      f"The query ledger {path} is damaged: line {number} does not follow "
      "from the lines before; put back a copy, or start a new run."
    ) from error
