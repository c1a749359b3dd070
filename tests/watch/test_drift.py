"""Drift: what is found, by which name, and what is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from scipy import stats

from churn.base.snapshot import RISK
from churn.score.sketch import Daily, Grid, Sketch, sketch
from churn.watch.drift import MOVED, WATCH, WindowDrift, history, persistent, span
from churn.watch.joint import JointDrift
from tests.watch import drifting
from tests.watch.drifting import FIRST, SCHEMA, customers, days, grid_of


@pytest.fixture(scope="module")
def reference() -> pl.DataFrame:
    return customers(5_000, np.random.default_rng(1))


@pytest.fixture(scope="module")
def grid(reference: pl.DataFrame) -> Grid:
    return grid_of(reference)


def one(table: pl.DataFrame, grid: Grid, **more: object) -> WindowDrift:
    (found,) = history(days([table], grid), grid, SCHEMA, every="day", **more)  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize(
    ("change", "column", "what"),
    [
        (drifting.shift, "n3", "shift"),
        (drifting.missing, "n0", "missing"),
        (drifting.new_level, "c2", "new level"),
        (drifting.level_mix, "c5", "level mix"),
    ],
)
def test_what_was_planted_is_found_and_nothing_else(grid: Grid, change: drifting.Change, column: str, what: str) -> None:
    random = np.random.default_rng(2)
    found = one(change(customers(20_000, random), random), grid)
    assert [(finding.column, finding.what) for finding in found.alarming] == [(column, what)]
    assert [moved.column for moved in found.moved] == [column]


def test_without_a_change_nothing_is_found(grid: Grid) -> None:
    random = np.random.default_rng(3)
    for size in (300, 3_000, 20_000):
        assert one(customers(size, random), grid).alarming == ()


def test_the_distance_is_that_of_the_rows_but_for_a_step_of_the_grid(reference: pl.DataFrame, grid: Grid) -> None:
    random = np.random.default_rng(4)
    table = drifting.shift(customers(8_000, random), random)
    found = one(table, grid)
    for name in ("n1", "n3"):
        told = stats.ks_2samp(table[name].drop_nulls(), reference[name].drop_nulls(), method="asymp")
        assert 0 <= told.statistic - found.of(name).distance <= 0.01
        assert found.of(name).p >= told.pvalue * 0.97
    before, now = (side["c5"].value_counts().sort("c5")["count"].to_numpy() for side in (reference, table))
    told = stats.chi2_contingency([before, now], correction=False)
    assert found.of("c5").p == pytest.approx(told.pvalue, rel=1e-6)
    assert found.of("c5").distance == pytest.approx(np.abs(before / before.sum() - now / now.sum()).sum() / 2)


def test_a_number_of_few_values_has_its_exact_distance() -> None:
    random = np.random.default_rng(5)
    calls, now = (pl.DataFrame({"n1": random.poisson(rate, size).astype(float)}) for rate, size in ((3, 2_000), (3.4, 900)))
    base, table = (customers(part.height, random).with_columns(n1=part["n1"]) for part in (calls, now))
    grid = grid_of(base)
    told = stats.ks_2samp(now["n1"], calls["n1"], method="asymp")
    assert one(table, grid).of("n1").distance == pytest.approx(told.statistic, abs=1e-12)


@pytest.mark.parametrize("outlier", [1e7, -1e7])
def test_an_outlier_on_either_side_moves_nothing_by_more_than_a_row(reference: pl.DataFrame, outlier: float) -> None:
    table = customers(1_000, np.random.default_rng(6))
    usual = one(table, grid_of(reference)).of("n1")

    def wild(side: pl.DataFrame) -> pl.DataFrame:
        return side.with_columns(n1=pl.when(pl.int_range(pl.len()) == 3).then(outlier).otherwise(pl.col("n1")))

    for now, before in ((wild(table), reference), (table, wild(reference))):
        found = one(now, grid_of(before)).of("n1")
        for figure in ("distance", "missing", "below", "above"):
            assert abs(getattr(found, figure) - getattr(usual, figure)) <= 1 / 1_000 + 1e-12
        assert found.psi == pytest.approx(usual.psi, abs=0.002)


def test_a_strange_table_is_shown_and_stops_nothing(grid: Grid) -> None:
    table = customers(1_000, np.random.default_rng(7)).with_columns(
        n1=pl.lit(None, dtype=pl.Float64), n2=pl.lit("?"), c1=pl.lit(4), extra=pl.lit(1)
    )
    found = one(table.drop("c3"), grid)
    assert {name: found.of(name).missing for name in ("n1", "n2", "c1", "c3")} == dict.fromkeys(("n1", "n2", "c1", "c3"), 1.0)
    assert {finding.column for finding in found.alarming if finding.what == "missing"} == {"n1", "n2", "c1", "c3"}
    assert found.of("c3").unreadable == "is not there"
    assert found.strange == ("extra",)


def test_a_day_without_rows_is_no_window(grid: Grid) -> None:
    table = customers(400, np.random.default_rng(8))
    assert len(history(days([table, table.clear(), table], grid), grid, SCHEMA, every="day")) == 2
    assert history(days([table.clear()], grid), grid, SCHEMA) == ()
    assert history([], grid, SCHEMA) == ()


def test_too_few_customers_say_nothing_however_often_they_are_scored(grid: Grid) -> None:
    random = np.random.default_rng(9)
    few = drifting.shift(customers(120, random), random).with_columns(n3=pl.lit(9.0))
    weekly = history(days([few] * 7, grid, first=date(2026, 10, 5)), grid, SCHEMA, every="week")
    (found,) = weekly
    assert found.rows == 840
    assert found.small
    assert found.alarming == ()
    assert {column.status for column in found.columns} == {"few"}


def test_rows_of_the_same_customers_are_no_more_evidence(grid: Grid) -> None:
    table = customers(600, np.random.default_rng(10))
    alone = one(table, grid)
    (week,) = history(days([table] * 7, grid, first=date(2026, 10, 5)), grid, SCHEMA, every="week")
    for name in ("n1", "c1"):
        assert week.of(name).distance == pytest.approx(alone.of(name).distance)
        assert week.of(name).p == pytest.approx(alone.of(name).p, rel=0.3)


def test_the_band_is_wider_for_fewer_and_a_distance_beyond_it_has_moved(grid: Grid) -> None:
    random = np.random.default_rng(11)
    widths = []
    for size in (250, 1_000, 20_000):
        found = one(customers(size, random), grid)
        widths.append(found.of("n1").band[1])
        assert found.of("n1").band[0] >= WATCH
    assert widths[0] > widths[1] > widths[2] == MOVED
    for size in (300, 900):
        for _ in range(5):
            found = one(drifting.shift(customers(size, random), random), grid)
            for column in (found.risk, *found.columns):
                if column.statistic == "ks" and not column.missing:
                    assert (column.distance >= column.band[1] - 1e-9) == (column.status == "moved")


def test_versions_are_never_mixed(grid: Grid) -> None:
    table = customers(900, np.random.default_rng(12))
    mine = days([table], grid)
    others = [replace(mine[0], model="v2"), Daily("v1", FIRST, replace(sketch(table, grid), grid="another"))]
    (found,) = history([*mine, *others], grid, SCHEMA, every="month")
    assert (found.model, found.rows) == ("v1", 900)


def test_windows_widen_and_the_last_is_marked_while_more_is_due(grid: Grid) -> None:
    table = customers(90, np.random.default_rng(13))
    found = history(days([table] * 8, grid), grid, SCHEMA, every="day")
    assert [(window.start.day, window.end.day, window.rows) for window in found] == [(1, 3, 270), (4, 6, 270), (7, 8, 180)]
    big = customers(300, np.random.default_rng(14))
    monday = date(2026, 10, 5)
    weekly = history(days([big] * 10, grid, first=monday), grid, SCHEMA, every="week")
    assert [(window.start, window.complete) for window in weekly] == [(monday, True), (monday + timedelta(days=7), False)]
    monthly = history(days([big] * 3, grid, first=date(2026, 8, 19), apart=31), grid, SCHEMA, every="month")
    assert [window.complete for window in monthly] == [True, True, True]


def test_against_the_window_before(grid: Grid) -> None:
    random = np.random.default_rng(15)
    tables = [customers(6_000, random, name=f"{i}-") for i in range(4)]
    tables[2:] = [drifting.shift(table, random) for table in tables[2:]]
    found = history(days(tables, grid), grid, SCHEMA, every="day", against="before")
    assert [bool(window.alarming) for window in found] == [False, True, False]
    assert found[1].reference_risk == pytest.approx(found[0].average_risk)


def test_what_matters_more_ranks_higher_and_the_risk_is_first(grid: Grid) -> None:
    random = np.random.default_rng(16)
    table = customers(9_000, random).with_columns(pl.col("n3") + 0.3, pl.col("n4") + 0.25, pl.col(RISK) * 0.7)
    found = one(table, grid, importance={"n3": 0.01, "n4": 0.05})
    assert [column.column for column in found.moved] == ["n4", "n3"]
    assert found.findings[0].column == RISK
    assert found.of("n4").importance == 0.05


def test_how_columns_go_together_joins_the_tests_of_its_window(grid: Grid) -> None:
    table = customers(2_000, np.random.default_rng(17))
    told = JointDrift("v1", FIRST, FIRST, 0.2, 0.6, 1e-9, (("n1", 0.7),), 2_000)
    found = one(table, grid, joint=[told])
    assert [(finding.column, finding.what, finding.size) for finding in found.alarming] == [("", "joint", 0.2)]
    assert found.joint == told
    assert one(table, grid, joint=[replace(told, end=FIRST + timedelta(days=1))]).joint is None


def test_few_false_alarms(grid: Grid) -> None:
    """The law; the benchmark has all sizes and more windows."""
    random = np.random.default_rng(18)
    alarms = [bool(one(customers(size, random), grid).alarming) for size in (200, 600) for _ in range(60)]
    assert sum(alarms) / len(alarms) <= 0.1


def test_persistent_is_two_of_three() -> None:
    raised = [{"a"}, {"b"}, {"a"}, set(), {"b"}, {"a", "b"}]
    assert [sorted(causes) for causes in persistent(raised)] == [[], [], ["a"], [], [], ["b"]]


def test_spans() -> None:
    day = date(2026, 11, 28)
    assert span(day, "day") == (day, day)
    assert span(day, "week") == (date(2026, 11, 23), date(2026, 11, 29))
    assert span(day, "month") == (date(2026, 11, 1), date(2026, 11, 30))
    assert span(date(2026, 12, 31), "month") == (date(2026, 12, 1), date(2026, 12, 31))


def test_an_empty_sketch_says_nothing(grid: Grid) -> None:
    assert history([Daily("v1", FIRST, Sketch.empty(grid))], grid, SCHEMA) == ()
