"""The gain curve: the figures of the riskiest 10, 20 and 50% stand beside it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from churn.charts import theme
from churn.charts.gain import gain
from churn.charts.theme import Chart

Valid = Callable[[Chart], Chart]
CURVE = [(0.0, 0.0), (0.1, 0.28), (0.2, 0.51), (0.4, 0.8), (0.6, 0.9), (1.0, 1.0)]


def test_curve_marks_and_texts(valid: Valid) -> None:
    chart = valid(gain(CURVE))
    chance, curve, marks = chart.figure["data"]
    assert chance["x"] == chance["y"] == [0, 1]
    assert list(zip(curve["x"], curve["y"], strict=True)) == CURVE
    assert marks["x"] == [0.1, 0.2, 0.5]
    assert marks["y"] == pytest.approx([0.28, 0.51, 0.85])
    assert marks["marker"]["color"] == [theme.RAISES, theme.INK, theme.INK]
    texts = [note["text"] for note in chart.figure["layout"]["annotations"]]
    assert texts == ["<b>28%</b>", "<b>51%</b>", "<b>85%</b>", "by chance"]
    assert chart.alt == (
        "Gain curve: leavers found by customers called, riskiest first; 28% of leavers in the riskiest 10%, "
        "51% of leavers in the riskiest 20% and 85% of leavers in the riskiest 50%; by chance it would be 10%, 20% and 50%."
    )


def test_perfect_and_coarse_curves(valid: Valid) -> None:
    assert valid(gain([(0, 0), (0.05, 1.0), (1, 1)])).figure["data"][2]["y"] == pytest.approx([1, 1, 1])
    assert valid(gain([(0, 0), (1, 1)])).figure["data"][2]["y"] == pytest.approx([0.1, 0.2, 0.5])
