"""Whether a table that came in may be scored: each way in which a batch is not what it is taken for, by itself."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from churn.data import incoming
from churn.data.schema import Schema
from churn.errors import DataError

TODAY = date(2026, 11, 20)
DAY = date(2026, 11, 19)
FEATURES: list[dict[str, Any]] = [
    {"name": "tenure", "kind": "number", "label": "Tenure", "unit": "month", "range": (0, 72)},
    {"name": "charge", "kind": "number", "label": "Monthly charge", "unit": "money", "range": (18, 120)},
    {"name": "contract", "kind": "category", "label": "Contract", "levels": [{"value": "Monthly"}, {"value": "Yearly"}]},
]
SCHEMA = Schema.model_validate(
    {"key": "id", "target": {"column": "left", "positive": "Yes"}, "snapshot": {"column": "day"}, "features": FEATURES}
)


def table(size: int = 1000, seed: int = 3, day: date = DAY) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "id": [f"C{number}" for number in range(size)],
            "day": [day.isoformat()] * size,
            "tenure": random.integers(0, 73, size).astype(str),
            "charge": np.round(random.uniform(18, 120, size), 2).astype(str),
            "contract": random.choice(["Monthly", "Yearly"], size),
        }
    )


REFERENCE = table(2000, seed=1).select(pl.col("tenure").cast(pl.Float64), pl.col("charge").cast(pl.Float64), pl.col("contract"))


def judged(raw: pl.DataFrame, **given: Any) -> dict[str, incoming.Check]:
    """The worst check of each kind."""
    report = incoming.inspect(raw, SCHEMA, REFERENCE, **{"rows_before": 1000, "shown": DAY, "today": TODAY, **given})
    return {check.what: check for check in reversed(report.checks)}


def spoilt(column: str, rows: int, value: str | None) -> pl.DataFrame:
    raw = table()
    return raw.with_columns(pl.when(pl.int_range(pl.len()) < rows).then(pl.lit(value)).otherwise(pl.col(column)).alias(column))


def test_a_good_table_is_what_it_should_be() -> None:
    report = incoming.inspect(table(), SCHEMA, REFERENCE, rows_before=1000, shown=DAY, today=TODAY)
    assert report.status == "ok"
    assert [check.what for check in report.checks] == [
        "schema", "duplicates", "missing", "range", "levels", "rows", "freshness",
    ]  # fmt: skip
    assert report.newest == DAY
    incoming.refuse(report)


@pytest.mark.parametrize(
    ("column", "rows", "value", "what", "status", "words"),
    [
        ("tenure", 1, "many", "schema", "bad", "Column 'tenure' must be a number; row 1 has 'many'."),
        ("charge", 120, None, "missing", "warn", "Monthly charge is missing for 12%, and was for 0% in training."),
        ("charge", 1000, "", "missing", "bad", "Monthly charge is missing for 100%, and was for 0% in training."),
        ("charge", 50, "7995", "range", "warn", "Monthly charge: 5% of its values are outside $18 to $120, such as $7,995."),
        ("charge", 600, "7995", "range", "bad", "Monthly charge: 60% of its values are outside $18 to $120, such as $7,995."),
        ("contract", 30, "Weekly", "levels", "warn", "Contract: 3% of its values are new, such as 'Weekly'."),
        ("contract", 700, "2", "levels", "bad", "Contract: 70% of its values are new, such as '2'."),
    ],
)
def test_one_thing_wrong(column: str, rows: int, value: str | None, what: str, status: str, words: str) -> None:
    found = judged(spoilt(column, rows, value))
    assert (found[what].status, found[what].words) == (status, words)
    assert {check.what for check in found.values() if check.status != "ok"} == {what}


def test_who_comes_twice_is_named() -> None:
    check = judged(pl.concat([table(), table()[:2]]))["duplicates"]
    assert check.status == "bad"
    assert check.words == "2 rows repeat a customer, and a customer may come once a day; row 1001 has 'C0' again."


@pytest.mark.parametrize(
    ("size", "status", "end"),
    [
        (1000, "ok", "1,000 customers; the desk showed 1,000."),
        (900, "ok", "the desk showed 1,000."),
        (899, "warn", "899 customers; the desk showed 1,000."),
        (700, "warn", "the desk showed 1,000."),
        (699, "bad", "the desk showed 1,000. This looks like part of an export."),
        (1600, "warn", "the desk showed 1,000."),
        (4100, "bad", "the desk showed 1,000."),
    ],
)
def test_how_many_rows_came(size: int, status: str, end: str) -> None:
    check = judged(table(size))["rows"]
    assert check.status == status
    assert check.words.endswith(end)


@pytest.mark.parametrize(
    ("age", "shown", "status"),
    [(1, DAY, "ok"), (8, None, "ok"), (9, None, "warn"), (46, None, "bad"), (-2, DAY, "bad"), (-1, DAY, "ok"), (2, DAY, "bad")],
)
def test_how_old_the_rows_are(age: int, shown: date | None, status: str) -> None:
    assert judged(table(day=TODAY - timedelta(days=age)), shown=shown)["freshness"].status == status


def test_a_share_that_differs_by_chance_is_no_finding() -> None:
    small = table(12).with_columns(pl.when(pl.int_range(pl.len()) < 1).then(None).otherwise(pl.col("charge")).alias("charge"))
    usual = REFERENCE.with_columns(pl.when(pl.int_range(pl.len()) < 60).then(None).otherwise(pl.col("charge")).alias("charge"))
    report = incoming.inspect(small, SCHEMA, usual, today=TODAY)  # 8% missing against 3%: one row of twelve
    assert report.status == "ok"


def test_a_column_that_is_gone_or_of_another_type_is_a_finding_and_no_crash() -> None:
    assert judged(table().drop("charge"))["columns"].status == "bad"
    assert judged(table().with_columns(charge=pl.Series([[1.0]] * 1000)))["schema"].status == "bad"
    assert judged(table()[:0])["schema"].status == "bad"
    assert judged(table().drop("id"))["columns"].status == "bad"


def test_each_fault_has_its_words_and_only_a_judgement_can_be_released() -> None:
    faults: list[tuple[pl.DataFrame, str, bool]] = [
        (table().drop("charge"), "a column is missing", False),
        (spoilt("tenure", 1, "many"), "cells that cannot be read", False),
        (pl.concat([table(), table()[:2]]), "customers that come twice", False),
        (table(day=TODAY + timedelta(days=9)), "a day that is still to come", False),
        (table(day=DAY - timedelta(days=1)), "older rows than the desk shows", True),
        (spoilt("charge", 1000, ""), "values that are missing", True),
        (spoilt("charge", 600, "7995"), "values out of range", True),
        (spoilt("contract", 700, "2"), "values never seen", True),
        (table(300), "far fewer customers than before", True),
        (table(4100), "far more customers than before", True),
    ]
    for raw, kind, releasable in faults:
        report = incoming.inspect(raw, SCHEMA, REFERENCE, rows_before=1000, shown=DAY, today=TODAY)
        assert ([check.kind for check in report.bad], report.releasable) == ([kind], releasable)
    old = incoming.inspect(table(day=TODAY - timedelta(days=60)), SCHEMA, REFERENCE, today=TODAY)
    assert [check.kind for check in old.bad] == ["rows that are too old"]


def test_the_same_rows_have_the_same_name_whatever_the_file() -> None:
    assert incoming.batch_id(table()) == incoming.batch_id(table().with_columns(pl.col("tenure").cast(pl.Int64)))
    assert incoming.batch_id(table()) != incoming.batch_id(table(seed=4))
    assert incoming.batch_id(table()) != incoming.batch_id(table().rename({"tenure": "months"}))


def test_a_bad_batch_is_refused_in_words() -> None:
    report = incoming.inspect(spoilt("charge", 1000, ""), SCHEMA, REFERENCE, rows_before=5000, today=TODAY)
    assert report.sentence.startswith("This table must not be scored. Monthly charge is missing for 100%")
    assert report.sentence.endswith("1 more check failed.")
    with pytest.raises(DataError, match="part of an export"):
        incoming.refuse(report)
