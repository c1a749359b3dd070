"""One column over all customers: the points of risk that go with its values, and who left there.

Two pictures share one way to lay values out: a number runs along the bottom, a category down the side, where its labels have
room on a phone. In the first the line is the mean, the band holds 8 of 10 customers, and dots are some of them, three shades for
three parts of the column that does most together with this one. In the second dots are the share that left, with how far chance
may take it, and the line is the risk that was foreseen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from churn import words
from churn.charts import theme
from churn.charts.theme import Chart

_HEIGHT = 270
_MARGIN = {"l": 44, "r": 16, "t": 12, "b": 28}
_ROOM = 120  # px for the names of a category, at most
_ROW = 46  # px of a category's row
_AXIS = 28
_TICKS = 5
_BAND = "rgba(124,136,150,0.22)"  # neutral, thinned, on light and dark alike
_SHADES = (theme.QUIET, theme.NEUTRAL, theme.INK)
_SHAPES = ("circle-open", "circle", "diamond")
_Z = 1.2815515655446004  # 8 times in 10


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a column: where it lies (`at`, None for a category or what is not known), its name, points (0–1 scale, None
    where nobody counts) with what 8 of 10 lie between, and of `known` customers `left` left where `foreseen` was said."""

    name: str
    at: float | None
    points: float | None
    low: float | None
    high: float | None
    customers: int
    known: int = 0
    left: int = 0
    foreseen: float | None = None


@dataclass(frozen=True, slots=True)
class Dot:
    """One customer: value (`at`) or place among the values, points (0–1 scale), and third of the partner's values, 0 to 2."""

    at: float | None
    place: int
    points: float
    shade: int


def dependence(values: Sequence[Value], dots: Sequence[Dot], *, label: str, ticks: Sequence[tuple[float, str]] = ()) -> Chart:
    """Points by value.

    Parameters
    ----------
    values: in their order; a number's have `at`, and what is not known stands last without. `ticks`: where and what along it.
    label: the column as it stands in a sentence, for the alt text.
    """
    shown = [one for one in values if one.points is not None]
    if not shown:
        return _nothing(words.say("alt influence empty", label=label))
    ends = [x for one in shown for x in (one.low, one.high, one.points) if x is not None] + [dot.points for dot in dots] + [0.0]
    low, high, marks = _scale(min(ends), max(ends))
    printed = [words.points(mark, unit=False) for mark in marks]
    named = [words.points(one.points) for one in shown]
    least, most = (pick(range(len(shown)), key=lambda i: shown[i].points or 0.0) for pick in (min, max))
    alt = words.say(
        "alt influence", label=label, low=named[least], low_at=shown[least].name, high=named[most], high_at=shown[most].name
    )
    if any(one.at is not None for one in shown):
        return Chart(_along(shown, dots, (low, high), marks, printed, ticks), alt, _HEIGHT)
    return _down(shown, dots, (low, high), marks, printed, named, alt)


def kept(values: Sequence[Value], *, label: str, ticks: Sequence[tuple[float, str]] = ()) -> Chart | None:
    """Who left by value against what was foreseen; None where too little is known to draw."""
    shown = [one for one in values if one.known and one.foreseen is not None]
    if not shown:
        return None
    intervals = [_wilson(one.left, one.known) for one in shown]
    rates = [one.left / one.known for one in shown]
    off = [not low <= (one.foreseen or 0.0) <= high for one, (low, high) in zip(shown, intervals, strict=True)]
    top = min(1.0, math.ceil(20 * max(*(high for _, high in intervals), *(one.foreseen or 0.0 for one in shown))) / 20)
    step = next(step for step in (0.05, 0.1, 0.2, 0.25) if top <= 4.5 * step or step == 0.25)
    marks = [round(i * step, 6) for i in range(int(top / step + 1e-9) + 1)]
    printed = [words.percent(mark) for mark in marks]
    found = words.say("alt calibration off", count=sum(off)) if any(off) else words.say("alt calibration none off")
    alt = words.say("alt kept", label=label, found=found)
    texts = [theme.text(_kept_told(one)) for one in shown]
    colours = [theme.RAISES if missed else theme.INK for missed in off]
    if any(one.at is not None for one in shown):
        width = _span([one.at for one in shown if one.at is not None])
        at = _places(shown, width)
        known = [i for i, one in enumerate(shown) if one.at is not None]
        data: list[dict[str, Any]] = [
            _line([at[i] for i in known], [shown[i].foreseen or 0.0 for i in known], theme.NEUTRAL, width=2),
            *_bars_of_chance(at, intervals, colours, upright=True),
            _marks(at, rates, colours, texts),
        ]
        if len(known) < len(shown):
            data.append(_marks([at[-1]], [shown[-1].foreseen or 0.0], [theme.NEUTRAL], [texts[-1]], symbol="line-ew-open"))
        axes = _number_axis(shown, ticks, width), theme.axis(0, top, tickvals=marks, ticktext=printed, ticklabelstandoff=6)
        figure = theme.frame(data, height=_HEIGHT, margin=_MARGIN, xaxis=axes[0], yaxis=axes[1])
        return Chart(figure, alt, _HEIGHT)
    rows = [float(i) for i in range(len(shown))]
    data = [
        *_bars_of_chance(rows, intervals, colours, upright=False),
        _marks([one.foreseen or 0.0 for one in shown], rows, [theme.NEUTRAL] * len(shown), texts, symbol="line-ns-open", size=18),
        _marks(rates, rows, colours, texts),
    ]
    axis = theme.axis(0, top, tickvals=marks, ticktext=printed)
    return _by_name(shown, data, axis, alt, [words.percent(rate) for rate in rates])


