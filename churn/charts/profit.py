"""What a list brings by its size: money with the band of the acceptance, and the share of the leavers that it reaches."""

from __future__ import annotations

from typing import Any

from churn import words
from churn.act.profit import ProfitCurve, Size
from churn.charts import theme
from churn.charts.theme import Chart

_HEIGHT = 300
_MARGIN = {"l": 58, "r": 18, "t": 30, "b": 42}
_TICKS = 4
_ROOM = 0.08  # of the height, above the highest mark
_LINE = {"type": "scatter", "mode": "lines", "hoverinfo": "skip"}


def profit_chart(curve: ProfitCurve, chosen: Size, currency: str) -> Chart:
    """Draw money by list size, the chosen size marked; where that is not the best, the best too."""
    wide = max(curve.reach, chosen.customers, 1)
    sizes = [size for size in curve.sizes if size.customers <= wide]
    across = [size.customers for size in sizes]
    top = max(*(size.high for size in sizes), 0.0)
    bottom = min(*(size.low for size in sizes), 0.0)
    bottom = max(bottom, -top) if top > 0 else bottom  # what lies far below nothing need not be seen
    span = (top - bottom) or 1.0
    data: list[dict[str, Any]] = [
        {**_LINE, "x": across, "y": [size.low for size in sizes], "line": {"width": 0, "color": theme.TRACK}},
        {
            **_LINE,
            "x": across,
            "y": [size.high for size in sizes],
            "line": {"width": 0, "color": theme.TRACK},
            "fill": "tonexty",
            "fillcolor": theme.TRACK,
        },
        {**_LINE, "x": across, "y": [size.money for size in sizes], "line": {"width": 2.5, "color": theme.MONEY}},
    ]
    short = chosen.customers < curve.best.customers
    marks = [chosen, *([curve.best] if short else [])]
    data.append(
        {
            "type": "scatter",
            "mode": "markers",
            "x": [size.customers for size in marks],
            "y": [size.money for size in marks],
            "marker": {"size": [11, 8][: len(marks)], "color": [theme.INK, theme.NEUTRAL][: len(marks)], "opacity": 1},
            "hoverinfo": "skip",
            "cliponaxis": False,
        }
    )
    notes = [_mark(chosen, wide, currency, bold=True, below=short)]
    if short and curve.best.customers - chosen.customers > 0.15 * wide:
        notes.append(_mark(curve.best, wide, currency, bold=False, below=False))
    figure = theme.frame(
        data,
        height=_HEIGHT,
        margin=_MARGIN,
        xaxis=theme.axis(0, wide, **_ticks(wide)),
        yaxis=theme.axis(
            bottom - 0.04 * span,
            top + _ROOM * span,
            tickvals=(values := theme.round_steps(bottom, top, _TICKS)),
            ticktext=[theme.text(words.money(value, currency, cents=False)) for value in values],
            ticklabelstandoff=6,
        ),
        shapes=[_zero(wide)],
        annotations=notes,
    )
    alt = words.say(
        "alt profit",
        size=words.count(chosen.customers),
        money=words.money(chosen.money, currency, cents=False),
        best=words.count(curve.best.customers),
        most=words.money(curve.best.money, currency, cents=False),
    )
    return Chart(figure, alt, _HEIGHT)


def reach_chart(curve: ProfitCurve, chosen: Size) -> Chart:
    """Draw the share of the expected leavers that a list of the best reaches, the chosen size marked; chance is dashed."""
    everybody, leavers = curve.customers or 1, curve.sizes[-1].leavers or 1.0
    x, y = chosen.customers / everybody, chosen.leavers / leavers
    data: list[dict[str, Any]] = [
        {**_LINE, "x": [0, 1], "y": [0, 1], "line": {"width": 1, "dash": "dash", "color": theme.NEUTRAL}},
        {
            **_LINE,
            "x": [size.customers / everybody for size in curve.sizes],
            "y": [size.leavers / leavers for size in curve.sizes],
            "line": {"width": 2.5, "color": theme.INK},
        },
        {
            "type": "scatter",
            "mode": "markers",
            "x": [x],
            "y": [y],
            "marker": {"size": 11, "color": theme.INK, "opacity": 1},
            "hoverinfo": "skip",
            "cliponaxis": False,
        },
    ]
    label = theme.text(words.say("reach here", found=words.percent(y), share=words.percent(x)), bold=True)
    right = x < 0.45
    side: dict[str, Any] = {"anchor": "left", "yanchor": "top", "xshift": 9, "yshift": -4}
    if not right:
        side = {"anchor": "right", "yanchor": "bottom", "xshift": -4, "yshift": 8}
    notes = [
        theme.note(label, x, y, **side),
        theme.note(theme.text(words.say("by chance")), 0.8, 0.8, yanchor="top", xshift=6, yshift=-6),
    ]
    quarters = [0, 0.25, 0.5, 0.75, 1]
    figure = theme.frame(
        data,
        height=_HEIGHT,
        margin={**_MARGIN, "l": 44},
        xaxis=theme.axis(0, 1, tickvals=quarters, ticktext=[f"{round(100 * one)}%" for one in quarters]),
        yaxis=theme.axis(0, 1.04, tickvals=[0.5, 1], ticktext=["50%", "100%"], ticklabelstandoff=6),
        annotations=notes,
    )
    return Chart(figure, words.say("alt reach", found=words.percent(y), share=words.percent(x)), _HEIGHT)


def _mark(size: Size, wide: int, currency: str, *, bold: bool, below: bool) -> dict[str, Any]:
    """The words beside a mark: on the side where there is room."""
    label = words.say(
        "profit here", money=words.money(size.money, currency, cents=False), customers=words.counted(size.customers, "customer")
    )
    share = size.customers / wide
    anchor = "left" if share < 0.3 else "right" if share > 0.7 else "center"
    side: dict[str, Any] = {"yanchor": "top", "yshift": -9} if below else {"yanchor": "bottom", "yshift": 9}
    return theme.note(theme.text(label, bold=bold), size.customers, size.money, anchor=anchor, xshift=10 if below else 0, **side)


def _zero(wide: int) -> dict[str, Any]:
    line = {"width": 1, "color": theme.QUIET}
    return {"type": "line", "x0": 0, "x1": wide, "y0": 0, "y1": 0, "line": line, "layer": "below"}


def _ticks(wide: int) -> dict[str, Any]:
    values = [value for value in theme.round_steps(0, wide, _TICKS) if value <= wide]
    return {"tickvals": values, "ticktext": [words.count(value) for value in values]}
