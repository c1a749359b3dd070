"""Dots with ranges: what stands beside them, on one scale, in colour only beyond doubt."""

from __future__ import annotations

from collections.abc import Callable

from churn.act.effect import by_segment, intention_to_treat
from churn.charts import theme
from churn.charts.effects import arms, effects
from churn.charts.theme import Chart

Valid = Callable[[Chart], Chart]


def _texts(chart: Chart) -> list[str]:
    return [note["text"] for note in chart.figure["layout"]["annotations"]]


def test_arms_stand_on_one_scale_from_nothing(valid: Valid) -> None:
    found = intention_to_treat(48, 80, 56, 70)
    chart = valid(arms(found))
    assert _texts(chart) == ["Called", "<b>60.0% left, 48 of 80</b>", "Not called", "<b>80.0% left, 56 of 70</b>"]
    dots = [trace for trace in chart.figure["data"] if trace["mode"] == "markers"]
    assert [trace["x"] for trace in dots] == [[0.6], [0.8]]
    assert [trace["marker"]["color"] for trace in dots] == [theme.LOWERS, theme.INK]
    ranges = [trace["x"] for trace in chart.figure["data"] if trace["mode"] == "lines" and trace["line"]["width"] == 2]
    assert ranges == [[arm.interval().low, arm.interval().high] for arm in (found.called, found.held)]
    assert chart.figure["layout"]["xaxis"]["range"][0] < 0 < ranges[0][0]
    assert chart.alt == (
        "Dots with ranges: share that left, 60.0% of 80 called (49.0% to 70.0%) and 80.0% of 70 not called (69.2% to 87.7%)."
    )


def test_what_could_be_chance_has_no_colour(valid: Valid) -> None:
    doubtful, harmful = intention_to_treat(9, 40, 10, 40), intention_to_treat(56, 70, 48, 80)
    for found, colour in ((doubtful, theme.INK), (harmful, theme.RAISES)):
        dots = [trace for trace in valid(arms(found)).figure["data"] if trace["mode"] == "markers"]
        assert [trace["marker"]["color"] for trace in dots] == [colour, theme.INK]


def test_an_arm_of_nobody_is_left_out(valid: Valid) -> None:
    assert _texts(valid(arms(intention_to_treat(3, 40, 0, 0)))) == ["Called", "<b>7.5% left, 3 of 40</b>"]


def test_groups_stand_around_nothing_changed(valid: Valid) -> None:
    counts = ((20, 100, 45, 100), (30, 100, 33, 100), (60, 100, 40, 100))
    groups = list(zip(("North", "South <b>", "West"), by_segment(counts), strict=True))
    chart = valid(effects(groups))
    texts = _texts(chart)
    assert texts[0] == "North"
    assert texts[1].startswith("<b>25 points fewer (")
    assert texts[2] == "South &lt;b&gt;"
    assert texts[3].startswith("<b>3 points fewer (−")
    assert texts[5].startswith("<b>20 points more (")
    zero = chart.figure["data"][0]
    assert zero["x"] == [0, 0, None] * 3
    low, high = chart.figure["layout"]["xaxis"]["range"]
    assert low < min(found.interval.low for _, found in groups) < 0 < max(found.interval.high for _, found in groups) < high
    colours = [trace["marker"]["color"] for trace in chart.figure["data"] if trace["mode"] == "markers"]
    assert colours == [theme.LOWERS, theme.INK, theme.RAISES]
    assert chart.alt == "Dots with ranges: points fewer that left among called, for 3 groups; North leads with +25 points."
    assert chart.height == 3 * 50 + 6


def test_a_long_name_is_cut_with_a_mark(valid: Valid) -> None:
    found = intention_to_treat(20, 100, 45, 100)
    name = _texts(valid(effects([("A very long name of a group of customers that nobody will ever read", found)])))[0]
    assert name.endswith("…")
    assert theme.width(name) < 320
