"""Drift drawn: the line breaks where the model changes, bands follow the windows' size, what is more than before is orange."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from churn.base.snapshot import RISK
from churn.charts import theme
from churn.charts.drift import now_and_before, over_time
from churn.charts.theme import Chart
from churn.watch.drift import WindowDrift, history
from churn.watch.shape import Bar, Shape
from tests.watch import drifting
from tests.watch.drifting import SCHEMA, customers, days, grid_of

Valid = Callable[[Chart], Chart]


@pytest.fixture(scope="module")
def windows() -> tuple[WindowDrift, ...]:
    random = np.random.default_rng(1)
    grid = grid_of(customers(3_000, random))
    tables = [customers(size, random) for size in (2_000, 2_000, 300)]
    tables.append(drifting.shift(customers(2_000, random), random))
    return history(days(tables, grid, apart=7), grid, SCHEMA, every="day")


def test_what_has_moved_is_orange_and_the_last_value_is_written(windows: tuple[WindowDrift, ...], valid: Valid) -> None:
    chart = valid(over_time(windows, "n3", "Number 3"))
    (line,) = chart.figure["data"]
    assert line["y"] == [window.of("n3").distance for window in windows]
    assert line["marker"]["color"] == [theme.INK, theme.INK, theme.INK, theme.RAISES]
    texts = [note["text"] for note in chart.figure["layout"]["annotations"]]
    assert f"<b>{100 * windows[-1].of('n3').distance:.1f}</b>" in texts
    assert chart.alt.startswith("Line: how far Number 3 has moved, 4 windows, from")
    assert "in 1 of them" in chart.alt


def test_the_band_starts_higher_for_few_customers(windows: tuple[WindowDrift, ...], valid: Valid) -> None:
    chart = valid(over_time(windows, RISK, "Risk"))
    moved, watch = (shape["path"] for shape in chart.figure["layout"]["shapes"] if shape["type"] == "path")
    assert f",{windows[2].risk.band[1]}" in moved
    assert f",{windows[0].risk.band[1]}" in moved
    assert f",{windows[2].risk.band[0]}" in watch
    assert windows[2].risk.band[1] > windows[0].risk.band[1]


def test_versions_are_parted_by_a_mark(windows: tuple[WindowDrift, ...], valid: Valid) -> None:
    later = [replace(one, model="v<2>", start=one.start + timedelta(days=28)) for one in windows]
    chart = valid(over_time([*windows, *later], RISK, "Risk"))
    assert len(chart.figure["data"]) == 2
    texts = [note["text"] for note in chart.figure["layout"]["annotations"]]
    assert "model v&lt;2&gt; from here" in texts
    missing = [replace(one, columns=tuple(c for c in one.columns if c.column != "n3")) for one in windows]
    assert valid(over_time(missing, "n3", "Number 3")).alt == "Line: how far Number 3 has moved; nothing to show."


def test_one_window_and_one_not_complete_are_drawn(windows: tuple[WindowDrift, ...], valid: Valid) -> None:
    chart = valid(over_time([replace(windows[0], complete=False)], RISK, "Risk"))
    assert chart.figure["data"][0]["marker"]["symbol"] == ["circle-open"]
    far = [replace(one, risk=replace(one.risk, distance=0.9, band=(1.0, 1.0))) for one in windows]
    valid(over_time(far, RISK, "Risk", height=150))


def test_columns_of_a_number(valid: Valid) -> None:
    found = Shape("x", (Bar("0 to 5", 0.2, 0.55), Bar("5 to 10", 0.7, 0.45)), "5", ("0", "5", "10"))
    chart = valid(now_and_before(found, "<Fee>"))
    grey, more, line = chart.figure["data"]
    assert grey["y"] == [0.2, 0.45]
    assert more["y"] == pytest.approx([0.0, 0.25])
    assert more["marker"]["color"] == theme.RAISES
    assert line["y"] == [0.0, 0.55, 0.55, 0.45, 0.45, 0.0]
    assert chart.figure["layout"]["xaxis"]["ticktext"] == ["0", "5", "10"]
    assert chart.alt == "Bars: <Fee> by value, 2 bars, now against before; most changed is 0 to 5, from 55.0% to 20.0%."


def test_rows_of_a_category(valid: Valid) -> None:
    found = Shape("x", (Bar("A *very* long name of a level that nobody can read", 0.7, 0.9), Bar("New", 0.3, 0.0)))
    chart = valid(now_and_before(found, "Kind", then="before"))
    texts = [note["text"] for note in chart.figure["layout"]["annotations"]]
    assert "line: before" in texts
    assert "<b>30%</b> (was 0%)" in texts
    assert any(text.endswith("…") for text in texts)
    assert len(chart.figure["layout"]["shapes"]) == 2
    assert valid(now_and_before(Shape("x", ()), "Kind")).alt == "Bars: Kind by value; nothing to show."


def test_colours_are_those_of_the_theme(windows: tuple[WindowDrift, ...]) -> None:
    drawn = str(over_time(windows, RISK, "Risk").figure) + str(now_and_before(Shape("x", (Bar("a", 0.1, 0.9),)), "Kind").figure)
    assert pl.Series([drawn]).str.extract_all(r"#[0-9a-fA-F]{6}").list.explode().is_in(list(theme.ON_PAPER)).all()
