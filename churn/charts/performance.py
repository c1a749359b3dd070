"""What was promised and what came of it: a line with its band over time and a dot for each outcome; and groups, by how far off.

A line goes solid through windows whose outcomes are known and dashed through those that are only estimated; every model has its
own, so that no line joins two. A dot outside the band is coloured, orange or, where that is better than promised, blue. A click
on a window hands back its model and its first day.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby, pairwise
from typing import Any, Literal

from churn import words
from churn.base.value import Interval
from churn.charts import theme
from churn.charts.effects import Row, dots_with_ranges
from churn.charts.theme import Chart
from churn.watch.by_group import GroupPerformance
from churn.watch.figures import Band, Figures
from churn.watch.performance import WindowPerformance

_HEIGHT = 300
_MARGIN = {"l": 52, "r": 34, "t": 28, "b": 46}
_PADDING = 0.06  # of the width, at both ends: for the outermost labels
_TICKS = 6  # windows named on the axis: what fits a phone
_MARKS = 4  # figures on the upright axis
_SHADE = "rgba(124,136,150,0.22)"  # neutral, thinned
GROUPS = 8  # drawn at most


@dataclass(frozen=True, slots=True)
class Measure:
    """What the line and the dots show: `name` for the alt text, what to take of a window's figures, and how it reads.

    promised: the band of an estimate; came: the realised figure, None where there is none; fewest: the scale's lowest end, None
        for one that follows the figures.
    """

    name: str
    promised: Callable[[Figures], Band | None]
    came: Callable[[Figures], float | None]
    shown: Callable[[float], str]
    better: Literal["above", "below"] | None = None
    sums: bool = False


@dataclass(frozen=True, slots=True)
class _Point:
    at: int
    label: str
    one: WindowPerformance
    promised: Band
    came: float | None


def over_time(
    found: Sequence[WindowPerformance],
    measure: Measure,
    label: Callable[[date], str],
    *,
    champion: str,
    chosen: tuple[str, date] | None = None,
) -> Chart:
    """Draw windows, oldest first, at least one of which has what is measured.

    Parameters
    ----------
    label: a window's name on the axis, by its first day. champion: the model in use, whose line is in ink.
    chosen: model and first day of the window that is looked at; its dot is larger.
    """
    points = [_point(one, measure, label) for one in found]
    shown = [point for point in points if point is not None]
    if not shown:
        frame = theme.frame([], height=40, margin={"l": 0, "r": 0, "t": 0, "b": 0})
        return Chart(frame, words.say("alt bars empty", what=measure.name), 40)
    low, high = _limits(shown)
    ordered = sorted(shown, key=lambda point: (point.one.model, point.at))
    by_model = [(model, list(some)) for model, some in groupby(ordered, lambda point: point.one.model)]
    data = [trace for model, some in by_model for trace in _line(some, theme.INK if model == champion else theme.NEUTRAL)]
    data += [_dots(shown, measure, chosen)]
    first, last = min(point.at for point in shown), max(point.at for point in shown)
    padding = _PADDING * max(last - first, 1)
    marks, notes = _changes(by_model, low, high, first, last)
    ticks = _ticks(shown)
    steps = theme.round_steps(low, high, _MARKS)
    steps = [step for step in steps if low <= step <= high]
    figure = theme.frame(
        data,
        height=_HEIGHT,
        margin=_MARGIN,
        xaxis=theme.axis(
            first - padding,
            last + padding,
            tickvals=[point.at for point in ticks],
            ticktext=[f"{theme.text(point.label)}<br>{words.percent(point.one.matured)}" for point in ticks],
        ),
        yaxis=theme.axis(
            low, high, tickvals=steps, ticktext=[theme.text(measure.shown(step)) for step in steps], ticklabelstandoff=6
        ),
        shapes=marks,
        annotations=[*notes, *_figures(by_model, measure, champion)],
    )
    return Chart(figure, _alt(shown, measure), _HEIGHT)


def group_gaps(groups: Sequence[GroupPerformance], name: Callable[[GroupPerformance], str]) -> Chart:
    """Draw how many points more left than was promised, for the first groups given; coloured where that is more than chance.

    Parameters
    ----------
    groups: at least one, those worth seeing first. name: what a group is called.
    """
    shown = groups[:GROUPS]
    rows = [Row(name(one), _told(one), one.gap.value, Interval(one.gap.low, one.gap.high), _colour(one)) for one in shown]
    low, high = min(0.0, *(row.range.low for row in rows)), max(0.0, *(row.range.high for row in rows))
    off = sum(one.off for one in shown)
    alt = words.say("alt group gaps", count=len(rows), first=rows[0].name, told=rows[0].figure, off=off)
    return dots_with_ranges(rows, low, high, alt, zero=True)


# -- inside --------------------------------------------------------------------


def _point(one: WindowPerformance, measure: Measure, label: Callable[[date], str]) -> _Point | None:
    promised = measure.promised(one.promised or one.estimated)
    if promised is None:
        return None
    came = None if one.realised is None else measure.came(one.realised)
    return _Point(one.start.toordinal(), label(one.start), one, promised, came)


def _limits(points: Sequence[_Point]) -> tuple[float, float]:
    """The ends of the scale: all that is drawn, with some room."""
    values = [value for p in points for value in (p.promised.low, p.promised.high, *([p.came] if p.came is not None else []))]
    low, high = min(values), max(values)
    room = max(high - low, 1e-9) * 0.12
    return low - room, high + room


def _line(points: Sequence[_Point], colour: str) -> list[dict[str, Any]]:
    """One model's band, and its line: solid as far as outcomes are known, dashed from there."""
    x = [point.at for point in points]
    band = {
        "type": "scatter",
        "mode": "lines",
        "x": [*x, *reversed(x)],
        "y": [*(point.promised.high for point in points), *(point.promised.low for point in reversed(points))],
        "fill": "toself",
        "fillcolor": _SHADE,
        "line": {"width": 0},
        "hoverinfo": "skip",
    }
    known = [point.came is not None for point in points]
    until = max((place for place, there in enumerate(known) if there), default=0)
    parts = [(points[: until + 1], "solid"), (points[until:], "dash")] if any(known) else [(points, "dash")]
    lines = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [point.at for point in part],
            "y": [point.promised.value for point in part],
            "line": {"width": 2, "color": colour, "dash": dash},
            "hoverinfo": "skip",
            "cliponaxis": False,
        }
        for part, dash in parts
        if len(part) > 1
    ]
    return [band, *lines]


