"""How one customer's risk moves along one column: a line over a number, a list of bars over levels.

What resembles no real customer is grey, with a word; the customer as it stands is marked. The axis is fixed at 0–100%, so that an
edit moves the line and not the axis. A click hands back the value's place, as `customdata` `[place]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from churn import words
from churn.charts import theme
from churn.charts.theme import Chart
from churn.data.schema import Schema
from churn.understand.curves import Curve, Spot

_HEIGHT = 250
_MARGIN = {"l": 42, "r": 8, "t": 26, "b": 28}
_PADDING = 0.05  # of the width, at both ends: for the outermost labels, and for the mark
_MARKS = (0, 0.25, 0.5, 0.75, 1)
_TICKS = 5
_LEVELS = 12  # of more, those of least and most risk are shown
_BAR, _GAP = 11, 16
_PHONE = 330  # px a chart has on a 390 px screen


def curve_chart(result: Curve, schema: Schema) -> Chart:
    """Draw a curve. A number that is not known has no place on the line: the chart then says so by the bar list's means."""
    numbers = result.feature.is_number and result.here.value is not None and len(result.spots) > 1  # values that differ
    return _line(result, schema) if numbers else _bars(result, schema)


# -- numbers -------------------------------------------------------------------


def _line(result: Curve, schema: Schema) -> Chart:
    places = [place for place, spot in enumerate(result.spots) if spot.value is not None]
    spots = [result.spots[place] for place in places]
    at = [float(spot.value or 0.0) for spot in spots]
    low, high = at[0], at[-1]
    real = [spot.supported or spot.here for spot in spots]
    data: list[dict[str, Any]] = [
        _path(at, [spot.risk for spot in spots], theme.NEUTRAL, dash="dot"),
        *(_path([at[i] for i in part], [spots[i].risk for i in part], theme.INK) for part in _stretches(real, wanted=True)),
        {
            "type": "scatter",
            "mode": "markers",
            "x": at,
            "y": [spot.risk for spot in spots],
            # only the customer's own mark is seen; the others are there to be clicked
            "marker": {
                "size": [13 if spot.here else 16 for spot in spots],
                "color": [theme.INK if spot.here else theme.CLEAR for spot in spots],
            },
            "selected": {"marker": {"opacity": 1}},
            "unselected": {"marker": {"opacity": 1}},
            "customdata": [[place] for place in places],
            "text": [theme.text(_told(spot, result, schema)) for spot in spots],
            "hoverinfo": "text",
            "cliponaxis": False,
        },
    ]
    ticks, padding = _ticks(at), _PADDING * (high - low)
    notes = [_mark(result.here, words.say("curve here", risk=words.percent(result.here.risk)), low, high)]
    shapes = []
    for part in _stretches(real, wanted=False):
        left = at[part[0]] if part[0] == 0 else (at[part[0] - 1] + at[part[0]]) / 2
        right = at[part[-1]] if part[-1] == len(at) - 1 else (at[part[-1]] + at[part[-1] + 1]) / 2
        shapes.append(
            {
                "type": "rect",
                "x0": left,
                "x1": right,
                "y0": 0,
                "y1": 1,
                "fillcolor": theme.TRACK,
                "line": {"width": 0},
                "layer": "below",
            }
        )
    figure = theme.frame(
        data,
        height=_HEIGHT,
        margin=_MARGIN,
        xaxis=theme.axis(
            low - padding,
            high + padding,
            tickvals=ticks,
            ticktext=[theme.text(words.quantity(tick, result.feature, schema, unit=False)) for tick in ticks],
        ),
        yaxis=theme.axis(0, 1, tickvals=list(_MARKS), ticktext=[words.percent(mark) for mark in _MARKS], ticklabelstandoff=6),
        shapes=shapes,
        annotations=notes,
    )
    return Chart(figure, _alt(result, schema), _HEIGHT)


def _path(x: Sequence[float], y: Sequence[float], colour: str, dash: str = "solid") -> dict[str, Any]:
    line = {"width": 2 if dash == "solid" else 1.5, "color": colour, "dash": dash}
    return {
        "type": "scatter",
        "mode": "lines",
        "x": list(x),
        "y": list(y),
        "line": line,
        "hoverinfo": "skip",
        "cliponaxis": False,
    }


def _stretches(flags: Sequence[bool], *, wanted: bool) -> list[list[int]]:
    """Neighbouring places whose flag is the wanted one, together."""
    return [[i for i, _ in group] for flag, group in groupby(enumerate(flags), key=lambda one: one[1]) if flag is wanted]


def _ticks(at: Sequence[float]) -> list[float]:
    """Some of the values tried, about evenly spaced: the ends, and what lies nearest to the places between."""
    low, high = at[0], at[-1]
    values = np.array(at)
    wanted = low + (high - low) * np.linspace(0, 1, _TICKS)
    return sorted({float(values[np.abs(values - place).argmin()]) for place in wanted})


