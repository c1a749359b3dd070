"""Curves and maps of one customer's risk: what is real is told from what is not, and a click hands back its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from churn.charts import theme
from churn.charts.curve import curve_chart
from churn.charts.risk_map import risk_map
from churn.charts.theme import Chart
from churn.data.schema import Feature, Schema
from churn.understand.curves import Curve, Spot, Surface

Valid = Callable[[Chart], Chart]
AWKWARD = "<b>Gold</b>"
SCHEMA = Schema.model_validate(
    {
        "key": "id",
        "target": {"column": "left", "positive": "Yes"},
        "features": [
            {"name": "fee", "kind": "number", "label": "Monthly fee", "unit": "money"},
            {
                "name": "plan",
                "kind": "category",
                "label": "Plan",
                "levels": [{"value": "Basic"}, {"value": "Plus"}, {"value": AWKWARD}],
            },
            {"name": "many", "kind": "category", "label": "Many", "levels": [{"value": f"L{i}"} for i in range(30)]},
        ],
    }
)
FEE, PLAN, MANY = SCHEMA.features
NOBODY = "Nobody has both fibre internet and monthly fee of about $10; the answer is a guess."


def fees(*spots: tuple[float | None, float, bool], here: int = 0) -> Curve:
    return Curve(FEE, tuple(Spot(v, r, s, "" if s else NOBODY, here=i == here) for i, (v, r, s) in enumerate(spots)))


def points(figure: dict[str, Any]) -> dict[str, Any]:
    return next(trace for trace in figure["data"] if trace.get("customdata"))


def test_the_line_is_solid_where_people_are_and_grey_elsewhere(valid: Valid) -> None:
    result = fees((10.0, 0.2, False), (20.0, 0.3, False), (30.0, 0.4, True), (40.0, 0.6, True), (50.0, 0.5, False), here=3)
    chart = valid(curve_chart(result, SCHEMA))
    lines = {trace["line"]["color"]: trace["x"] for trace in chart.figure["data"] if trace.get("mode") == "lines"}
    assert lines == {theme.NEUTRAL: [10, 20, 30, 40, 50], theme.INK: [30, 40]}
    assert [(shape["x0"], shape["x1"]) for shape in chart.figure["layout"]["shapes"]] == [(10, 25), (45, 50)]
    assert chart.figure["layout"]["yaxis"]["range"] == [0, 1]
    assert [note["text"] for note in chart.figure["layout"]["annotations"]] == ["<b>This customer: 60%</b>"]


def test_a_click_hands_back_the_place_and_the_tooltip_says_why() -> None:
    result = fees((None, 0.1, True), (10.0, 0.2, False), (30.0, 0.4, True), here=2)
    found = points(curve_chart(result, SCHEMA).figure)
    assert found["customdata"] == [[1], [2]]
    assert found["text"] == [f"Monthly fee: $10: 20%. {NOBODY}", "Monthly fee: $30: 40%"]


def test_alt_of_a_line() -> None:
    result = fees((10.0, 0.05, False), (20.0, 0.3, True), (30.0, 0.4, True), (40.0, 0.6, True), here=2)
    assert curve_chart(result, SCHEMA).alt == (
        "Risk by monthly fee, 4 values: 40% as it stands; lowest 30% at $20, highest 60% at $40; resembling no real customer: 1."
    )


def test_ticks_are_values_that_were_tried_and_few() -> None:
    result = fees(*((float(fee), 0.3, True) for fee in range(18, 79)))
    axis = curve_chart(result, SCHEMA).figure["layout"]["xaxis"]
    assert axis["tickvals"] == [18, 33, 48, 63, 78]
    assert axis["ticktext"] == ["$18", "$33", "$48", "$63", "$78"]
    assert axis["range"][0] < 18
    assert axis["range"][1] > 78


@pytest.mark.parametrize("spots", [((None, 0.4, True), (10.0, 0.2, True)), ((10.0, 0.2, True),)])
def test_a_number_without_a_place_is_drawn_as_bars(spots: Any) -> None:
    chart = curve_chart(fees(*spots), SCHEMA)
    assert {trace["type"] for trace in chart.figure["data"]} == {"bar"}


def levels(feature: Feature, spots: list[tuple[str, float, bool]], here: int) -> Curve:
    return Curve(feature, tuple(Spot(v, r, s, "" if s else NOBODY, here=i == here) for i, (v, r, s) in enumerate(spots)))


def test_levels_are_bars_from_zero_the_own_one_marked(valid: Valid) -> None:
    chart = valid(curve_chart(levels(PLAN, [("Basic", 0.9, True), ("Plus", 0.5, False), (AWKWARD, 0.25, True)], 0), SCHEMA))
    track, bars, rows = chart.figure["data"]
    assert bars["x"] == [0.9, 0.5, 0.25]
    assert bars["marker"]["color"] == [theme.INK, theme.QUIET, theme.NEUTRAL]
    assert track["x"] == rows["x"] == [1.0, 1.0, 1.0]
    assert rows["customdata"] == [[0], [1], [2]]
    texts = [note["text"] for note in chart.figure["layout"]["annotations"]]
    assert texts[::2] == ["<b>Basic · this customer</b>", "Plus · nobody like this", "&lt;b&gt;Gold&lt;/b&gt;"]
    assert texts[1::2] == ["<b>90%</b>", "<b>50%</b>", "<b>25%</b>"]


def test_of_many_levels_the_telling_ones_are_shown_with_their_places() -> None:
    spots = [(f"L{i}", i / 30, True) for i in range(30)]
    rows = curve_chart(levels(MANY, spots, 15), SCHEMA).figure["data"][-1]
    assert [place for (place,) in rows["customdata"]] == [0, 1, 2, 3, 4, 15, 24, 25, 26, 27, 28, 29]


def surface() -> Surface:
    spots = (
        (Spot(None, 0.12, True, ""), Spot(None, 0.4, False, NOBODY)),
        (Spot(None, 0.05, True, ""), None),
        (Spot(None, 0.93, True, "", here=True), Spot(None, 0.998, True, "")),
    )
    return Surface((PLAN, FEE), ("Basic", "Plus", AWKWARD), (10.0, 20.0), spots)


def test_a_map_has_one_scale_and_greys_what_is_not_real(valid: Valid) -> None:
    chart = valid(risk_map(surface(), SCHEMA))
    (tiles,) = chart.figure["data"]
    assert tiles["marker"]["color"] == [theme.RISK[1], theme.TRACK, theme.RISK[0], theme.RISK[9], theme.RISK[9]]
    assert tiles["customdata"] == [[0, 0], [0, 1], [1, 0], [2, 0], [2, 1]], "a combination that a rule forbids has no tile"
    texts = [note["text"] for note in chart.figure["layout"]["annotations"]]
    assert texts[:2] == ["$10", "$20"]
    assert texts[2:5] == ["Basic", "Plus", "&lt;b&gt;Gold&lt;/b&gt;"]
    assert texts[5:] == ["<b>12%</b>", "40%", "<b>5%</b>", "<b>93%</b>", "<b>&gt;99%</b>"]
    (frame,) = chart.figure["layout"]["shapes"]
    assert (frame["x0"], frame["x1"]) == (0.03, 0.97)
    assert tiles["hovertext"][1] == f"Plan: Basic, Monthly fee: $20: 40%. {NOBODY}"
    assert chart.alt == (
        "Heat map: risk by plan and monthly fee, 5 combinations: 93% as it stands, from 5% to over 99%; "
        "resembling no real customer: 1."
    )