def _dots(points: Sequence[_Point], measure: Measure, chosen: tuple[str, date] | None) -> dict[str, Any]:
    """A dot where the outcome is, a small hollow one where there is only the promise; all can be clicked."""
    colours = [_outside(point, measure) for point in points]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [point.at for point in points],
        "y": [point.promised.value if point.came is None else point.came for point in points],
        "marker": {
            "size": [15 if (p.one.model, p.one.start) == chosen else 7 if p.came is None else 10 for p in points],
            "color": [theme.CLEAR if p.came is None else colour for p, colour in zip(points, colours, strict=True)],
            "line": {"width": [1.5] * len(points), "color": colours},
        },
        "selected": {"marker": {"opacity": 1}},
        "unselected": {"marker": {"opacity": 1}},
        "customdata": [[point.one.model, point.one.start.isoformat()] for point in points],
        "text": [theme.text(_said(point, measure)) for point in points],
        "hoverinfo": "text",
        "cliponaxis": False,
    }


def _outside(point: _Point, measure: Measure) -> str:
    if point.one.few:
        return theme.NEUTRAL
    if point.came is None or point.promised.holds(point.came):
        return theme.INK
    side = "above" if point.came > point.promised.high else "below"
    return theme.LOWERS if side == measure.better else theme.RAISES


