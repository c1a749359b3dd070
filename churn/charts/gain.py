"""The gain curve: what share of the leavers is among the riskiest share of customers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from churn import words
from churn.charts import theme
from churn.charts.theme import Chart

_HEIGHT = 280
_MARGIN = {"l": 40, "r": 16, "t": 26, "b": 28}
_MARKS = (0.1, 0.2, 0.5)  # shares of customers whose figure stands beside the curve
_CHANCE = 0.72  # where along the diagonal its name stands


def gain(curve: Sequence[tuple[float, float]]) -> Chart:
    """Draw a gain curve (Metrics.gain): pairs of (share of customers, riskiest first; share of leavers among them), 0 to 1."""
    across, up = [x for x, _ in curve], [y for _, y in curve]
    found = [at(curve, mark) for mark in _MARKS]
    line = {"type": "scatter", "mode": "lines", "hoverinfo": "skip"}
    data: list[dict[str, Any]] = [
        {**line, "x": [0, 1], "y": [0, 1], "line": {"width": 1, "dash": "dash", "color": theme.NEUTRAL}},
        {**line, "x": across, "y": up, "line": {"width": 2.5, "color": theme.INK}},
        {
            "type": "scatter",
            "mode": "markers",
            "x": list(_MARKS),
            "y": found,
            "marker": {"size": 9, "color": [theme.RAISES, theme.INK, theme.INK]},
            "hoverinfo": "skip",
            "cliponaxis": False,
        },
    ]
    # the curve bends upwards and never down, so above and left of it there is room for its figures
    notes = [
        theme.note(
            theme.text(words.percent(share), bold=True), mark, share, anchor="right", yanchor="bottom", xshift=-3, yshift=3
        )
        for mark, share in zip(_MARKS, found, strict=True)
    ]
    notes.append(theme.note(theme.text(words.say("by chance")), _CHANCE, _CHANCE, yanchor="top", xshift=6, yshift=-4))
    figure = theme.frame(
        data,
        height=_HEIGHT,
        margin=_MARGIN,
        xaxis=theme.axis(0, 1, tickvals=[*_MARKS, 1], ticktext=[words.percent(mark) for mark in (*_MARKS, 1.0)]),
        yaxis=theme.axis(0, 1, tickvals=[0, 0.5, 1], ticktext=["0%", "50%", "100%"], ticklabelstandoff=6),
        annotations=notes,
    )
    told = [
        words.say("found", found=words.percent(share), share=words.percent(mark))
        for mark, share in zip(_MARKS, found, strict=True)
    ]
    alt = words.say("alt gain", found=words.sentence_list(told), chance=words.sentence_list(map(words.percent, _MARKS)))
    return Chart(figure, alt, _HEIGHT)


def at(curve: Sequence[tuple[float, float]], share: float) -> float:
    """The curve's height at a share of customers, between its points along a straight line."""
    for (x, y), (right, above) in pairwise(curve):
        if share <= right:
            return y + (above - y) * (share - x) / (right - x) if right > x else above
    return curve[-1][1]
