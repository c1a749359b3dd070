"""Predictions that leave the log, and the counts that stay."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import polars as pl
import pytest

from churn.data.schema import Schema
from churn.model.bundle import Bundle
from churn.model.registry import Registry
from churn.model.store import Store
from churn.score import log, sketch, upkeep
from churn.score.batch import score

DAY = date(2026, 11, 1)


@pytest.fixture
def rows(schema: Schema, publish_model: Callable[[Schema], Bundle], make_table: Callable[..., pl.DataFrame]) -> pl.DataFrame:
    return score(make_table(schema, 90), publish_model(schema).model).rows


def _logged(store: Store, rows: pl.DataFrame, schema: Schema, *runs: int) -> None:
    for run in runs:
        some = rows[30 * run : 30 * run + 30]
        log.append(store, some, schema, model="v1", as_of=DAY, run=f"r{run}", source="api")


@pytest.mark.parametrize("between", [False, True], ids=["counted once", "counted before and after"])
def test_a_day_is_counted_once_however_its_parts_were_put_together(
    between: bool, rows: pl.DataFrame, schema: Schema, store: Store, registry: Registry
) -> None:
    _logged(store, rows, schema, 0, 1)
    if between:
        sketch.ensure(store, registry)
    assert upkeep.compact(store, registry).runs == 2
    _logged(store, rows, schema, 2)
    if between:
        sketch.ensure(store, registry)
        upkeep.compact(store, registry)
    sketch.ensure(store, registry)
    assert [one.sketch.rows for one in sketch.read(store)] == [90]


def test_what_expires_was_counted_before(rows: pl.DataFrame, schema: Schema, store: Store, registry: Registry) -> None:
    _logged(store, rows, schema, 0, 1)
    sketch.ensure(store, registry)
    upkeep.compact(store, registry)
    _logged(store, rows, schema, 2)
    gone = upkeep.expire(store, registry, date(2026, 11, 2))
    assert sorted(run for part in gone for run in part.runs) == ["r0", "r1", "r2"]
    assert log.parts(store) == ()
    assert [one.sketch.rows for one in sketch.read(store)] == [90]
    assert upkeep.expire(store, registry, date(2026, 11, 2)) == ()
