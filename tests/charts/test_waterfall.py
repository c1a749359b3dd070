"""The waterfall shows the sum: bars end where the next begins, on an axis that stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.charts import theme
from churn.charts.theme import Chart
from churn.charts.waterfall import waterfall
from churn.understand.account import Step, Waterfall

STEPS = (
    Step(("tenure",), "Tenure", "1 month", 0.21, 21),
    Step(("Contract",), "Contract", "One year", -0.13, -13, edited=True),
    Step(("a", "b"), "2 other facts", "", 0.16, 16),
)
Valid = Callable[[Chart], Chart]


def test_bars_and_texts(valid: Valid) -> None:
    chart = valid(waterfall(Waterfall(0.17, 0.41, STEPS, edited=True)))
    bars, _, figures = chart.figure["data"]
    assert bars["base"] == pytest.approx([0, 0.17, 0.25, 0.25, 0])
    assert bars["x"] == pytest.approx([0.17, 0.21, 0.13, 0.16, 0.41])
    assert bars["marker"]["color"] == [theme.NEUTRAL, theme.RAISES, theme.LOWERS, theme.RAISES, theme.INK]
    assert bars["customdata"] == [[], ["tenure"], ["Contract"], ["a", "b"], []]
    assert [text.strip() for text in figures["text"]] == ["<b>17%</b>", "+21", "−13", "+16", "<b>41%</b>"]
    assert chart.figure["layout"]["yaxis"]["ticktext"] == [
        "Typical customer", "Tenure: <b>1 month</b>", "✎ Contract: <b>One year</b>", "2 other facts",
        "<b>This customer, as edited</b>",
    ]  # fmt: skip
    assert chart.alt == "Waterfall: points of risk for 4 facts, from 17% to 41%; Tenure: 1 month +21 points."


def test_the_axis_never_moves(valid: Valid) -> None:
    for risk in (0.001, 0.5, 0.999):
        step = Step(("a",), "A", "x", risk - 0.17, round(100 * risk) - 17)
        layout = valid(waterfall(Waterfall(0.17, risk, (step,)))).figure["layout"]
        assert layout["xaxis"]["range"] == [0, 1]
        assert layout["xaxis"]["ticktext"] == ["0%", "25%", "50%", "75%", "100%"]


def test_nothing_to_tell(valid: Valid) -> None:
    assert valid(waterfall(Waterfall(0.17, 0.17, ()))).alt == "Waterfall: from 17% to 17%; no fact changes the risk."


def test_long_and_hostile_labels_are_broken_and_escaped(valid: Valid) -> None:
    step = Step(("a",), "A <b>very</b> long name of a column & more of it", "Antidisestablishmentarianismusque for ever", 0.1, 10)
    chart = valid(waterfall(Waterfall(0.17, 0.27, (step,))))
    label = chart.figure["layout"]["yaxis"]["ticktext"][1]
    assert "&lt;b&gt;very&lt;/b&gt;" in label
    assert label.count("<br>") >= 3
    assert chart.figure["layout"]["margin"]["l"] <= 180
    taller = chart.height - waterfall(Waterfall(0.17, 0.27, (Step(("a",), "A", "x", 0.1, 10),))).height
    assert taller >= 2 * theme.LINE


@given(st.lists(st.floats(-0.3, 0.3), max_size=12), st.floats(0, 1))
def test_every_bar_starts_where_the_last_ended(valid: Valid, parts: list[float], typical: float) -> None:
    steps = tuple(Step((f"f{i}",), f"F{i}", "x", part, round(100 * part)) for i, part in enumerate(parts))
    bars, joins, _ = waterfall(Waterfall(typical, typical + sum(parts), steps)).figure["data"]
    at = typical
    for base, length, part in zip(bars["base"][1:-1], bars["x"][1:-1], parts, strict=True):
        assert min(abs(base - at), abs(base + length - at)) < 1e-9
        at += part
    assert len(joins["x"]) == 3 * (len(parts) + 1)


def test_figures_beyond_the_axis_are_printed_at_its_end() -> None:
    """Running totals may pass 100% on the way; Plotly would leave the text out."""
    steps = (Step(("a",), "A", "1", 0.91, 91), Step(("b",), "B", "2", -0.01, -1))
    drawn = waterfall(Waterfall(0.10, 1.0, steps)).figure["data"][2]
    assert drawn["x"] == [0.10, 1.0, 1.0, 1.0]
    assert len(drawn["text"]) == 4
