"""The calibration chart: dots on the diagonal, in colour where they miss it by more than chance."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.charts import theme
from churn.charts.calibration_curve import calibration_curve, scale
from churn.charts.theme import Chart
from churn.model.metrics import CalibrationBin

Valid = Callable[[Chart], Chart]
BINS = [
    CalibrationBin(0.02, 0.03, 100, 0.01, 0.08),
    CalibrationBin(0.20, 0.22, 100, 0.15, 0.31),
    CalibrationBin(0.62, 0.45, 1100, 0.42, 0.48),
]


def test_dots_intervals_and_colours(valid: Valid) -> None:
    chart = valid(calibration_curve(BINS))
    diagonal, steady, off, dots = chart.figure["data"]
    assert diagonal["x"] == diagonal["y"] == [0, 0.75]
    assert steady["y"] == [0.01, 0.08, None, 0.15, 0.31, None]
    assert off["y"] == [0.42, 0.48, None]
    assert (dots["x"], dots["y"]) == ([0.02, 0.2, 0.62], [0.03, 0.22, 0.45])
    assert dots["marker"]["color"] == [theme.INK, theme.INK, theme.RAISES]
    assert dots["text"][2] == "promised 62%, left 45% of 1,100"
    assert chart.alt == (
        "Dots: left against promised, for 3 groups by risk, from 2% promised, 3% left, to 62% promised, 45% left; "
        "1 off by more than chance."
    )


def test_one_dot_that_keeps_its_promise(valid: Valid) -> None:
    assert valid(calibration_curve(BINS[:1])).alt.endswith("none is off by more than chance.")


@given(st.floats(0, 1))
def test_axes_hold_everything_and_carry_few_ticks(highest: float) -> None:
    limit, ticks = scale(highest)
    assert highest <= limit + 1e-9 <= 1 + 1e-6
    assert ticks[-1] == pytest.approx(limit)
    assert 2 <= len(ticks) <= 5