# -- along the bottom ------------------------------------------------------------


def _along(
    shown: Sequence[Value],
    dots: Sequence[Dot],
    ends: tuple[float, float],
    marks: Sequence[float],
    printed: Sequence[str],
    ticks: Sequence[tuple[float, str]],
) -> dict[str, Any]:
    width = _span([one.at for one in shown if one.at is not None])
    at = _places(shown, width)
    known = [i for i, one in enumerate(shown) if one.at is not None]
    x = [at[i] for i in known]
    band = {
        "type": "scatter",
        "mode": "lines",
        "x": [*x, *reversed(x)],
        "y": [*(shown[i].high for i in known), *(shown[i].low for i in reversed(known))],
        "fill": "toself",
        "fillcolor": _BAND,
        "line": {"width": 0},
        "hoverinfo": "skip",
    }
    texts = [theme.text(_told(one)) for one in shown]
    data: list[dict[str, Any]] = [
        band,
        *_shaded([(dot.at if dot.at is not None else at[-1], dot.points, dot.shade) for dot in dots]),
        _line(x, [shown[i].points or 0.0 for i in known], theme.INK, width=2.5),
        # one mark a value, not seen where the line is: what the pointer finds
        _marks(
            at, [one.points or 0.0 for one in shown], [theme.CLEAR if one.at is not None else theme.INK for one in shown], texts
        ),
    ]
    return theme.frame(
        data,
        height=_HEIGHT,
        margin=_MARGIN,
        xaxis=_number_axis(shown, ticks, width),
        yaxis=theme.axis(*ends, tickvals=list(marks), ticktext=list(printed), ticklabelstandoff=6),
        shapes=[_zero(upright=False)],
    )


def _number_axis(shown: Sequence[Value], ticks: Sequence[tuple[float, str]], width: float) -> dict[str, Any]:
    known = [one.at for one in shown if one.at is not None]
    at, texts = [tick for tick, _ in ticks], [theme.text(text) for _, text in ticks]
    end = known[-1] + 0.03 * width
    if len(known) < len(shown):  # what is not known stands apart, at the right
        at, texts = [*(tick for tick in at if tick < known[-1] - 0.1 * width), known[-1] + 0.12 * width], texts[:]
        texts = [*texts[: len(at) - 1], theme.text(shown[-1].name)]
        end = known[-1] + 0.2 * width
    return theme.axis(known[0] - 0.03 * width, end, tickvals=at, ticktext=texts)


def _places(shown: Sequence[Value], width: float) -> list[float]:
    last = max(one.at for one in shown if one.at is not None)
    return [one.at if one.at is not None else last + 0.12 * width for one in shown]


def _span(at: Sequence[float]) -> float:
    return (max(at) - min(at)) or 1.0


# -- down the side -----------------------------------------------------------------


def _down(
    shown: Sequence[Value],
    dots: Sequence[Dot],
    ends: tuple[float, float],
    marks: Sequence[float],
    printed: Sequence[str],
    named: Sequence[str],
    alt: str,
) -> Chart:
    rows = [float(i) for i in range(len(shown))]
    names = [one.name for one in shown]
    cloud = [(dot.points, dot.place + _jitter(i), dot.shade) for i, dot in enumerate(dots) if dot.place < len(names)]
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [x for one in shown for x in (one.low, one.high, None)],
            "y": [y for row in rows for y in (row, row, None)],
            "line": {"width": 20, "color": _BAND},
            "hoverinfo": "skip",
        },
        *_shaded(cloud),
        _marks(
            [one.points or 0.0 for one in shown], rows, [theme.INK] * len(shown), [theme.text(_told(one)) for one in shown],
            symbol="line-ns-open", size=22,
        ),
    ]  # fmt: skip
    axis = theme.axis(*ends, tickvals=list(marks), ticktext=list(printed))
    return _by_name(shown, data, axis, alt, named, shapes=[_zero(upright=True)])


def _by_name(
    shown: Sequence[Value], data: list[dict[str, Any]], axis: dict[str, Any], alt: str, figures: Sequence[str], **layout: Any
) -> Chart:
    """A chart with a row for each value: its name at the left, its figure at the right."""
    lines = [theme.wrap(one.name, _ROOM)[:2] for one in shown]
    left = round(max(theme.width(line) for own in lines for line in own)) + 16
    right = round(max(theme.width(figure, bold=True) for figure in figures)) + 14
    height = _ROW * len(shown) + _AXIS
    notes = [
        theme.note(theme.text(figure, bold=True), 1, i, anchor="left", xref="paper", xshift=8) for i, figure in enumerate(figures)
    ]
    figure = theme.frame(
        data,
        height=height,
        margin={"l": left, "r": right, "t": 0, "b": _AXIS},
        xaxis=axis,
        yaxis=theme.axis(
            len(shown) - 0.5,
            -0.5,
            tickvals=list(range(len(shown))),
            ticktext=["<br>".join(theme.text(line) for line in own) for own in lines],
            ticklabelstandoff=6,
        ),
        annotations=notes,
        **layout,
    )
    return Chart(figure, alt, height)


