"""Folds: customers together, classes in proportion, time only forward."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from churn.errors import TrainingError
from churn.learn.folds import customer_folds, labelled, make_folds

if TYPE_CHECKING:
    from .conftest import MakeTable


def test_each_row_is_judged_once_a_repeat_with_its_share_of_leavers(make_table: MakeTable) -> None:
    table, schema = make_table(300)
    folds = make_folds(table, schema, splits=5, repeats=2, seed=1)
    y = table["__left__"].to_numpy()
    assert folds.complete
    assert [fold.repeat for fold in folds.folds] == [0] * 5 + [1] * 5
    for repeat in (0, 1):
        judged = np.concatenate([fold.test for fold in folds.folds if fold.repeat == repeat])
        assert sorted(judged) == list(range(300))
    for fold in folds.folds:
        assert not set(fold.train) & set(fold.test)
        assert y[fold.test].mean() == pytest.approx(y.mean(), abs=0.02)


def test_rows_of_a_customer_stay_in_one_fold(make_table: MakeTable) -> None:
    table, schema = make_table(600, customers=150)
    folds = make_folds(table, schema, splits=4, seed=0)
    keys = table["id"].to_numpy()
    assert folds.complete
    assert "all rows of a customer" in folds.words
    for fold in folds.folds:
        assert not set(keys[fold.train]) & set(keys[fold.test])


def test_time_runs_forward_with_a_gap_and_customers_apart(make_table: MakeTable) -> None:
    table, schema = make_table(3000, snapshots=10, customers=500)
    folds = make_folds(table, schema, splits=4, seed=0)
    days, keys = table["day"].to_list(), table["id"].to_numpy()
    assert not folds.complete
    assert len(folds.folds) == 4
    for fold in folds.folds:
        last = max(days[i] for i in fold.train)
        assert last + timedelta(days=30) <= min(days[i] for i in fold.test)
        assert not set(keys[fold.train]) & set(keys[fold.test])


def test_dates_that_do_not_reach_far_enough_are_said(make_table: MakeTable) -> None:
    table, schema = make_table(400, snapshots=1)
    folds = make_folds(table, schema, seed=0)
    assert folds.complete
    assert folds.words.startswith("The snapshot dates do not reach")


def test_customer_folds_keep_customers_together() -> None:
    keys = pl.Series(["a", "b", "c", "a", "d", "b"])
    folds = customer_folds(keys, splits=3)
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(6))
    for fold in folds:
        assert not {keys[int(i)] for i in fold.train} & {keys[int(i)] for i in fold.test}


def test_open_horizons_are_left_out(make_table: MakeTable) -> None:
    table, schema = make_table(600, snapshots=6)
    last = max(table["day"])
    early = table.with_columns(
        pl.when((pl.col("day") == last) & (pl.col("__left__") == 0)).then(None).otherwise(pl.col("__left__")).alias("__left__")
    )
    known, notes = labelled(early, schema)
    assert last not in known["day"].to_list(), "the leavers of an open snapshot go too"
    assert len(notes) == 2
    known, _ = labelled(table, schema, as_of=date(2025, 4, 15))
    assert max(known["day"]) + timedelta(days=30) <= date(2025, 4, 15)
    assert labelled(table, schema)[0].height == 600


def test_a_single_row_left_out_is_told_as_one(make_table: MakeTable) -> None:
    table, schema = make_table(400)
    unknown = pl.when(pl.int_range(pl.len()) == 7).then(None).otherwise(pl.col("__left__")).alias("__left__")
    assert labelled(table.with_columns(unknown), schema)[1] == ("1 row without an outcome was left out.",)


@pytest.mark.parametrize(
    ("rows", "left", "words"),
    [
        (40, 20, "at least 50 rows .* there are 40"),
        (80, 3, r"who left \('Yes'\); there are 3 of 80"),
        (80, 80, "stayed; there are 0"),
    ],
)
def test_too_little_to_learn_from(make_table: MakeTable, rows: int, left: int, words: str) -> None:
    table, schema = make_table(rows)
    table = table.with_columns(pl.Series("__left__", [1] * left + [0] * (rows - left), dtype=pl.Int8))
    with pytest.raises(TrainingError, match=words):
        labelled(table, schema)


def test_a_class_of_one_customer_cannot_be_split(make_table: MakeTable) -> None:
    table, schema = make_table(200)
    table = table.with_columns(
        pl.Series("id", ["X"] * 20 + [f"C{i // 2}" for i in range(180)]),
        pl.Series("__left__", [1] * 20 + [0] * 180, dtype=pl.Int8),
    )
    with pytest.raises(TrainingError, match="too few of the 91 customers"):
        make_folds(table, schema)
