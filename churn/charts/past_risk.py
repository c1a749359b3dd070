"""One customer's risk over past scorings: a line, a mark where another model was in use."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from churn import words
from churn.base.points import PastRisk
from churn.charts import theme
from churn.charts.theme import Chart

_HEIGHT = 220
_MARGIN = {"l": 42, "r": 30, "t": 26, "b": 28}
_PADDING = 0.05  # of the width, at both ends: for the outermost labels
_MARKS = (0, 0.25, 0.5, 0.75, 1)
_TICKS = 4  # dates that fit a phone


def past_risk(history: Sequence[PastRisk]) -> Chart:
    """Draw at least two scorings, oldest first, the last one being the one on show; the axis is fixed at 0–100%."""
    days = [one.as_of.toordinal() for one in history]
    low, high = days[0], days[-1]
    changes = [(a, b) for a, b in pairwise(history) if a.model != b.model]
    shapes, notes = [], []
    for before, after in changes:
        at = (before.as_of.toordinal() + after.as_of.toordinal()) / 2
        shapes.append(
            {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "line": {"width": 1, "dash": "dot", "color": theme.NEUTRAL}}
        )
        share = (at - low) / max(high - low, 1)
        anchor = "left" if share < 0.3 else "right" if share > 0.7 else "center"
        label = words.say("model from here", model=after.model)
        notes.append(theme.note(theme.text(label), at, 1, anchor=anchor, yanchor="bottom", yshift=4))
    last = history[-1]
    notes.append(theme.note(theme.text(words.percent(last.risk), bold=True), high, last.risk, anchor="left", xshift=9))
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "x": days,
            "y": [one.risk for one in history],
            "line": {"width": 2, "color": theme.INK},
            "marker": {"size": [7] * (len(days) - 1) + [11], "color": theme.INK},
            "text": [theme.text(f"{words.day(one.as_of)}: {words.percent(one.risk)}, model {one.model}") for one in history],
            "hoverinfo": "text",
            "cliponaxis": False,
        }
    ]
    ticks, padding = _ticks(history), _PADDING * max(high - low, 1)
    years = history[0].as_of.year != last.as_of.year
    figure = theme.frame(
        data,
        height=_HEIGHT,
        margin=_MARGIN,
        xaxis=theme.axis(
            low - padding,
            high + padding,
            tickvals=[one.as_of.toordinal() for one in ticks],
            ticktext=[words.day(one.as_of, year=years) for one in ticks],
        ),
        yaxis=theme.axis(0, 1, tickvals=list(_MARKS), ticktext=[words.percent(mark) for mark in _MARKS], ticklabelstandoff=6),
        shapes=shapes,
        annotations=notes,
    )
    alt = words.say(
        "alt past risk",
        count=len(history),
        first=words.percent(history[0].risk),
        first_day=words.day(history[0].as_of),
        last=words.percent(last.risk),
        last_day=words.day(last.as_of),
        changes=len(changes),
    )
    return Chart(figure, alt, _HEIGHT)


def _ticks(history: Sequence[PastRisk]) -> list[PastRisk]:
    """Some of the scorings, evenly spaced, the first and the last among them."""
    if len(history) <= _TICKS:
        return list(history)
    return [history[round(i * (len(history) - 1) / (_TICKS - 1))] for i in range(_TICKS)]
