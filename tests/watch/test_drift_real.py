"""Drift on the real tables: quiet where customers are drawn from the same table, found where one column was changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from churn.base.snapshot import RISK
from churn.data.infer import infer
from churn.data.quality import conform
from churn.data.schema import Schema
from churn.data.source import read_table
from churn.score.sketch import Daily, Grid, _grid_column, _number_column, sketch
from churn.watch.drift import WindowDrift, history
from tests.watch.drifting import FIRST

pytestmark = pytest.mark.realdata
TABLES = {
    "telco": ("WA_Fn-UseC_-Telco-Customer-Churn.csv", "customerID", "Churn", "MonthlyCharges", "PaymentMethod"),
    "bank": ("BankChurners.csv", "CLIENTNUM", "Attrition_Flag", "Total_Trans_Amt", "Income_Category"),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_real_table_against_itself_and_with_a_change(name: str, real_table: Callable[[str], Path]) -> None:
    file, key, target, number, category = TABLES[name]
    raw = read_table(str(real_table(file)))
    schema = infer(raw, key=key, target=target).schema
    table = conform(raw, schema).select(schema.names).with_columns(pl.lit(0.2).alias(RISK))
    order = np.random.default_rng(1).permutation(table.height)
    reference, rest = table[order[: table.height // 2]], table[order[table.height // 2 :]]
    columns = [_grid_column(feature, reference) for feature in schema.features]
    grid = Grid("v1", (*columns, _number_column(RISK, "risk", reference[RISK])), 0.2)

    def look(rows: pl.DataFrame) -> WindowDrift:
        (window,) = history([Daily("v1", FIRST, sketch(rows, grid))], grid, schema, every="day")
        return window

    assert look(rest).alarming == ()
    dearer = look(rest.with_columns((pl.col(number) * 1.15).cast(table.schema[number])))
    assert [(one.column, one.what) for one in dearer.alarming] == [(number, "shift")]
    levels = _with_a_new_level(rest, schema, category)
    assert [(one.column, one.what) for one in look(levels).alarming] == [(category, "new level")]


def _with_a_new_level(rows: pl.DataFrame, schema: Schema, column: str) -> pl.DataFrame:
    assert not schema.feature(column).is_number
    new = pl.int_range(pl.len()) % 33 == 0
    return rows.with_columns(pl.when(new).then(pl.lit("never heard of")).otherwise(pl.col(column).cast(pl.String)).alias(column))
