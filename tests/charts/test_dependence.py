"""Points by value, who left by value, every customer: what is drawn is what was given, and what is too little is not drawn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from churn.charts import theme
from churn.charts.beeswarm import Swarm, beeswarm
from churn.charts.dependence import Dot, Value, _scale, _wilson, dependence, kept
from churn.charts.picture import picture
from churn.charts.theme import Chart

Valid = Callable[[Chart], Chart]
TENURE = (
    Value("1 month", 1.0, 0.25, 0.1, 0.3, 60, 50, 30, 0.55),
    Value("2 to 9 months", 5.0, 0.05, -0.02, 0.1, 80, 70, 14, 0.21),
    Value("70 months", 70.0, -0.08, -0.12, -0.01, 90, 80, 2, 0.2),
    Value("Not known", None, 0.01, 0.0, 0.02, 55, 40, 10, 0.24),
)
CONTRACT = (
    Value("Month-to-month", None, 0.11, 0.05, 0.2, 500, 400, 170, 0.43),
    Value("A level with <i>far</i> too many words to stand at the side", None, -0.05, -0.1, -0.01, 200, 100, 40, 0.11),
    Value("Few", None, None, None, None, 8),
)
TICKS = [(12.0, "12"), (48.0, "48")]


def test_a_number_runs_along_the_bottom(valid: Valid) -> None:
    dots = [Dot(1.0, 0, 0.2, 2), Dot(70.0, 0, -0.1, 0), Dot(None, 0, 0.01, 1)]
    chart = valid(dependence(TENURE, dots, label="tenure", ticks=TICKS))
    band, *clouds, line, marks = chart.figure["data"]
    assert line["x"] == [1.0, 5.0, 70.0]
    assert line["y"] == [0.25, 0.05, -0.08]
    assert band["x"] == [1.0, 5.0, 70.0, 70.0, 5.0, 1.0]
    assert band["y"] == [0.3, 0.1, -0.01, -0.12, -0.02, 0.1]
    apart = marks["x"][-1]
    assert apart > 70
    assert [(cloud["x"], cloud["marker"]["symbol"]) for cloud in clouds] == [
        ([70.0], "circle-open"), ([apart], "circle"), ([1.0], "diamond"),
    ]  # fmt: skip
    axis = chart.figure["layout"]["xaxis"]
    assert axis["ticktext"] == ["12", "48", "Not known"]
    assert axis["range"][1] > apart
    low, high = chart.figure["layout"]["yaxis"]["range"]
    assert low <= -0.12
    assert high >= 0.3
    assert chart.alt == "Dots: points by tenure; on average from −8 points at 70 months to +25 points at 1 month."


def test_a_category_goes_down_the_side(valid: Valid) -> None:
    dots = [Dot(None, place, 0.1, 1) for place in (0, 0, 1, 5)]
    chart = valid(dependence(CONTRACT, dots, label="contract"))
    band, cloud, marks = chart.figure["data"]
    assert marks["x"] == [0.11, -0.05]
    assert band["x"][:2] == [0.05, 0.2]
    assert [round(y) for y in cloud["y"]] == [0, 0, 1]  # the fourth belongs to no row that is drawn
    layout = chart.figure["layout"]
    assert len(layout["yaxis"]["ticktext"]) == 2
    assert "<i>" not in layout["yaxis"]["ticktext"][1]
    assert [note["text"] for note in layout["annotations"]] == ["<b>+11 points</b>", "<b>−5 points</b>"]
    assert layout["margin"]["l"] <= 140


def test_nothing_to_tell(valid: Valid) -> None:
    assert valid(dependence(CONTRACT[2:], [], label="contract")).alt == "Dots: points by contract; nothing to show."
    assert kept(CONTRACT[2:], label="contract") is None
    flat = [Value("0", 0.0, 0.0, 0.0, 0.0, 60)]
    assert valid(dependence(flat, [], label="calls")).figure["data"][1]["y"] == [0.0]


@pytest.mark.parametrize(("values", "off"), [(TENURE, [False, False, True, False]), (CONTRACT, [False, True])])
def test_who_left_is_marked_where_it_is_off(values: tuple[Value, ...], off: list[bool], valid: Valid) -> None:
    chart = kept(values, label="it", ticks=TICKS)
    assert chart is not None
    valid(chart)
    dots = next(trace for trace in reversed(chart.figure["data"]) if len(trace.get("marker", {}).get("color", [])) == len(off))
    assert [colour == theme.RAISES for colour in dots["marker"]["color"]] == off
    rates = [one.left / one.known for one in values if one.known]
    assert rates in (dots["x"], dots["y"])
    assert f"{sum(off)} off by more than chance" in chart.alt
    assert "promised" in dots["text"][0]


@given(st.integers(1, 400), st.data())
def test_the_range_of_chance_is_wilsons(known: int, data: st.DataObject) -> None:
    left = data.draw(st.integers(0, known))
    wanted = binomtest(left, known).proportion_ci(0.8, method="wilson")
    assert _wilson(left, known) == pytest.approx((wanted.low, wanted.high), abs=1e-12)


@given(st.floats(-1, 1), st.floats(0, 1))
def test_an_axis_holds_what_is_drawn(low: float, width: float) -> None:
    high = min(low + width, 1.0)
    start, end, marks = _scale(low, high)
    assert -1 - 1e-9 <= start <= low + 1e-9
    assert high - 1e-9 <= end
    assert 1 <= len(marks) <= 9
    assert all(abs(100 * mark * 10 - round(100 * mark * 10)) < 1e-6 for mark in marks)


def test_a_swarm_keeps_every_customer_where_its_points_are(valid: Valid) -> None:
    draw = np.random.default_rng(1)
    shades = draw.integers(0, 3, 300).tolist()
    rows = [Swarm(name, draw.normal(0, spread, 300).tolist(), shades) for name, spread in (("A", 0.02), ("B", 0.2))]
    chart = valid(beeswarm(rows))
    for place, row in enumerate(rows):
        x = [x for trace in chart.figure["data"] for x, y in zip(trace["x"], trace["y"], strict=True) if round(y) == place]
        assert sorted(x) == pytest.approx(sorted(row.points), abs=1e-5)
    assert max(abs(y - round(y)) for trace in chart.figure["data"] for y in trace["y"]) <= 0.45
    low, high = chart.figure["layout"]["xaxis"]["range"]
    assert low <= min(rows[1].points)
    assert high >= max(rows[1].points)
    assert chart.alt == "Dots: points of 300 customers for 2 columns; B spreads widest."
    assert valid(beeswarm([])).height > 0
    same = valid(beeswarm([Swarm("Same", [0.0] * 50, [1] * 50)])).figure["data"][0]
    assert len(set(same["y"])) == 50


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_a_picture_says_what_it_shows(kind: str) -> None:
    chart = dependence(CONTRACT, [], label="contract")
    before = {**chart.figure["layout"]}
    found = picture(chart, kind, title="Contract <b>", note="Simulated data · 20 customers", name="points-contract", on="dark")
    layout = found.figure["layout"]
    assert found.config["toImageButtonOptions"]["format"] == kind
    assert found.config["toImageButtonOptions"]["filename"] == "points-contract"
    assert found.config["modeBarButtons"] == [["toImage"]]
    assert [note["text"] for note in layout["annotations"][-2:]] == ["<b>Contract &lt;b&gt;</b>", "Simulated data · 20 customers"]
    assert layout["paper_bgcolor"] == "#0F151C"
    assert layout["height"] == found.height > chart.height
    assert chart.figure["layout"] == before  # the chart on the page stays as it is
    assert chart.config["displayModeBar"] is False
