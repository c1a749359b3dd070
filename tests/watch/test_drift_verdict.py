"""What drift means in words, and how a column's bars are made."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest

from churn.base.snapshot import RISK
from churn.data.schema import Feature
from churn.score.sketch import Grid
from churn.watch import drift_report as report
from churn.watch.drift import WindowDrift, history
from churn.watch.drift_verdict import Verdict, _ends, facts, odd, since, verdict, window_words
from churn.watch.joint import JointDrift
from churn.watch.shape import middle, most_changed, shape
from tests.watch import drifting
from tests.watch.drifting import FIRST, SCHEMA, customers, days, grid_of


@pytest.fixture(scope="module")
def reference() -> pl.DataFrame:
    return customers(4_000, np.random.default_rng(1))


@pytest.fixture(scope="module")
def grid(reference: pl.DataFrame) -> Grid:
    return grid_of(reference)


def told(grid: Grid, *tables: pl.DataFrame, **more: object) -> tuple[Verdict, tuple[WindowDrift, ...]]:
    windows = history(days(tables, grid), grid, SCHEMA, every="day", **more)  # type: ignore[arg-type]
    return verdict(windows, grid, SCHEMA, every="day", against="reference"), windows


def test_what_moved_is_the_title_and_since_when(grid: Grid) -> None:
    random = np.random.default_rng(2)
    plain, moved = customers(4_000, random), drifting.shift(customers(4_000, random), random)
    found, windows = told(grid, plain, moved, moved)
    assert (
        found.title
        == "One of 20 columns has moved since the model was trained: check number 3 before you trust this month's list"
    )
    assert found.sentence.startswith("3 Oct 2026: 4,000 predictions. The average risk is")
    assert found.sentence.endswith("%.")
    assert [(line.mark, line.lead) for line in found.lines] == [("moved", "Number 3"), ("steady", "19 other columns")]
    assert "moved by 1" in found.lines[0].text
    assert found.lines[0].text.endswith("since 2 Oct.")
    assert found.lines[1].text == "are steady. No new levels, no rise in missing values."
    assert since(windows, "n3") == date(2026, 10, 2)


def test_each_kind_of_change_in_words(grid: Grid) -> None:
    random = np.random.default_rng(3)
    table = customers(6_000, random)
    for change in (drifting.missing, drifting.new_level, drifting.level_mix):
        table = change(table, random)
    found, _ = told(grid, table)
    by_lead = {line.lead: line.text for line in found.lines}
    assert found.title.startswith("Three of 20 columns have moved")
    assert list(by_lead)[-1] == "17 other columns"
    single = {
        "Number 0": (drifting.missing, "is missing for 12%, was 2%, since 1 Oct."),
        "Kind 2": (drifting.new_level, "has values unknown to the model for 3%: unheard of, since 1 Oct."),
        "Kind 5": (drifting.level_mix, "c went from 2"),
    }
    for lead, (change, text) in single.items():
        own, _ = told(grid, change(customers(9_000, random), random))
        (line,) = [line for line in own.lines if line.lead == lead]
        assert line.text.startswith(text)


def test_why_a_column_counts_that_has_hardly_moved(grid: Grid) -> None:
    random = np.random.default_rng(12)
    table = drifting.new_level(drifting.missing(customers(9_000, random), random), random)
    _, (window,) = told(grid, table)
    assert odd(window.of("n0")) == "12% missing, was 2%"
    assert odd(window.of("n0"), named=False) == "12%, was 2%"
    assert odd(window.of("c2")) == "3% new"
    assert odd(window.of("n3")) is None
    assert odd(replace(window.of("c2"), missing=0.3)) == "30% missing, was 0%"
    assert odd(replace(window.of("n3"), missing=0.02, missing_reference=0.02)) == "2% missing"


def test_nothing_moved_and_too_few(grid: Grid) -> None:
    random = np.random.default_rng(4)
    found, _ = told(grid, customers(5_000, random))
    assert found.title == "Nothing has moved since the model was trained: the scores can be trusted as before"
    assert [line.mark for line in found.lines] == ["steady"]
    few, windows = told(grid, customers(90, random))
    assert few.title == "Too few customers to say whether anything has moved"
    assert "(90) to say; shown from 200." in few.sentence
    assert windows[-1].small


def test_only_the_risks_or_only_how_columns_go_together(grid: Grid) -> None:
    random = np.random.default_rng(5)
    table = customers(5_000, random)
    risks, _ = told(grid, table.with_columns(pl.col(RISK) * 0.6))
    assert risks.title.startswith("The risks have moved since the model was trained, though no column has by itself")
    assert risks.lines[0].lead == "The risks"
    together = JointDrift("v1", FIRST, FIRST, 0.2, 0.6, 1e-9, (("n6", 0.6), ("n5", 0.2)), 4_000)
    joint, _ = told(grid, table, joint=[together])
    assert joint.title.startswith("No column has moved by itself")
    assert joint.lines[0].text == "changed, most for number 6 and number 5."


def test_never_more_than_four_lines(grid: Grid) -> None:
    table = customers(5_000, np.random.default_rng(6)).with_columns([pl.col(f"n{i}") + 0.5 for i in range(8)])
    found, _ = told(grid, table)
    assert len(found.lines) == 4
    assert found.lines[2].lead == "Six more columns have moved:"
    assert found.lines[2].text == "see the table below."


def test_columns_that_moved_are_counted_apart_from_those_on_watch(grid: Grid) -> None:
    shifts = [pl.col(f"n{i}") + (0.5 if i < 4 else 0.06) for i in range(6)]
    found, (window,) = told(grid, customers(9_000, np.random.default_rng(13)).with_columns(shifts))
    assert (len(window.moved), len(window.watched)) == (4, 2)
    assert found.title.startswith("Four of 20 columns have moved")
    assert found.lines[2].lead == "Two more columns have moved and two are on watch:"
    assert found.lines[2].mark == "moved"


def test_both_ends_of_money_have_cents_or_neither_has() -> None:
    feature = Feature(name="fee", kind="number", label="Fee", unit="money")
    assert _ends(783.0, 658.79, feature, SCHEMA) == ("$783", "$659")
    assert _ends(783.0, 783.04, feature, SCHEMA) == ("$783.00", "$783.04")


def test_windows_are_named_by_their_length(grid: Grid) -> None:
    table = customers(300, np.random.default_rng(7))
    for every, name in (("day", "1 Oct 2026"), ("week", "Week of 28 Sep 2026"), ("month", "Oct 2026")):
        (window,) = history(days([table], grid), grid, SCHEMA, every=every)  # type: ignore[arg-type]
        assert window_words(window, every) == name  # type: ignore[arg-type]


# -- bars --------------------------------------------------------------------------


def test_bars_of_a_number_hold_everybody_once_and_as_the_rows_say(reference: pl.DataFrame, grid: Grid) -> None:
    table = drifting.shift(customers(5_000, np.random.default_rng(8)), np.random.default_rng(8))
    _, (window,) = told(grid, table)
    found = shape(window, grid, SCHEMA, "n3")
    assert sum(bar.now for bar in found.bars) == pytest.approx(1)
    assert sum(bar.before for bar in found.bars) == pytest.approx(1)
    assert len(found.ticks) == len(found.bars) + 1
    limits = [float(tick.replace("−", "-").rstrip("+")) for tick in found.ticks]
    for i, bar in enumerate(found.bars[1:-1], start=1):
        for side, share in ((table, bar.now), (reference, bar.before)):
            inside = ((side["n3"] > limits[i]) & (side["n3"] <= limits[i + 1])).mean()
            assert share == pytest.approx(inside, abs=0.012)
    was, now = middle(window, grid, "n3") or (0.0, 0.0)
    assert (was, now) == pytest.approx((reference["n3"].median(), table["n3"].median()), abs=0.03)


def test_bars_of_a_category_are_its_levels_and_what_is_new(grid: Grid) -> None:
    random = np.random.default_rng(9)
    table = drifting.new_level(customers(5_000, random), random)
    _, (window,) = told(grid, table)
    found = shape(window, grid, SCHEMA, "c2")
    assert [bar.label for bar in found.bars] == [*drifting.LEVELS, "New"]
    assert found.bars[-1].before == 0
    assert found.bars[-1].now == pytest.approx((table["c2"] == "unheard of").mean())
    assert ("Unknown to the model", f"unheard of ({(table['c2'] == 'unheard of').sum()})") in facts(window, "c2")
    level, before, now = most_changed(window, grid, SCHEMA, "c5") or ("", 0.0, 0.0)
    assert level in drifting.LEVELS
    assert abs(before - now) < 0.03


def test_a_column_without_values_has_no_bars(grid: Grid) -> None:
    table = customers(500, np.random.default_rng(10)).with_columns(n1=pl.lit(None, dtype=pl.Float64))
    _, (window,) = told(grid, table)
    assert sum(bar.now for bar in shape(window, grid, SCHEMA, "n1").bars) == 0
    assert middle(window, grid, "n1") is None
    empty = grid_of(customers(500, np.random.default_rng(10)).with_columns(n1=pl.lit(None, dtype=pl.Float64)))
    (blank,) = history(days([table], empty), empty, SCHEMA, every="day")
    assert shape(blank, empty, SCHEMA, "n1").bars == ()
    assert blank.of("n1").status == "quiet"


# -- files -------------------------------------------------------------------------


def test_the_files_say_what_the_page_says_and_escape_it(grid: Grid) -> None:
    random = np.random.default_rng(11)
    table = customers(5_000, random)
    odd = pl.when(pl.Series(random.random(5_000) < 0.05)).then(pl.lit("<script>x</script>")).otherwise(pl.col("c2"))
    found, windows = told(grid, table.with_columns(c2=odd))
    page = report.to_html(windows, found, SCHEMA, who="All customers", compared="training", simulated=True, origin="Model v1")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "Simulated data" in page
    assert "Kind 2" in page
    assert "http" not in page.replace("http-equiv", "")
    data = json.loads(
        report.to_json(report.document(windows, found, SCHEMA, who="All customers", compared="reference", simulated=True))
    )
    assert data["title"] == found.title
    (window,) = data["windows"]
    assert window["rows"] == 5_000
    assert {one["column"]: one["status"] for one in window["columns"]}["Kind 2"] == "moved"
    assert '"c2"' not in report.to_json(data)
    assert window["findings"][0]["what"] == "new level"
