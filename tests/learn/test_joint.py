"""How columns go together: found where it changed, and not where only chance or one column by itself did."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from churn.learn.joint import joint_drift
from churn.model.store import open_store
from churn.settings import Settings
from churn.watch import joint
from churn.watch.joint import JointDrift
from tests.watch import drifting
from tests.watch.drifting import SCHEMA, customers

DAY = date(2026, 11, 1)


@pytest.fixture(scope="module")
def reference() -> pl.DataFrame:
    return customers(4_000, np.random.default_rng(1))


def asked(rows: pl.DataFrame, reference: pl.DataFrame) -> JointDrift:
    found = joint_drift(rows, reference, SCHEMA, model="v1", start=DAY, end=DAY)
    assert found is not None
    return found


def test_a_column_that_goes_with_nothing_any_more_is_found_and_named(reference: pl.DataFrame) -> None:
    random = np.random.default_rng(2)
    found = asked(drifting.joint(customers(6_000, random), random), reference)
    assert found.p < 1e-6
    assert found.distance >= 0.05
    assert found.drivers[0][0] == "n6"


def test_no_difference_is_none_and_neither_is_a_column_by_itself(reference: pl.DataFrame) -> None:
    random = np.random.default_rng(3)
    p = [asked(change(customers(2_000, random)), reference).p for change in (lambda t: t, _shifted, lambda t: t, _gone)]
    assert min(p) > 0.01


def test_a_column_that_moved_by_itself_is_not_taken_for_it(reference: pl.DataFrame) -> None:
    random = np.random.default_rng(5)
    table = customers(6_000, random)
    told = asked(table.with_columns(n0=pl.when(pl.col("n1") > 1.0).then(None).otherwise(pl.col("n0"))), reference)
    mixed = asked(table.with_columns(c5=pl.when(pl.col("n1") > 1.0).then(pl.lit("a")).otherwise(pl.col("c5"))), reference)
    older = asked(table.filter((pl.col("n1") > 0) | (pl.int_range(pl.len()) % 2 == 0)), reference)
    assert min(told.p, mixed.p, older.p) > 0.01
    assert not {"n0", "c5"} & {name for name, _ in (*told.drivers, *mixed.drivers)[:1]}


def _shifted(table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns(pl.col("n3") + 0.5)


def _gone(table: pl.DataFrame) -> pl.DataFrame:
    return table.drop("n5").with_columns(c1=pl.lit(3))


def test_the_same_rows_give_the_same_answer_and_too_few_none(reference: pl.DataFrame) -> None:
    rows = customers(900, np.random.default_rng(4))
    assert asked(rows, reference) == asked(rows, reference)
    assert joint_drift(rows.head(150), reference, SCHEMA, model="v1", start=DAY, end=DAY) is None


def test_a_result_is_kept_and_a_damaged_one_passed_over(tmp_path: object) -> None:
    store = open_store(Settings(home=tmp_path, store="store"))  # type: ignore[arg-type]
    found = JointDrift("v1", DAY, DAY, 0.1, 0.6, 1e-5, (("n1", 0.5), ("c1", 0.2)), 5_000)
    joint.write(store, found)
    joint.write(store, JointDrift("v2", DAY, DAY, 0.0, 0.5, 0.5, (), 5_000))
    assert joint.read(store, "v1") == (found,)
    store.write("joint/model=v1/2026-12-01_2026-12-02.json", b"{")
    assert joint.read(store, "v1") == (found,)