# -- pieces ------------------------------------------------------------------------


def _line(x: Sequence[float], y: Sequence[float], colour: str, *, width: float) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": list(x),
        "y": list(y),
        "line": {"width": width, "color": colour},
        "hoverinfo": "skip",
        "cliponaxis": False,
    }


def _marks(
    x: Sequence[float], y: Sequence[float], colours: Sequence[str], texts: Sequence[str], *, symbol: str = "circle", size: int = 9
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": list(x),
        "y": list(y),
        "marker": {"size": size, "color": list(colours), "symbol": symbol, "line": {"width": 3 if "open" in symbol else 0}},
        "text": list(texts),
        "hoverinfo": "text",
        "cliponaxis": False,
    }


def _shaded(cloud: Sequence[tuple[float, float, int]]) -> list[dict[str, Any]]:
    """Dots in three shades, each with a shape of its own."""
    found = []
    for shade, own in groupby(sorted(cloud, key=lambda dot: dot[2]), key=lambda dot: dot[2]):
        points = list(own)
        found.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [x for x, _, _ in points],
                "y": [y for _, y, _ in points],
                "marker": {"size": 5, "color": _SHADES[shade], "symbol": _SHAPES[shade], "opacity": 0.7},
                "hoverinfo": "skip",
            }
        )
    return found


def _bars_of_chance(
    at: Sequence[float], intervals: Sequence[tuple[float, float]], colours: Sequence[str], *, upright: bool
) -> list[dict[str, Any]]:
    found = []
    for colour in (theme.INK, theme.RAISES):
        own = [(place, ends) for place, ends, one in zip(at, intervals, colours, strict=True) if one == colour]
        across = [x for place, _ in own for x in (place, place, None)]
        along = [y for _, ends in own for y in (*ends, None)]
        x, y = (across, along) if upright else (along, across)
        found.append({**_line([], [], colour, width=1.5), "x": x, "y": y})
    return found


def _zero(*, upright: bool) -> dict[str, Any]:
    """A thin line where there are no points."""
    ends = (
        {"x0": 0, "x1": 0, "y0": 0, "y1": 1, "yref": "paper"}
        if upright
        else {"x0": 0, "x1": 1, "xref": "paper", "y0": 0, "y1": 0}
    )
    return {"type": "line", "layer": "below", "line": {"width": 1, "color": theme.NEUTRAL, "dash": "dot"}, **ends}


def _kept_told(one: Value) -> str:
    left = one.left / one.known
    said = {"promised": words.percent(one.foreseen), "left": words.percent(left), "rows": words.count(one.known)}
    return words.say("fact", label=one.name, value=words.say("promised", **said))


def _told(one: Value) -> str:
    ends = (
        ""
        if one.low is None or one.high is None
        else f" ({words.interval(words.points(one.low, unit=False), words.points(one.high, unit=False))})"
    )
    return f"{one.name}: {words.points(one.points)}{ends}, {words.count(one.customers)}"


def _scale(low: float, high: float) -> tuple[float, float, list[float]]:
    """Ends of an axis of points and its ticks: whole steps of 1, 2, 5 … points, within what points can be where these are."""
    width = max(high - low, 0.01)
    power = 10.0 ** math.floor(math.log10(width / _TICKS))
    step = next(n * power for n in (1, 2, 5, 10) if n * power * _TICKS >= width)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    most = math.floor(1 / step + 1e-9)
    first, last = first if low < -1 else max(first, -most), last if high > 1 else min(last, most)
    marks = [round(i * step, 6) for i in range(first, last + 1)]
    return marks[0], marks[-1] if len(marks) > 1 else marks[0] + step, marks


def _jitter(number: int) -> float:
    """Where a dot lies across its row, −0.3 to 0.3: evenly spread, and the same every time (the golden ratio's multiples)."""
    return 0.6 * ((number * 0.6180339887498949) % 1.0 - 0.5)


def _wilson(left: int, known: int) -> tuple[float, float]:
    """The interval that holds a share 8 times in 10 (Wilson 1927)."""
    share, z2 = left / known, _Z * _Z
    middle = (share + z2 / (2 * known)) / (1 + z2 / known)
    half = _Z / (1 + z2 / known) * math.sqrt(share * (1 - share) / known + z2 / (4 * known * known))
    return max(0.0, middle - half), min(1.0, middle + half)


def _nothing(alt: str) -> Chart:
    return Chart(theme.frame([], height=40, margin={"l": 0, "r": 0, "t": 0, "b": 0}), alt, 40)
