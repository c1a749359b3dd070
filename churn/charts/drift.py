"""Drift: how far a column, or the risk, has moved over time, and how it is spread now against before."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from churn import words
from churn.charts import theme
from churn.charts.theme import Chart
from churn.watch.drift import ColumnDrift, WindowDrift
from churn.watch.shape import Shape

_MARGIN = {"l": 34, "r": 34, "t": 24, "b": 32}
_LEAST_TOP = 0.08  # of the axis of distances
_HEAD = 1.15  # of the largest value shown is the top
_MOVED, _WATCH = 0.16, 0.08  # how opaque the bands are
_TICKS = 5  # dates that fit a phone
_SHAPE_HEIGHT, _SHAPE_MARGIN = 260, {"l": 4, "r": 4, "t": 44, "b": 30}
_ROW, _BAR = 40, 12  # px of a level and of its bar
_NAMED = 7  # bars beyond which a number's labels would meet on a phone


def over_time(windows: Sequence[WindowDrift], column: str, name: str, *, height: int = 260) -> Chart:
    """Draw a column's distance over time, in points, with the bands from which it counts.

    Parameters
    ----------
    windows: oldest first; where the model changes, the line breaks and a mark says which one it is from there.
    column: a column's name, or `__risk__`; a window of a model that does not have it is left out.
    name: as people call it.
    """
    known = [(window, one) for window in windows if (one := _of(window, column)) is not None]
    if not known:
        return Chart(theme.frame([], height=height, margin=_MARGIN), words.say("alt drift none", name=name), height)
    days = [window.start.toordinal() for window, _ in known]
    top = max(_LEAST_TOP, _HEAD * max(max(one.distance, min(one.band[1], 0.5)) for _, one in known))
    pad = 0.04 * max(days[-1] - days[0], 1)
    low, high = days[0] - pad, days[-1] + pad
    edges = [low, *((a + b) / 2 for a, b in pairwise(days)), high]
    shapes = [
        _band(edges, [one.band[1] for _, one in known], [top] * len(known), _MOVED),
        _band(edges, [one.band[0] for _, one in known], [one.band[1] for _, one in known], _WATCH),
    ]
    first = known[0][1]
    line = theme.LINE / (height - _MARGIN["t"] - _MARGIN["b"]) * top  # of text, on the axis
    notes = [theme.note("moved", low, min(first.band[1], top - line), yanchor="bottom", xshift=4, yshift=1)]
    if first.band[1] - first.band[0] > line:
        notes.append(theme.note("watch", low, first.band[0], yanchor="bottom", xshift=4, yshift=1))
    data: list[dict[str, Any]] = []
    for part in _by_model(known):
        data += _line(part, name)
    for (before, _), (after, _) in pairwise(known):
        if before.model != after.model:
            at = (before.start.toordinal() + after.start.toordinal()) / 2
            shapes.append(_change(at))
            share = (at - low) / max(high - low, 1)
            label = words.say("model from here", model=after.model)
            anchor = "left" if share < 0.3 else "right" if share > 0.7 else "center"
            notes.append(theme.note(theme.text(label), at, 1, anchor=anchor, yref="paper", yanchor="bottom", yshift=4))
    last_day, last = days[-1], known[-1][1]
    shown = words.points(last.distance, signed=False, unit=False, decimals=1)
    notes.append(theme.note(theme.text(shown, bold=True), last_day, last.distance, anchor="center", yanchor="bottom", yshift=7))
    small = [mark for mark in (0.03, 0.05) if mark > line and (mark == 0.05 or line < 0.02)]
    marks = [0.0, *small, *(mark for mark in theme.round_steps(0.0, top, 4) if mark >= 0.1)]
    ticks = _ticks(days)
    years = known[0][0].start.year != known[-1][0].start.year
    figure = theme.frame(
        data,
        height=height,
        margin=_MARGIN,
        xaxis=theme.axis(
            low, high, tickvals=[at for at, _ in ticks], ticktext=[_date(known, i, years) for _, i in ticks], ticklabelstandoff=6
        ),
        yaxis=theme.axis(
            0,
            top,
            tickvals=marks,
            ticktext=[words.points(mark, signed=False, unit=False) for mark in marks],
            ticklabelstandoff=6,
        ),
        shapes=shapes,
        annotations=notes,
    )
    told = words.say(
        "alt drift",
        name=name,
        count=words.count(len(known)),
        first=words.points(first.distance, signed=False, decimals=1),
        last=words.points(last.distance, signed=False, decimals=1),
        moved=words.count(sum(one.status == "moved" for _, one in known)),
    )
    return Chart(figure, told, height)


def _of(window: WindowDrift, column: str) -> ColumnDrift | None:
    return next((one for one in (window.risk, *window.columns) if one.column == column), None)


_Known = Sequence[tuple[WindowDrift, ColumnDrift]]


def _by_model(known: _Known) -> list[_Known]:
    parts: list[list[tuple[WindowDrift, ColumnDrift]]] = []
    for window, one in known:
        if not parts or parts[-1][-1][0].model != window.model:
            parts.append([])
        parts[-1].append((window, one))
    return list(parts)


def _line(part: _Known, name: str) -> list[dict[str, Any]]:
    """One model's line; what has moved is orange, what says nothing or is not complete is hollow."""
    colours = {"moved": theme.RAISES, "watch": theme.INK, "quiet": theme.INK, "few": theme.QUIET}
    return [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "x": [window.start.toordinal() for window, _ in part],
            "y": [one.distance for _, one in part],
            "line": {"width": 2, "color": theme.INK},
            "marker": {
                "size": [9 if one.status == "moved" else 6 for _, one in part],
                "color": [colours[one.status] for _, one in part],
                "opacity": 1,
                "symbol": ["circle" if window.complete and one.status != "few" else "circle-open" for window, one in part],
            },
            "text": [theme.text(_hover(window, one, name)) for window, one in part],
            "hoverinfo": "text",
            "cliponaxis": False,
        }
    ]


