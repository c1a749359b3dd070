"""Every customer a dot: points by column, dark for high values and pale for low ones, so that the direction is seen.

Dots that would lie over each other move apart within their row, as bees do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from churn import words
from churn.charts import theme
from churn.charts.dependence import _SHADES, _SHAPES, _scale, _zero
from churn.charts.theme import Chart

_ROW = 54
_AXIS = 28
_ROOM = 120  # px for the names at the left, at most
_BINS = 90  # places along a row in which dots are counted
_DOT = 2.6  # px from one dot to the next above it


@dataclass(frozen=True, slots=True)
class Swarm:
    """One column: its name, each customer's points (0–1 scale), and how high the value is: 0 low, 1 middle or neither, 2 high."""

    name: str
    points: Sequence[float]
    shades: Sequence[int]


def beeswarm(rows: Sequence[Swarm]) -> Chart:
    """Draw a row of dots for each column, the first on top; all have the same customers."""
    every = [x for row in rows for x in row.points] or [0.0]
    low, high, marks = _scale(min(*every, 0.0), max(*every, 0.0))
    data: list[dict[str, Any]] = []
    for place, row in enumerate(rows):
        points, shades = np.array(row.points, dtype=np.float64), np.array(row.shades)
        off = _apart(points, low, high)
        for shade in (0, 1, 2):
            own = shades == shade
            if own.any():
                data.append(
                    {
                        "type": "scatter",
                        "mode": "markers",
                        "x": points[own].round(5).tolist(),
                        "y": (place + off[own]).round(4).tolist(),
                        "marker": {"size": 4, "color": _SHADES[shade], "symbol": _SHAPES[shade], "opacity": 0.75},
                        "hoverinfo": "skip",
                    }
                )
    lines = [theme.wrap(row.name, _ROOM)[:2] for row in rows]
    height = _ROW * max(len(rows), 1) + _AXIS
    figure = theme.frame(
        data,
        height=height,
        margin={
            "l": round(max((theme.width(line) for own in lines for line in own), default=0)) + 16,
            "r": 14,
            "t": 0,
            "b": _AXIS,
        },
        xaxis=theme.axis(low, high, tickvals=marks, ticktext=[words.points(mark, unit=False) for mark in marks]),
        yaxis=theme.axis(
            len(rows) - 0.5,
            -0.5,
            tickvals=list(range(len(rows))),
            ticktext=["<br>".join(theme.text(line) for line in own) for own in lines],
            ticklabelstandoff=6,
        ),
        shapes=[_zero(upright=True)],
    )
    spread = [float(np.std(row.points)) if len(row.points) else 0.0 for row in rows]
    first = rows[int(np.argmax(spread))].name if rows else words.NOTHING
    customers = words.count(len(rows[0].points) if rows else 0)
    return Chart(figure, words.say("alt swarm", customers=customers, count=len(rows), first=first), height)


def _apart(points: np.ndarray[Any, np.dtype[np.float64]], low: float, high: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """How far each dot moves from the middle of its row: those of one place go up and down in turn."""
    bins = np.floor((points - low) / ((high - low) or 1.0) * _BINS).astype(int)
    off = np.zeros(len(points))
    for place in np.unique(bins):
        own = np.flatnonzero(bins == place)
        turn = np.arange(len(own))
        side = np.where(turn % 2, -1, 1) * ((turn + 1) // 2)
        step = min(_DOT / _ROW, 0.42 / max(1, (len(own) + 1) // 2))
        off[own] = side * step
    return off
