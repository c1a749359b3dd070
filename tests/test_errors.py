"""What goes wrong, said without Python's own words."""

from __future__ import annotations

import json

import pytest

from churn.errors import in_words
from churn.model import pointer


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'{\n"format": 1,\n', "it is no JSON from line 3 on"),
        (b"xx", "it is no JSON from line 1 on"),
        (b"\xff\xfe\x00", "byte 1 is no text in UTF-8"),
    ],
)
def test_what_is_no_json_is_said_with_its_line(data: bytes, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        json.loads(data.decode())
    assert in_words(caught.value) == says


def test_what_is_missing_is_named() -> None:
    with pytest.raises(KeyError) as caught:
        {}["scoring"]
    assert in_words(caught.value) == "'scoring' is missing"
    assert in_words(ValueError("the current pair is not the last")) == "the current pair is not the last"


def test_a_torn_pointer_is_told_in_words() -> None:
    with pytest.raises(pointer.StoreUnavailable) as caught:
        pointer.read(b'{"format": 1, "history": [{"model": "v1"}]}', "", "shop/pointer.json")
    assert str(caught.value) == "shop/pointer.json is damaged ('scoring' is missing); restore it from a backup"
