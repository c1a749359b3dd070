"""Predictions made elsewhere: every cell checked, all or nothing, once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import polars as pl
import pytest

from churn.data.schema import Schema
from churn.errors import DataError
from churn.model.store import Store
from churn.score import forgotten, log
from churn.score.importing import Imported, import_predictions

TODAY = date(2026, 12, 1)


@pytest.fixture
def raw(schema: Schema, make_table: Callable[..., pl.DataFrame]) -> pl.DataFrame:
    table = make_table(schema, 4).select("customer", "tenure", "contract")
    return table.with_columns(
        risk=pl.Series(["0.1", "0.2", "0.9", "1"]), as_of=pl.Series(["2026-10-01", "2026-10-01", "2026-11-01", "2026-11-01"])
    )


def brought(raw: pl.DataFrame, schema: Schema, store: Store, **given: Any) -> Imported:
    return import_predictions(raw, schema, store, **{"model": "v1", "today": TODAY, **given})


def test_each_day_becomes_a_part_with_what_the_table_has(raw: pl.DataFrame, schema: Schema, store: Store) -> None:
    done = brought(raw, schema, store)
    assert (done.logged, done.known, done.absent) == (4, 0, ("charge", "idle"))
    assert done.days == (date(2026, 10, 1), date(2026, 11, 1))
    found = log.read(store)
    assert found["__source__"].unique().to_list() == ["import"]
    assert found["__key__"].to_list() == raw["customer"].to_list()
    assert found["__risk__"].to_list() == [0.1, 0.2, 0.9, 1.0]
    assert found["__margin__"][:2].to_list() == pytest.approx([-2.1972246, -1.3862944])
    assert found["__margin__"].is_finite().all()
    assert found["tenure"].to_list() == raw["tenure"].to_list()
    assert "charge" not in found.columns


def test_the_same_rows_in_any_order_change_nothing(raw: pl.DataFrame, schema: Schema, store: Store) -> None:
    brought(raw, schema, store)
    again = brought(raw.reverse(), schema, store)
    assert (again.logged, again.known) == (0, 4)
    log.compact(store)
    assert brought(raw, schema, store).known == 4
    assert log.read(store).height == 4


@pytest.mark.parametrize(
    ("column", "row", "value", "says"),
    [
        ("risk", 2, "1.2", "column 'risk' must be a chance from 0 to 1; row 3 has '1.2'"),
        ("risk", 0, "high", "column 'risk' must be a chance from 0 to 1; row 1 has 'high'"),
        ("risk", 0, None, "column 'risk' must be a chance from 0 to 1; row 1 has nothing"),
        ("customer", 1, " ", "column 'customer' is the key and must not be empty; row 2 has ' '"),
        ("customer", 1, "C0000", "column 'customer' must not repeat within one day; row 2 has 'C0000'"),
        ("as_of", 3, "2026-12-02", r"column 'as_of' must not lie in the future \(today is 2026-12-01\); row 4 has '2026-12-02'"),
        ("as_of", 3, "soon", "column 'as_of' must be a date; row 4 has 'soon'"),
        ("tenure", 3, "long", "column 'tenure' must be a number; row 4 has 'long'"),
    ],
)
def test_a_cell_that_cannot_be_is_named_and_nothing_is_logged(
    column: str, row: int, value: str | None, says: str, raw: pl.DataFrame, schema: Schema, store: Store
) -> None:
    text = raw.with_columns(pl.col("tenure").cast(pl.String))
    cells = text[column].to_list()
    cells[row] = value
    with pytest.raises(DataError, match=says):
        brought(text.with_columns(pl.Series(column, cells, dtype=pl.String)), schema, store)
    assert log.parts(store) == ()


def test_a_day_for_all_rows(raw: pl.DataFrame, schema: Schema, store: Store) -> None:
    with pytest.raises(DataError, match="--as-of"):
        brought(raw.drop("as_of"), schema, store)
    assert brought(raw.drop("as_of"), schema, store, as_of=date(2026, 9, 1)).days == (date(2026, 9, 1),)


def test_a_schema_with_snapshots_names_the_day(raw: pl.DataFrame, dated: Schema, store: Store) -> None:
    done = brought(raw.rename({"as_of": "day"}), dated, store)
    assert len(done.days) == 2
    assert log.read(store)["__as_of__"].n_unique() == 2


def test_a_column_that_is_needed_is_named(raw: pl.DataFrame, schema: Schema, store: Store) -> None:
    with pytest.raises(DataError, match="column 'risk' is not in the predictions"):
        brought(raw.rename({"risk": "score"}), schema, store)
    assert brought(raw.rename({"risk": "score"}), schema, store, risk="score").logged == 4


def test_who_was_forgotten_is_left_out(raw: pl.DataFrame, schema: Schema, store: Store) -> None:
    store.write(forgotten.stone("C0001", forgotten.salt(store)), b"{}")
    assert brought(raw, schema, store).forgotten == 1
    assert "C0001" not in log.read(store)["__key__"].to_list()
