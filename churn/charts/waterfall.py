"""The waterfall: from a typical customer's risk, fact by fact, to this customer's."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from churn import words
from churn.charts import theme
from churn.charts.theme import Chart
from churn.understand.account import Step, Waterfall

_ROOM = 164  # px for the facts at the left at most: leaves 140 px to the bars on a phone
_BARS = 140  # px they have there, from 0 to 100%
_BAR = 19
_GAP = 10
_AXIS = 28
_EDITED = "✎"


@dataclass(frozen=True, slots=True)
class _Row:
    lines: tuple[str, ...]  # Plotly text
    room: float  # px the longest line takes
    start: float
    end: float
    colour: str
    figure: str
    features: tuple[str, ...] = ()


def waterfall(result: Waterfall, ends: tuple[str, str] | None = None) -> Chart:
    """Draw the steps on a fixed axis of 0–100%, so that an edit moves bars and not the axis.

    `ends`: what the first and the last bar are called, where they are not the typical customer's and this customer's.

    Facts left, points right, edited facts marked; every bar carries the names of its columns as `customdata`.
    """
    rows = _rows(result, ends)
    tops = [0.0]
    for row in rows:
        tops.append(tops[-1] + max(_BAR, theme.LINE * len(row.lines)) + _GAP)
    middles = [(top + bottom) / 2 for top, bottom in pairwise(tops)]
    height = round(tops[-1]) + _AXIS
    colours = [row.colour for row in rows]
    joins = [(row.end, a + _BAR / 2, b - _BAR / 2) for row, (a, b) in zip(rows, pairwise(middles), strict=False)]
    data = [
        theme.bars(
            orientation="h",
            y=middles,
            base=[min(row.start, row.end) for row in rows],
            x=[abs(row.end - row.start) for row in rows],
            width=[_BAR] * len(rows),
            # the outline makes a step of no points a thin line instead of nothing
            marker={"color": colours, "line": {"width": 1, "color": colours}, "cornerradius": 2},
            customdata=[list(row.features) for row in rows],
        ),
        {
            "type": "scatter",
            "mode": "lines",
            "x": [x for end, _, _ in joins for x in (end, end, None)],
            "y": [y for _, above, below in joins for y in (above, below, None)],
            "line": {"width": 1, "color": theme.NEUTRAL},
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "mode": "text",
            # a step may lead past 0 or 1 on the way; Plotly leaves out text that lies off the axis
            "x": [min(max(row.start, row.end, 0.0), 1.0) for row in rows],
            "y": middles,
            "text": [f" {theme.text(row.figure, bold=not row.features)}" for row in rows],
            "textposition": "middle right",
            "textfont": {"size": theme.TEXT, "color": theme.INK},
            "cliponaxis": False,
            "hoverinfo": "skip",
        },
    ]
    marks = (0, 0.25, 0.5, 0.75, 1)
    figure = theme.frame(
        data,
        height=height,
        margin={"l": round(max(row.room for row in rows)) + 10, "r": round(_right(rows)) + 10, "t": 0, "b": _AXIS},
        xaxis=theme.axis(0, 1, tickvals=list(marks), ticktext=[f"{mark:.0%}" for mark in marks]),
        yaxis=theme.axis(tops[-1], 0, tickvals=middles, ticktext=["<br>".join(row.lines) for row in rows], ticklabelstandoff=6),
    )
    return Chart(figure, _alt(result, ends), height)


def _right(rows: list[_Row]) -> float:
    """Pixels for the figure beside a bar that reaches 100%; more only where a wordy one ("over 99%") would be cut."""
    beyond = (theme.width(row.figure, bold=True) - _BARS * (1 - max(row.start, row.end)) for row in rows)
    return max(theme.width("100%", bold=True), *beyond)


def _rows(result: Waterfall, ends: tuple[str, str] | None) -> list[_Row]:
    first = ends[0] if ends else words.say("typical customer")
    rows = [_total(first, result.typical, theme.NEUTRAL, bold=False)]
    at = result.typical
    for step in result.steps:
        lines, room = _label(step)
        colour = theme.RAISES if step.points > 0 else theme.LOWERS
        figure = words.points(step.printed / 100, unit=False)
        rows.append(_Row(lines, room, at, at + step.points, colour, figure, step.features))
        at += step.points
    this = ends[1] if ends else words.say("this customer edited" if result.edited else "this customer")
    return [*rows, _total(this, result.risk, theme.INK, bold=True)]


def _total(label: str, risk: float, colour: str, *, bold: bool) -> _Row:
    lines = theme.wrap(label, _ROOM, bold=bold)
    room = max(theme.width(line, bold=bold) for line in lines)
    return _Row(tuple(theme.text(line, bold=bold) for line in lines), room, 0.0, risk, colour, words.percent(risk))


def _label(step: Step) -> tuple[tuple[str, ...], float]:
    """The fact in one line where it fits, else the value in lines of its own; and the pixels it takes."""
    name = f"{step.label}:" if step.value else step.label
    if step.edited:
        name = f"{_EDITED} {name}"
    value = step.value
    together = theme.width(f"{name} ") + theme.width(value, bold=True)
    if together <= _ROOM:
        return (f"{theme.text(name)} {theme.text(value, bold=True)}" if value else theme.text(name),), together
    names = theme.wrap(name, _ROOM)
    values = theme.wrap(value, _ROOM, bold=True) if value else []
    room = max([*(theme.width(line) for line in names), *(theme.width(line, bold=True) for line in values)])
    return (*(theme.text(line) for line in names), *(theme.text(line, bold=True) for line in values)), room


def _alt(result: Waterfall, names: tuple[str, str] | None) -> str:
    own = [step for step in result.steps if step.printed]
    ends = {"typical": words.percent(result.typical), "risk": words.percent(result.risk)}
    if not own:
        return words.say("alt waterfall flat", **ends)
    largest = max(own, key=lambda step: abs(step.points))
    fact = words.say("fact", label=largest.label, value=largest.value) if largest.value else largest.label
    facts = sum(len(step.features) for step in result.steps)
    if names:
        told = {"left": ends["typical"], "right": ends["risk"], "left_name": names[0], "right_name": names[1], "most": fact}
        return words.say("alt gap", **told, count=words.count(facts), points=words.points(largest.printed / 100))
    return words.say("alt waterfall", count=words.count(facts), **ends, most=fact, points=words.points(largest.printed / 100))
