"""Dots with the ranges they likely lie in: the share that left of each arm of a campaign, and what calling changed by group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from churn import words
from churn.act.effect import Arm, Effect
from churn.base.value import Interval
from churn.charts import theme
from churn.charts.theme import Chart

_ROW = 50  # px: a line of text, and the range below it
_MARGIN = {"l": 2, "r": 10, "t": 2, "b": 4}
_TEXT, _MARK = 0.30, 0.72  # where in a row, from its top, the text and the range are
_TICK = 0.2  # of a row: how far the line at nothing reaches above and below a range
_ROOM = 300  # px that a name may take


@dataclass(frozen=True, slots=True)
class Row:
    """A dot with its range: `name` and `figure` stand above it, `middle` and `range` are in the unit of the scale."""

    name: str
    figure: str
    middle: float
    range: Interval
    colour: str


def arms(found: Effect) -> Chart:
    """Draw the share that left of those called and of those not called, each with its interval, on one scale from nothing."""
    named = ((words.say("arm call"), found.called), (words.say("arm holdout"), found.held))
    there = [(name, arm) for name, arm in named if arm.share is not None]
    colours = _arm_colours(found)
    rows = [Row(name, _arm_figure(arm), arm.share or 0.0, arm.interval(found.level), colours[name]) for name, arm in there]
    told = [
        words.say(
            "alt arm",
            share=words.average(arm.share),
            customers=words.count(arm.customers),
            arm=words.lower_first(name),
            low=words.average(arm.interval(found.level).low),
            high=words.average(arm.interval(found.level).high),
        )
        for name, arm in there
    ]
    high = max((row.range.high for row in rows), default=1.0)
    return dots_with_ranges(rows, 0.0, high, words.say("alt arms", arms=words.sentence_list(told)))


def effects(groups: Sequence[tuple[str, Effect]]) -> Chart:
    """Draw how many points fewer left among those called, for each group in the order given; a line where nothing changed.

    Parameters
    ----------
    groups: at least one, label and effect, the difference of each known.
    """
    rows = [Row(label, _points(found), found.difference or 0.0, found.interval, _colour(found)) for label, found in groups]
    low, high = min(0.0, *(row.range.low for row in rows)), max(0.0, *(row.range.high for row in rows))
    first = max(rows, key=lambda row: row.middle)
    alt = words.say("alt effects", count=words.count(len(rows)), first=first.name, points=words.points(first.middle))
    return dots_with_ranges(rows, low, high, alt, zero=True)


def dots_with_ranges(rows: Sequence[Row], low: float, high: float, alt: str, *, zero: bool = False) -> Chart:
    """Draw rows on one scale from low to high; with `zero` a line at nothing."""
    height = _MARGIN["t"] + _MARGIN["b"] + _ROW * len(rows)
    data: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    if zero:
        line = {"width": 1, "dash": "dash", "color": theme.NEUTRAL}
        marks = [len(rows) - place - _MARK for place in range(len(rows))]  # beside each range, clear of the names
        y = [part for mark in marks for part in (mark - _TICK, mark + _TICK, None)]
        data.append({**_LINES, "x": [0, 0, None] * len(rows), "y": y, "line": line})
    for place, row in enumerate(rows):
        top = len(rows) - place
        data.append({**_LINES, "x": [low, high], "y": [top - _MARK] * 2, "line": {"width": 6, "color": theme.TRACK}})
        data.append(
            {**_LINES, "x": [row.range.low, row.range.high], "y": [top - _MARK] * 2, "line": {"width": 2, "color": row.colour}}
        )
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [row.middle],
                "y": [top - _MARK],
                "marker": {"size": 11, "color": row.colour},
                "text": [theme.text(f"{row.name}: {row.figure}")],
                "hoverinfo": "text",
                "cliponaxis": False,
            }
        )
        name = theme.wrap(row.name, _ROOM)[0]
        name = name if name == row.name else f"{name}…"
        notes.append(theme.note(theme.text(name), 0, top - _TEXT, xref="paper"))
        notes.append(theme.note(theme.text(row.figure, bold=True), 1, top - _TEXT, anchor="right", xref="paper"))
    room = (high - low) * 0.02 or 0.01
    figure = theme.frame(
        data,
        height=height,
        margin=_MARGIN,
        xaxis=theme.axis(low - room, high + room, showticklabels=False),
        yaxis=theme.axis(0, len(rows), showticklabels=False),
        annotations=notes,
    )
    return Chart(figure, alt, height)


_LINES: dict[str, Any] = {"type": "scatter", "mode": "lines", "hoverinfo": "skip", "cliponaxis": False}


def _arm_colours(found: Effect) -> dict[str, str]:
    """Colour only where the arms differ beyond doubt: then it is on those called, for it is they who were treated."""
    return {words.say("arm call"): _colour(found), words.say("arm holdout"): theme.INK}


def _colour(found: Effect) -> str:
    if not found.told or found.difference is None:
        return theme.INK
    return theme.LOWERS if found.difference > 0 else theme.RAISES


def _arm_figure(arm: Arm) -> str:
    return words.say("arm left", share=words.average(arm.share), left=words.count(arm.left), customers=words.count(arm.customers))


def _points(found: Effect) -> str:
    """`6 points fewer (−2 to 14)`."""
    low, high = (words.points(one, unit=False).lstrip("+") for one in (found.interval.low, found.interval.high))
    size = words.points(abs(found.difference or 0.0), signed=False)
    side = "points fewer" if (found.difference or 0.0) >= 0 else "points more"
    if side == "points more":
        low, high = (words.points(-one, unit=False).lstrip("+") for one in (found.interval.high, found.interval.low))
    return words.say(side, points=size, low=low, high=high)
