"""Promised and come over time, and groups by how far off: what is drawn, in which colour, and what a click hands back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from churn import words
from churn.charts import theme
from churn.charts.performance import Measure, group_gaps, over_time
from churn.charts.theme import Chart
from churn.watch.by_group import GroupPerformance
from churn.watch.figures import Band
from churn.watch.performance import WindowPerformance
from tests.watch.windows import window

Valid = Callable[[Chart], Chart]
AREA = Measure(
    "pairs told apart",
    lambda f: f.auc,
    lambda f: None if f.auc is None else f.auc.value,
    lambda value: f"{value:.2f}",
    "above",
)


def _drawn(found: list[WindowPerformance], measure: Measure = AREA, **more: Any) -> Chart:
    return over_time(found, measure, lambda day: words.month(day), champion="v2", **more)


def _traces(chart: Chart, **wanted: Any) -> list[dict[str, Any]]:
    return [one for one in chart.figure["data"] if all(one.get(name) == value for name, value in wanted.items())]


def test_a_line_is_solid_as_far_as_outcomes_are_known_and_dashed_from_there(valid: Valid) -> None:
    chart = valid(_drawn([window(7), window(8), window(9, odds=None), window(10, odds=None)]))
    solid, dashed = [one for one in chart.figure["data"] if one["mode"] == "lines" and "fill" not in one]
    assert (solid["line"]["dash"], len(solid["x"])) == ("solid", 2)
    assert (dashed["line"]["dash"], len(dashed["x"])) == ("dash", 3)
    assert solid["line"]["color"] == theme.INK
    (dots,) = _traces(chart, mode="markers")
    assert dots["customdata"][0] == ["v2", "2026-07-01"]
    assert [colour == theme.CLEAR for colour in dots["marker"]["color"]] == [False, False, True, True]
    assert "outcomes are not known yet" in dots["text"][3]
    assert chart.figure["layout"]["xaxis"]["ticktext"] == ["Jul<br>100%", "Aug<br>100%", "Sep<br>0%", "Oct<br>0%"]
    assert "Aug 0." in chart.alt


def test_outside_the_band_is_coloured_by_whether_that_is_worse_or_better(valid: Valid) -> None:
    worse, better, few = window(7, shuffle=True), window(8), window(9, rows=120)
    assert better.realised is not None
    better = replace(better, realised=replace(better.realised, auc=Band(0.99, 0.98, 1.0)))
    (dots,) = _traces(valid(_drawn([worse, better, few], chosen=("v2", better.start))), mode="markers")
    assert dots["marker"]["color"] == [theme.RAISES, theme.LOWERS, theme.NEUTRAL]
    assert dots["marker"]["size"].index(max(dots["marker"]["size"])) == 1
    (dots,) = _traces(_drawn([worse, better], replace(AREA, better=None)), mode="markers")
    assert dots["marker"]["color"] == [theme.RAISES, theme.RAISES]


def test_models_have_lines_of_their_own_and_a_mark_where_the_next_begins(valid: Valid) -> None:
    chart = valid(_drawn([window(7, model="v1"), window(8, model="v1"), window(9), window(10)]))
    lines = [one for one in chart.figure["data"] if one["mode"] == "lines" and "fill" not in one]
    assert [(one["line"]["color"], len(one["x"])) for one in lines] == [(theme.NEUTRAL, 2), (theme.INK, 2)]
    (mark,) = chart.figure["layout"]["shapes"]
    assert date(2026, 8, 1).toordinal() < mark["x0"] < date(2026, 9, 1).toordinal()
    assert any("model v2 from here" in note["text"] for note in chart.figure["layout"]["annotations"])


def test_a_year_names_every_other_month(valid: Valid) -> None:
    months = [replace(window(7), start=date(2026, month, 1)) for month in range(1, 13)]
    assert [tick[:3] for tick in valid(_drawn(months)).figure["layout"]["xaxis"]["ticktext"]] == [
        "Feb",
        "Apr",
        "Jun",
        "Aug",
        "Oct",
        "Dec",
    ]


def test_one_window_and_none_are_drawn(valid: Valid) -> None:
    assert valid(_drawn([window(8)])).figure["data"]
    revenue = Measure("revenue", lambda f: f.expected_revenue, lambda f: f.revenue_left, str)
    assert valid(_drawn([window(8)], revenue)).alt.startswith("Bars: revenue; nothing to show")


def _group(label: str, gap: float, reach: float, rows: int = 1000) -> GroupPerformance:
    band = Band(gap, gap - reach, gap + reach)
    left = round(rows * (0.2 + gap))
    return GroupPerformance("c", label, rows, left, rows * 0.2, band, 0.0, 10, band, None, rows < 50)


@pytest.mark.parametrize(
    ("gap", "rows", "colour"),
    [(0.1, 1000, theme.RAISES), (-0.1, 1000, theme.LOWERS), (0.01, 1000, theme.INK), (0.1, 40, theme.NEUTRAL)],
)
def test_a_group_is_coloured_only_where_more_than_chance(valid: Valid, gap: float, rows: int, colour: str) -> None:
    chart = valid(group_gaps([_group("North <b>", gap, 0.05, rows)], lambda one: one.label))
    (dot,) = _traces(chart, mode="markers")
    assert dot["marker"]["color"] == colour
    assert any("North &lt;b&gt;" in note["text"] for note in chart.figure["layout"]["annotations"])
    assert f"{words.percent(0.2 + gap)} left, 20% promised, of {rows:,}" in chart.alt
