"""Where predictions err: by hand, and how often a group is called off that is not."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from churn.base.groups import BAND
from churn.data.schema import Schema
from churn.errors import DataError
from churn.watch.by_group import by_group, groups_of, worst_first


@pytest.fixture
def schema() -> Schema:
    levels = [{"value": f"r{i}"} for i in range(10)]
    return Schema.model_validate(
        {
            "key": "customer",
            "target": {"column": "churned", "positive": "Yes"},
            "features": [
                {"name": "region", "kind": "category", "label": "Region", "levels": levels},
                {"name": "tenure", "kind": "number", "label": "Tenure", "unit": "month", "whole": True, "range": [0, 60]},
            ],
        }
    )


def _rows(rows: int, seed: int, off: str = "", by: float = 0.0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    p = np.sort(1 / (1 + np.exp(-rng.normal(-1.2, 1, rows))))[::-1]
    region = np.array([f"r{i}" for i in rng.integers(0, 10, rows)])
    true = np.clip(p + by * (region == off), 0, 1)
    return pl.DataFrame(
        {
            "region": region,
            "tenure": rng.integers(0, 61, rows),
            "__risk__": p,
            "__left__": (rng.random(rows) < true).astype(np.int8),
        }
    )


def test_counts_by_hand(schema: Schema) -> None:
    rows = pl.DataFrame(
        {
            "region": ["r0", "r1", "r0", "r1", "r0"],
            "tenure": [1, 2, None, 30, 60],
            "__risk__": [0.9, 0.8, 0.4, 0.2, 0.1],
            "__left__": pl.Series([1, 0, None, 1, 0], dtype=pl.Int8),
        }
    )
    of = groups_of(["region"], schema, rows)
    first, second, *bands = by_group(rows, of, schema, 2, least=1)
    assert (first.label, first.rows, first.left, first.listed) == ("r0", 2, 1, 1)
    assert first.expected == pytest.approx(1.0)
    assert first.gap.value == pytest.approx(0.0)
    assert first.excess == pytest.approx((-np.log(0.9) - np.log(0.9)) / 2 + (2 * (0.9 * np.log(0.9) + 0.1 * np.log(0.1))) / 2)
    assert (second.selected.value, second.recall and second.recall.value) == (0.5, 0.0)
    assert [(one.column, one.label, one.rows) for one in bands] == [(BAND, "Low", 1), (BAND, "Medium", 1), (BAND, "Very high", 2)]
    assert sum(one.rows for one in bands) == 4  # each customer whose outcome is known is in one band


def test_a_group_that_leaves_more_than_promised_comes_first(schema: Schema) -> None:
    rows = _rows(8_000, 1, off="r3", by=0.15)
    found = worst_first(by_group(rows, groups_of(["region", "tenure"], schema, rows), schema, 500))
    assert (found[0].label, found[0].off) == ("r3", True)
    assert found[0].gap.holds(0.15)
    assert found[0].excess > 0


def test_where_nothing_is_off_hardly_any_answer_says_so(schema: Schema) -> None:
    said = 0
    for seed in range(60):
        rows = _rows(3_000, seed)
        said += any(one.off for one in by_group(rows, groups_of(["region", "tenure"], schema, rows), schema, 300))
    assert said / 60 < 0.12


def test_small_groups_are_never_called_off_and_come_last(schema: Schema) -> None:
    rows = _rows(400, 2, off="r3", by=0.9)
    found = worst_first(by_group(rows, groups_of(["region"], schema, rows), schema, 50, least=100))
    assert [one.few for one in found] == sorted(one.few for one in found)
    assert not any(one.off for one in found if one.rows < 100)


def test_without_outcomes_there_is_nothing_to_say(schema: Schema) -> None:
    rows = _rows(10, 0).with_columns(pl.lit(None, pl.Int8).alias("__left__"))
    with pytest.raises(DataError, match="no outcome"):
        by_group(rows, {}, schema, 5)
