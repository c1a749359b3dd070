"""The line in a tile."""

from __future__ import annotations

import math

from churn import words
from churn.charts.sparkline import Sparkline, sparkline


def test_twelve_known_values() -> None:
    line = sparkline([0.2, None, math.nan, *(0.24 + i / 1000 for i in range(12))], what="average risk", figure=words.average)
    assert len(line.values) == 12
    assert line.values[0] == 0.24
    assert line.alt == "Line: average risk, 12 values from 24.0% to 25.1%; highest 25.1%."


def test_one_value_is_no_line() -> None:
    assert (
        sparkline([], what="x", figure=words.count) == sparkline([3.0, None], what="x", figure=words.count) == Sparkline((), "")
    )