def _said(point: _Point, measure: Measure) -> str:
    low, high = measure.shown(point.promised.low), measure.shown(point.promised.high)
    promised = f"{measure.shown(point.promised.value)} ({words.interval(low, high)})"
    known = {"when": point.label, "model": point.one.model, "promised": promised}
    if point.came is None:
        return words.say("performance point early", **known)
    return words.say("performance point", came=measure.shown(point.came), **known)


def _changes(
    by_model: Sequence[tuple[str, list[_Point]]], low: float, high: float, first: int, last: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A dotted line where a model's windows begin after another's, with its name."""
    shapes, notes = [], []
    for (_, before), (model, after) in pairwise(sorted(by_model, key=lambda entry: entry[1][0].at)):
        begins = after[0].at
        earlier = [point.at for point in before if point.at < begins]
        at = (max(earlier) + begins) / 2 if earlier else begins
        line = {"width": 1, "dash": "dot", "color": theme.NEUTRAL}
        shapes.append({"type": "line", "x0": at, "x1": at, "y0": low, "y1": high, "line": line})
        anchor = _side(at, first, last)
        label = words.say("model from here", model=model)
        notes.append(theme.note(theme.text(label), at, high, anchor=anchor, yanchor="bottom", yshift=4))
    return shapes, notes


def _figures(by_model: Sequence[tuple[str, list[_Point]]], measure: Measure, champion: str) -> list[dict[str, Any]]:
    """Beside the last outcome, and the last estimate of the model in use (of the last one where it has none), what they are."""
    notes = []
    told = sorted((point for _, some in by_model for point in some if point.came is not None), key=lambda point: point.at)
    if told:
        point, came = told[-1], told[-1].came or 0.0
        above = came >= point.promised.value
        place = {"yanchor": "bottom", "yshift": 9} if above else {"yanchor": "top", "yshift": -9}
        notes.append(theme.note(theme.text(measure.shown(came), bold=True), point.at, came, anchor="center", **place))
    own = next((some for model, some in by_model if model == champion), by_model[-1][1])
    if own[-1].came is None:
        point, falls = own[-1], len(own) > 1 and own[-2].promised.value > own[-1].promised.value
        place = {"yanchor": "top", "yshift": -8} if falls else {"yanchor": "bottom", "yshift": 8}  # clear of the line
        label = theme.text(measure.shown(point.promised.value))
        notes.append(theme.note(label, point.at, point.promised.value, anchor="center", **place))
    return notes


def _side(at: float, first: int, last: int) -> str:
    share = (at - first) / max(last - first, 1)
    return "left" if share < 0.3 else "right" if share > 0.7 else "center"


def _ticks(points: Sequence[_Point]) -> list[_Point]:
    """Some of the windows, evenly spaced, the last among them."""
    places = [point for _, point in sorted({point.at: point for point in points}.items())]
    step = -(-len(places) // _TICKS)
    return places[::-step][::-1]


def _alt(points: Sequence[_Point], measure: Measure) -> str:
    told = [point for point in points if point.came is not None]
    last = told[-1] if told else points[-1]
    promised = measure.shown(last.promised.value)
    if last.came is None:
        said = words.say("alt performance none", when=last.label, promised=promised)
    else:
        said = words.say("alt performance told", when=last.label, actual=measure.shown(last.came), promised=promised)
    count = len({point.at for point in points})
    return words.say("alt performance", what=measure.name, count=count, windows=words.plural("window", count), told=said)


def _told(one: GroupPerformance) -> str:
    left, promised = one.left / one.rows, one.left / one.rows - one.gap.value
    return words.say("performance group", left=words.percent(left), promised=words.percent(promised), rows=words.count(one.rows))


def _colour(one: GroupPerformance) -> str:
    if one.few:
        return theme.NEUTRAL
    if not one.off:
        return theme.INK
    return theme.RAISES if one.gap.value > 0 else theme.LOWERS
