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
    "cat,0\nStraße,1\ncrane, bird,2\n",
    "crane, bird\t2\ncat\t0\nStraße\t1\n",
    'id,name\n0,cat\n1,Straße\n2,"crane, bird"\n',
    "name;number\ncat;1\nStraße;2\ncrane, bird;3\n",
    "# three classes\ncat\nStraße\ncrane, bird\n",
    "names:\n  0: cat\n  1: Straße\n  2: crane, bird\n",
    "names:\n- cat\n- Straße\n- crane, bird\n",
    "nc: 3\nnames:\n  - cat\n  - 'Straße'\n  - crane, bird\nurl: a\n",
    "train: a\nnc: 3\nnames: ['cat', 'Straße', 'crane, bird']\nin:\n  a: b\n",
    '"id","name"\n"0","cat"\n1,Straße\n2,"crane, bird"\n',
    json.dumps({"classes": NAMES}),
    json.dumps(NAMES),
    json.dumps([{"id": k, "name": n} for k, n in enumerate(NAMES, 1)][::-1]),
    json.dumps(
      {
        "categories": [{"id": 2, "name": NAMES[2], "super": None}]
        + [{"id": k, "name": NAMES[k]} for k in (0, 1)]
      }
    ),
    json.dumps(NAMES, ensure_ascii=False, indent=2),
    json.dumps(dict(enumerate(NAMES))),
    json.dumps({name: number for number, name in enumerate(NAMES)}),
    json.dumps({str(k): [f"n{k}", name] for k, name in enumerate(NAMES)}),
    json.dumps({"pad": None, "id2label": dict(enumerate(NAMES))}),
    repr(dict(enumerate(NAMES))),
    repr(list(NAMES)),
  ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "cp1252"])
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
  path.write_text("class 0\nclass 1\n")
  assert class_names.read(path) == ("class 0", "class 1")


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


@pytest.mark.parametrize("content", [b"", b"\n# names\n", b"cat\0dog\n"])
def test_a_file_without_names_is_refused(tmp_path, content):
  path = tmp_path / "names.txt"
  path.write_bytes(content)
  with pytest.raises(JaxkdError, match="holds no text with names"):
    class_names.read(path)


def test_a_long_file_and_none(tmp_path):
  with pytest.raises(JaxkdError, match="cannot be read"):
    class_names.read(tmp_path / "none")
  path = tmp_path / "names.txt"
  path.write_bytes(b"a" * (model_card.MAX_BYTES + 1))
  with pytest.raises(JaxkdError, match="longer than"):
    class_names.read(path)


def test_items_of_yaml_without_quotes(tmp_path):
  path = tmp_path / "data.yaml"
  path.write_text("train: ../train\nnames: [cat, guinea pig]\nnc: 2\n")
  assert class_names.read(path) == ("cat", "guinea pig")
