"""Files of class names as other systems write them."""

import codecs
import json

import pytest

from jaxkd.serialization import class_names, model_card
from jaxkd.types import JaxkdError

NAMES = ("cat", "Straße", "crane, bird")


@pytest.mark.parametrize(
  "content",
  [
    "cat\nStraße\ncrane, bird\n",
    "cat\r\nStraße\r\ncrane, bird\r\n",
    "cat\rStraße\rcrane, bird",
    "\ufeffcat\nStraße\ncrane, bird\n",
    "  cat \t\n\nStraße  \ncrane, bird   \n\n\n",
    "'cat'\n'Straße'\n'crane, bird'\n",
    '"cat",\n"Straße",\n"crane, bird",\n',
    "0 cat\n1 Straße\n2 crane, bird\n",
    "0: cat\n1: Straße\n2: crane, bird\n",
    "2\tcrane, bird\n0\tcat\n1\tStraße\n",
    '0,cat\n1,Straße\n2,"crane, bird"\n',
    "1. cat\n2. Straße\n3. crane, bird\n",
    json.dumps(NAMES),
    json.dumps(NAMES, ensure_ascii=False, indent=2),
    json.dumps(dict(enumerate(NAMES))),
    json.dumps({name: number for number, name in enumerate(NAMES)}),
    json.dumps({str(k): [f"n{k}", name] for k, name in enumerate(NAMES)}),
    json.dumps({"pad": None, "id2label": dict(enumerate(NAMES))}),
    repr(dict(enumerate(NAMES))),
    repr(list(NAMES)),
  ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_names_in_their_order(tmp_path, content, encoding):
  path = tmp_path / "names.txt"
  if encoding == "cp1252":
    content = content.removeprefix("\ufeff")
  path.write_bytes(content.encode(encoding))
  assert class_names.read(path) == NAMES


def test_utf_16_of_either_order(tmp_path):
  path = tmp_path / "names.txt"
  path.write_bytes(codecs.BOM_UTF16_BE + "cat\r\ndog\r\n".encode("utf-16-be"))
  assert class_names.read(path) == ("cat", "dog")


def test_names_that_are_numbers_stay(tmp_path):
  path = tmp_path / "names.txt"
  path.write_text("7\n3\n5\n")
  assert class_names.read(path) == ("7", "3", "5")
  path.write_text("747 jet\n737 jet\n")
  assert class_names.read(path) == ("747 jet", "737 jet")


def test_a_name_that_occurs_twice_gets_its_number(tmp_path):
  path = tmp_path / "names.txt"
  path.write_text("crane\ncrow\ncrane\n")
  assert class_names.read(path) == ("crane (0)", "crow", "crane (2)")


@pytest.mark.parametrize(
  "text", ["{", '["a"', '{"a": 5, "b": 9}', "[]", '{"a": "b"}']
)
def test_what_is_no_list_is_refused(tmp_path, text):
  path = tmp_path / "names.json"
  path.write_text(text)
  with pytest.raises(JaxkdError, match=r"names\.json"):
    class_names.read(path)


def test_a_long_file_and_none(tmp_path):
  with pytest.raises(JaxkdError, match="cannot be read"):
    class_names.read(tmp_path / "none")
  path = tmp_path / "names.txt"
  path.write_bytes(b"a" * (model_card.MAX_BYTES + 1))
  with pytest.raises(JaxkdError, match="longer than"):
    class_names.read(path)