def _mark(spot: Spot, label: str, low: float, high: float) -> dict[str, Any]:
    """The words beside the customer's mark: on the side where there is room."""
    value = float(spot.value or 0.0)
    share = (value - low) / (high - low) if high > low else 0.5
    anchor = "left" if share < 0.25 else "right" if share > 0.75 else "center"
    return theme.note(theme.text(label, bold=True), value, spot.risk, anchor=anchor, yanchor="bottom", yshift=9)


# -- levels --------------------------------------------------------------------


def _bars(result: Curve, schema: Schema) -> Chart:
    """A row for every level: name and risk, a bar on a track below."""
    kept = _kept(result)
    names = [_name(result.spots[place], result, schema) for place in kept]
    figures = [words.percent(result.spots[place].risk) for place in kept]
    lines = [
        theme.wrap(name, _PHONE - theme.width(figure, bold=True) - 12, bold=result.spots[place].here)
        for name, figure, place in zip(names, figures, kept, strict=True)
    ]
    tops = [0.0]
    for one in lines:
        tops.append(tops[-1] + theme.LINE * len(one) + _BAR + _GAP)
    height = round(tops[-1])
    middles = [bottom - _GAP - _BAR / 2 for bottom in tops[1:]]
    spots = [result.spots[place] for place in kept]
    colours = [theme.INK if spot.here else theme.NEUTRAL if spot.supported else theme.QUIET for spot in spots]
    ids = [[place] for place in kept]

    def row(lengths: list[float], colour: Any, wide: list[float], y: list[float]) -> dict[str, Any]:
        look = {"marker": {"color": colour, "cornerradius": 2}, "customdata": ids, "hoverinfo": "text"}
        told = [theme.text(_told(spot, result, schema)) for spot in spots]
        return theme.bars(orientation="h", x=lengths, y=y, width=wide, hovertext=told, **look)

    full = [1.0] * len(kept)
    heights = [bottom - top for top, bottom in pairwise(tops)]
    data = [
        row(full, theme.TRACK, [_BAR] * len(kept), middles),
        row([spot.risk for spot in spots], colours, [_BAR] * len(kept), middles),
        row(full, theme.CLEAR, heights, [top + tall / 2 for top, tall in zip(tops, heights, strict=False)]),
    ]
    notes = []
    for spot, one, figure, top in zip(spots, lines, figures, tops, strict=False):
        label = "<br>".join(theme.text(line, bold=spot.here) for line in one)
        notes.append(theme.note(label, 0, top + theme.LINE * len(one) / 2))
        notes.append(theme.note(theme.text(figure, bold=True), 1, top + theme.LINE * (len(one) - 0.5), anchor="right"))
    drawn = theme.frame(
        data,
        height=height,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        xaxis=theme.axis(0, 1, visible=False),
        yaxis=theme.axis(tops[-1], 0, visible=False),
        annotations=notes,
    )
    return Chart(drawn, _alt(result, schema), height)


def _kept(result: Curve) -> list[int]:
    """Places of the levels that are shown, in their order: all, or the customer's own with those of least and of most risk."""
    places = list(range(len(result.spots)))
    if len(places) <= _LEVELS:
        return places
    own = next(place for place in places if result.spots[place].here)
    others = sorted((place for place in places if place != own), key=lambda place: result.spots[place].risk)
    half = (_LEVELS - 1) // 2
    return sorted({own, *others[:half], *others[len(others) - (_LEVELS - 1 - half) :]})


def _name(spot: Spot, result: Curve, schema: Schema) -> str:
    value = words.quantity(spot.value, result.feature, schema)
    if spot.here:
        return words.say("curve level here", value=value)
    return value if spot.supported else words.say("curve level alone", value=value)


# -- words ---------------------------------------------------------------------


def _told(spot: Spot, result: Curve, schema: Schema) -> str:
    """What the tooltip says: the fact, the risk, and why nobody is like this where that is so."""
    fact = words.say("fact", label=words.value_text(spot.value, result.feature, schema), value=words.percent(spot.risk))
    return fact if spot.supported or spot.here else f"{fact}. {spot.note}"


def _alt(result: Curve, schema: Schema) -> str:
    low, high = result.lowest, result.highest
    return words.say(
        "alt curve",
        label=words.lower_first(result.feature.label),
        count=len(result.spots),
        here=words.percent(result.here.risk),
        low=words.percent(low.risk),
        low_at=words.quantity(low.value, result.feature, schema),
        high=words.percent(high.risk),
        high_at=words.quantity(high.value, result.feature, schema),
        unlike=sum(not (spot.supported or spot.here) for spot in result.spots),
    )