def _hover(window: WindowDrift, one: ColumnDrift, name: str) -> str:
    size = words.points(one.distance, signed=False, decimals=1)
    open_ = "" if window.complete else ", not complete yet"
    return f"{words.day(window.start)}: {name} {size}, {words.counted(window.rows, 'prediction')}, model {window.model}{open_}"


def _band(edges: Sequence[float], low: Sequence[float], high: Sequence[float], opacity: float) -> dict[str, Any]:
    """The area between two stepped lines, a step for each window."""
    upper = [f"L{x},{y}" for (a, b), y in zip(pairwise(edges), high, strict=True) for x in (a, b)]
    lower = [f"L{x},{y}" for (a, b), y in reversed(list(zip(pairwise(edges), low, strict=True))) for x in (b, a)]
    path = "M" + " ".join([*upper, *lower])[1:] + "Z"
    area = {"type": "path", "path": path, "layer": "below", "line": {"width": 0}}
    return {**area, "fillcolor": theme.RAISES, "opacity": opacity}


def _change(at: float) -> dict[str, Any]:
    line = {"width": 1, "dash": "dot", "color": theme.NEUTRAL}
    return {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper", "line": line}


def _ticks(days: Sequence[int]) -> list[tuple[int, int]]:
    """Some of the days and which they are, evenly spaced, the first and the last among them."""
    if len(days) <= _TICKS:
        return list(zip(days, range(len(days)), strict=True))
    chosen = [round(i * (len(days) - 1) / (_TICKS - 1)) for i in range(_TICKS)]
    return [(days[i], i) for i in chosen]


def _date(known: _Known, place: int, years: bool) -> str:
    day = known[place][0].start
    if all(window.start.day == 1 for window, _ in known) and len(known) > 1:
        return f"{words.month(day)} {day.year}" if years and place in (0, len(known) - 1) else words.month(day)
    return words.day(day, year=False)


# -- now and before --------------------------------------------------------------


def now_and_before(found: Shape, name: str, *, then: str = "at training") -> Chart:
    """Draw how a column is spread now (grey bars), how it was then (ink line), and what is more than then (orange)."""
    if not found.bars or not any(bar.now or bar.before for bar in found.bars):
        return Chart(theme.frame([], height=80, margin=_SHAPE_MARGIN), words.say("alt shape none", name=name), 80)
    return _columns(found, name, then) if found.ticks else _rows(found, name, then)


def _columns(found: Shape, name: str, then: str) -> Chart:
    """A number: columns side by side, the line before as steps."""
    bars = found.bars
    count = len(bars)
    top = _HEAD * max(max(bar.now, bar.before) for bar in bars)
    grey = [min(bar.now, bar.before) for bar in bars]
    more = [max(bar.now - bar.before, 0.0) for bar in bars]
    middles = [i + 0.5 for i in range(count)]
    hover = [theme.text(_told(bar)) for bar in bars]
    wide = {"x": middles, "width": [0.92] * count, "text": hover, "hoverinfo": "text", "textposition": "none"}
    steps_x = [x for i in range(count) for x in (i, i + 1)]
    steps_y = [bar.before for bar in bars for _ in range(2)]
    data = [
        theme.bars(y=grey, marker={"color": theme.QUIET}, **wide),
        theme.bars(y=more, base=grey, marker={"color": theme.RAISES}, **wide),
        {
            "type": "scatter",
            "mode": "lines",
            "x": [0, *steps_x, count],
            "y": [0.0, *steps_y, 0.0],
            "line": {"width": 2, "color": theme.INK},
            "hoverinfo": "skip",
            "cliponaxis": False,
        },
    ]
    every = max(1, -(-count // _NAMED))
    places = list(range(0, len(found.ticks), every))
    ticks = {"tickvals": places, "ticktext": [theme.text(found.ticks[i]) for i in places]}
    figure = theme.frame(
        data,
        height=_SHAPE_HEIGHT,
        margin={**_SHAPE_MARGIN, "l": 14, "r": 18},
        xaxis=theme.axis(0, count, **ticks),
        yaxis=theme.axis(0, top, visible=False),
        annotations=_legend(then),
    )
    return Chart(figure, _alt(found, name), _SHAPE_HEIGHT)


def _rows(found: Shape, name: str, then: str) -> Chart:
    """Levels: a bar each, its name and shares above, a tick where it was before."""
    bars = found.bars
    count = len(bars)
    height = _SHAPE_MARGIN["t"] + count * _ROW + 6
    wide = max(max(bar.now, bar.before) for bar in bars)
    at = [count - 1 - i + 0.28 for i in range(count)]
    grey = [min(bar.now, bar.before) for bar in bars]
    more = [max(bar.now - bar.before, 0.0) for bar in bars]
    own = {"y": at, "width": [_BAR / _ROW] * count, "orientation": "h", "text": [theme.text(_told(bar)) for bar in bars]}
    own |= {"hoverinfo": "text", "textposition": "none"}
    data = [
        theme.bars(x=[wide] * count, marker={"color": theme.TRACK}, **own),
        theme.bars(x=grey, marker={"color": theme.QUIET}, **own),
        theme.bars(x=more, base=grey, marker={"color": theme.RAISES}, **own),
    ]
    reach = 0.8 * _BAR / _ROW
    line = {"width": 2.5, "color": theme.INK}
    shapes = [
        {"type": "line", "x0": bar.before, "x1": bar.before, "y0": y - reach, "y1": y + reach, "line": line}
        for bar, y in zip(bars, at, strict=True)
    ]
    notes = _legend(then)
    for bar, y in zip(bars, at, strict=True):
        shares = f"{theme.text(words.percent(bar.now), bold=True)} (was {words.percent(bar.before)})"
        label = theme.wrap(bar.label, 170)[0]
        notes.append(theme.note(theme.text(label if label == bar.label else f"{label}…"), 0, y + 0.45))
        notes.append(theme.note(shares, wide, y + 0.45, anchor="right"))
    figure = theme.frame(
        data,
        height=height,
        margin=_SHAPE_MARGIN,
        xaxis=theme.axis(0, wide, visible=False),
        yaxis=theme.axis(0, count, visible=False),
        shapes=shapes,
        annotations=notes,
    )
    return Chart(figure, _alt(found, name), height)


def _legend(then: str) -> list[dict[str, Any]]:
    """Above the chart: what the line and the colour are."""
    place: dict[str, Any] = {"xref": "paper", "yref": "paper", "yanchor": "bottom", "yshift": 14}
    orange = {"size": theme.TEXT, "color": theme.RAISES}
    return [
        theme.note(f"line: {then}", 0, 1, **place),
        theme.note("<b>orange: more than then</b>", 1, 1, anchor="right", **{**place, "font": orange}),
    ]


def _told(bar: Any) -> str:
    return f"{bar.label}: {words.average(bar.now)}, was {words.average(bar.before)}"


def _alt(found: Shape, name: str) -> str:
    most = max(found.bars, key=lambda bar: abs(bar.now - bar.before))
    return words.say(
        "alt shape",
        name=name,
        count=words.count(len(found.bars)),
        most=most.label,
        before=words.average(most.before),
        now=words.average(most.now),
    )
