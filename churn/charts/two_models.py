"""Two models in one figure: their gain curves, and whether their percentages hold. The second one is the grey one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from churn import words
from churn.charts import theme
from churn.charts.calibration_curve import scale
from churn.charts.gain import at
from churn.charts.theme import Chart
from churn.model.metrics import CalibrationBin

_HEIGHT = 280
_GAIN_MARGIN = {"l": 40, "r": 16, "t": 30, "b": 28}
_DOTS_MARGIN = {"l": 40, "r": 24, "t": 30, "b": 28}
_NAMED = 0.2  # share of customers where the curves have their names
_COLOURS = (theme.INK, theme.NEUTRAL)
_LINE = {"type": "scatter", "mode": "lines", "hoverinfo": "skip"}
Curve = Sequence[tuple[float, float]]
Bins = Sequence[CalibrationBin]
Names = tuple[str, str]


def gains(first: Curve, second: Curve, names: Names) -> Chart:
    """Two gain curves (Metrics.gain): share of customers, riskiest first, and share of leavers among them, 0 to 1."""
    found = [at(curve, _NAMED) for curve in (first, second)]
    data: list[dict[str, Any]] = [
        {**_LINE, "x": [0, 1], "y": [0, 1], "line": {"width": 1, "dash": "dash", "color": theme.NEUTRAL}}
    ]
    for curve, colour in ((second, theme.NEUTRAL), (first, theme.INK)):  # the first lies on top
        data.append({**_LINE, "x": [x for x, _ in curve], "y": [y for _, y in curve], "line": {"width": 2.5, "color": colour}})
    data.append(
        {
            "type": "scatter",
            "mode": "markers",
            "x": [_NAMED, _NAMED],
            "y": found,
            "marker": {"size": 9, "color": list(_COLOURS)},
            "hoverinfo": "skip",
        }
    )
    notes = []
    for name, share, own in zip(names, found, (0, 1), strict=True):
        above = share > found[1 - own] or (share == found[1 - own] and own == 0)
        # the curves bend upwards: left of and above the higher one there is room, and right of and below the lower one
        side: dict[str, Any] = (
            {"anchor": "right", "yanchor": "bottom", "xshift": -4, "yshift": 2} if above else {"yanchor": "top", "xshift": 6}
        )
        notes.append(theme.note(theme.text(f"{name}: {words.percent(share)}", bold=True), _NAMED, share, **side))
    figure = theme.frame(
        data,
        height=_HEIGHT,
        margin=_GAIN_MARGIN,
        xaxis=theme.axis(0, 1, tickvals=[0.1, _NAMED, 0.5, 1], ticktext=["10%", words.percent(_NAMED), "50%", "100%"]),
        yaxis=theme.axis(0, 1, tickvals=[0, 0.5, 1], ticktext=["0%", "50%", "100%"], ticklabelstandoff=6),
        annotations=notes,
    )
    told = words.sentence_list(
        words.say("found by", name=name, found=words.percent(share)) for name, share in zip(names, found, strict=True)
    )
    return Chart(figure, words.say("alt gains", found=told, share=words.percent(_NAMED)), _HEIGHT)


def promises(first: Bins, second: Bins, names: Names) -> Chart:
    """Promised risk across and the share that left up, for both; on the diagonal where the promise was kept."""
    limit, ticks = scale(max(max(one.predicted, one.high) for one in (*first, *second)))
    data: list[dict[str, Any]] = [
        {**_LINE, "x": [0, limit], "y": [0, limit], "line": {"width": 1, "dash": "dash", "color": theme.NEUTRAL}}
    ]
    notes = []
    for bins, colour, name, ring in ((second, theme.NEUTRAL, names[1], True), (first, theme.INK, names[0], False)):
        x, y = [one.predicted for one in bins], [one.observed for one in bins]
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": x,
                "y": y,
                "line": {"width": 1.5, "color": colour},
                "marker": {"size": 9, "color": colour, "symbol": "circle-open" if ring else "circle", "line": {"width": 2}},
                "text": [theme.text(_told(name, one)) for one in bins],
                "hoverinfo": "text",
                "cliponaxis": False,
            }
        )
        low = y[-1] < (first if ring else second)[-1].observed
        side: dict[str, Any] = {"yanchor": "top", "yshift": -8} if low else {"yanchor": "bottom", "yshift": 8}
        notes.append(theme.note(theme.text(name, bold=True), x[-1], y[-1], anchor="right", **side))
    labels = [words.percent(tick) for tick in ticks]
    figure = theme.frame(
        data,
        height=_HEIGHT,
        margin=_DOTS_MARGIN,
        xaxis=theme.axis(0, limit, tickvals=ticks[1:], ticktext=labels[1:]),  # one zero is enough
        yaxis=theme.axis(0, limit, tickvals=ticks, ticktext=labels, ticklabelstandoff=6),
        annotations=notes,
    )
    told = [
        words.say("promised by", name=name, promised=words.percent(bins[-1].predicted), left=words.percent(bins[-1].observed))
        for name, bins in zip(names, (first, second), strict=True)
    ]
    return Chart(figure, words.say("alt promises", told="; ".join(told)), _HEIGHT)


def _told(name: str, one: CalibrationBin) -> str:
    told = words.say(
        "promised", promised=words.percent(one.predicted), left=words.percent(one.observed), rows=words.count(one.rows)
    )
    return f"{name}: {told}"
