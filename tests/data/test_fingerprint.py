"""Two tables have one sum only if they say the same."""

from __future__ import annotations

import hashlib

import polars as pl
import pytest

from churn.data import fingerprint as module
from churn.data.fingerprint import fingerprint

TABLE = pl.DataFrame({"key": ["a", "b", None], "fee": [1.5, None, 3.0]})


def test_known_sum() -> None:
    text = 'key:String\nfee:Float64\n"a",1.5\n"b",\n,3.0\n'
    assert fingerprint(TABLE) == hashlib.sha256(text.encode()).hexdigest()


def test_slices_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fingerprint(TABLE)
    monkeypatch.setattr(module, "_SLICE", 2)
    assert fingerprint(TABLE) == whole


@pytest.mark.parametrize(
    "other",
    [
        TABLE.reverse(),
        TABLE.select("fee", "key"),
        TABLE.rename({"fee": "fees"}),
        TABLE.with_columns(pl.col("key").fill_null("")),
        TABLE.with_columns(pl.col("fee").cast(pl.Float32)),
        TABLE.head(2),
    ],
    ids=["order", "columns", "name", "missing", "type", "rows"],
)
def test_whatever_differs_shows(other: pl.DataFrame) -> None:
    assert fingerprint(other) != fingerprint(TABLE)
