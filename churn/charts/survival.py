"""The share of customers still there over time: a stepped line for each group with its band, the projection dashed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from churn import words
from churn.charts import theme
from churn.charts.theme import Chart
from churn.understand.retention import Group, Retention

_HEIGHT = 340
_MARGIN = {"l": 44, "t": 12, "b": 30}
_NAME = 118  # px for the name of a group beside its line
_TOP, _TICKS = 1.02, 7
_STEPS = {
    "month": (1, 2, 3, 6, 12, 24, 36, 60, 120),
    "week": (1, 4, 13, 26, 52, 104),
    "quarter": (1, 2, 4, 8, 20),
    "day": (1, 7, 30, 90, 180, 365),
}


def survival_chart(found: Retention) -> Chart:
    """Draw the groups that are large enough to speak of; all together where nothing is compared.

    The group that leaves soonest stands out; where a line, or its projection, ends stand its name and the share there.
    """
    groups = found.large or (found.whole,)
    wide = max(_end(group)[0] for group in groups)
    soonest = min(groups, key=_last_share) if len(groups) > 1 else None
    data: list[dict[str, Any]] = []
    for group in groups:
        data += _band(group)
    for group in groups:
        colour = theme.RAISES if group is soonest else theme.INK if len(groups) == 1 else theme.NEUTRAL
        data += _lines(group, colour, thick=group is soonest or len(groups) == 1)
    names = [_named(group, found, bold=group is soonest) for group in groups]
    room = max(width for _, _, width in names) + 12
    plot = _HEIGHT - _MARGIN["t"] - _MARGIN["b"]
    at = _apart([_last_share(group) for group in groups], [theme.LINE * lines / plot * _TOP for _, lines, _ in names])
    ends = [_end(group)[0] for group in groups]
    notes = [theme.note(text, end, place, xshift=8) for (text, _, _), end, place in zip(names, ends, at, strict=True)]
    ticks = _ticks(wide, str(found.tenure.clock))
    figure = theme.frame(
        data,
        height=_HEIGHT,
        margin={**_MARGIN, "r": round(room)},
        xaxis=theme.axis(0, wide, tickvals=ticks, ticktext=[words.count(tick) for tick in ticks]),
        yaxis=theme.axis(
            0, _TOP, tickvals=[0, 0.25, 0.5, 0.75, 1], ticktext=["0%", "25%", "50%", "75%", "100%"], ticklabelstandoff=6
        ),
        annotations=notes,
    )
    told = words.sentence_list(
        words.say("still there", who=group.label or words.say("all customers"), share=words.percent(group.line[-1][1]),
                  time=_time(group.until, found))
        for group in groups
    )  # fmt: skip
    return Chart(figure, words.say("alt survival", groups=told), _HEIGHT)


def _band(group: Group) -> list[dict[str, Any]]:
    line = {"type": "scatter", "mode": "lines", "hoverinfo": "skip", "line": {"width": 0, "color": theme.TRACK, "shape": "hv"}}
    times = [time for time, *_ in group.line]
    return [
        {**line, "x": times, "y": [low for _, _, low, _ in group.line]},
        {**line, "x": times, "y": [high for *_, high in group.line], "fill": "tonexty", "fillcolor": theme.TRACK},
    ]


def _lines(group: Group, colour: str, *, thick: bool) -> list[dict[str, Any]]:
    line = {"type": "scatter", "mode": "lines", "hoverinfo": "skip"}
    drawn = [
        {
            **line,
            "x": [time for time, *_ in group.line],
            "y": [share for _, share, *_ in group.line],
            "line": {"width": 2.5 if thick else 2, "color": colour, "shape": "hv"},
        }
    ]
    if group.ahead:
        ahead = {"width": 1.5, "color": colour, "dash": "dash"}
        times, shares = zip(*group.ahead, strict=True)
        drawn.append({**line, "x": list(times), "y": list(shares), "line": ahead})
    return drawn


def _end(group: Group) -> tuple[float, float]:
    """Where the line of a group, or its projection, ends on the right: time and share."""
    return group.ahead[-1] if group.ahead else group.line[-1][:2]


def _last_share(group: Group) -> float:
    return _end(group)[1]


def _named(group: Group, found: Retention, *, bold: bool) -> tuple[str, int, float]:
    """What stands beside a line, escaped; how many lines of text it has, and how wide it is."""
    name = group.label or words.say("all customers")
    share = words.percent(_last_share(group))
    lines = theme.wrap(f"{share} {name}", _NAME, bold=bold)
    text = "<br>".join(theme.text(line, bold=bold) for line in lines)
    return text, len(lines), max(theme.width(line, bold=bold) for line in lines)


def _apart(wanted: Sequence[float], heights: Sequence[float]) -> list[float]:
    """Places near the wanted ones where texts of these heights, in the axis' units, do not run into each other."""
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    at = list(wanted)
    floor = 0.0
    for place in order:
        at[place] = max(wanted[place], floor + heights[place] / 2)
        floor = at[place] + heights[place] / 2
    ceiling = _TOP
    for place in reversed(order):
        at[place] = min(at[place], ceiling - heights[place] / 2)
        ceiling = at[place] - heights[place] / 2
    return at


def _ticks(wide: float, clock: str) -> list[float]:
    steps = _STEPS.get(clock, (1, 2, 5, 10, 20))
    step = next((one for one in steps if wide / one <= _TICKS), math.ceil(wide / _TICKS))
    return [float(value) for value in range(0, math.floor(wide) + 1, step)]


def _time(time: float, found: Retention) -> str:
    clock = str(found.tenure.clock)
    return f"{words.count(time)} {words.plural(clock, time)}"
