"""One customer's risk over past scorings, with a mark at each change of model."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from churn.base.points import PastRisk
from churn.charts.past_risk import past_risk
from churn.charts.theme import Chart

HISTORY = (
    PastRisk(date(2026, 6, 30), "v1", 0.2),
    PastRisk(date(2026, 7, 31), "v1", 0.3),
    PastRisk(date(2026, 8, 31), "v2<b>", 0.5),
    PastRisk(date(2026, 9, 30), "v2<b>", 0.4),
    PastRisk(date(2026, 10, 31), "v2<b>", 0.87),
)


def test_the_line_is_on_a_fixed_axis_and_ends_with_its_figure(valid: Callable[[Chart], Chart]) -> None:
    chart = valid(past_risk(HISTORY))
    (line,) = chart.figure["data"]
    assert line["y"] == [0.2, 0.3, 0.5, 0.4, 0.87]
    assert line["x"] == [one.as_of.toordinal() for one in HISTORY]
    assert chart.figure["layout"]["yaxis"]["range"] == [0, 1]
    assert "<b>87%</b>" in [note["text"] for note in chart.figure["layout"]["annotations"]]
    assert line["text"][2] == "31 Aug 2026: 50%, model v2&lt;b&gt;"


def test_a_change_of_model_is_marked_between_its_scorings() -> None:
    layout = past_risk(HISTORY).figure["layout"]
    (mark,) = layout["shapes"]
    assert mark["x0"] == mark["x1"] == (date(2026, 7, 31).toordinal() + date(2026, 8, 31).toordinal()) / 2
    assert "model v2&lt;b&gt; from here" in [note["text"] for note in layout["annotations"]]
    assert past_risk(HISTORY[:2]).figure["layout"]["shapes"] == []


def test_few_dates_are_named_the_first_and_the_last_among_them() -> None:
    axis = past_risk(HISTORY).figure["layout"]["xaxis"]
    assert axis["ticktext"] == ["30 Jun", "31 Jul", "30 Sep", "31 Oct"]
    longer = past_risk((PastRisk(date(2025, 12, 31), "v1", 0.2), *HISTORY))
    assert longer.figure["layout"]["xaxis"]["ticktext"][0] == "31 Dec 2025"


def test_alt() -> None:
    assert past_risk(HISTORY).alt == (
        "Line: risk over 5 scorings, from 20% on 30 Jun 2026 to 87% on 31 Oct 2026; changes of model: 1."
    )


def test_two_scorings_of_one_day() -> None:
    chart = past_risk((PastRisk(date(2026, 6, 30), "v1", 0.2), PastRisk(date(2026, 6, 30), "v2", 0.3)))
    low, high = chart.figure["layout"]["xaxis"]["range"]
    assert low < high
