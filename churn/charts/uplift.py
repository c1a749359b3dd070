"""What rankings of a campaign keep: customers kept by calling the first of each, against how much of the campaign is called."""

from __future__ import annotations

from typing import Any, Final

from churn import words
from churn.act.uplift import RISK, SHARES, Comparison, Ranking
from churn.charts import theme
from churn.charts.theme import Chart

MARK: Final = 0.5  # the share of the campaign at which figures stand beside the curves
_HEIGHT = 300
_MARGIN = {"l": 44, "r": 16, "t": 14, "b": 28}
_NAME = 110  # px for the name of a curve
_LINE = {"type": "scatter", "mode": "lines", "hoverinfo": "skip", "cliponaxis": False}


def uplift_chart(found: Comparison) -> Chart:
    """Draw the better uplift ranking with the band it likely lies in, that by risk, and dashed the straight line of any order.

    All end together: whom everybody calls, everybody keeps. Figures stand at half of the campaign.
    """
    ours, theirs = found.ranking(found.best), found.ranking(RISK)
    size = found.customers
    ends = [size * end for one in ours.gain_intervals for end in (one.low, one.high)]
    kept = [size * gain for one in (ours, theirs) for gain in one.gain]
    low, high = min(0.0, *ends, *kept), max(0.0, *ends, *kept)
    span = (high - low) or 1.0
    edge = {"width": 0, "color": theme.TRACK}
    across = [0.0, *SHARES]
    data: list[dict[str, Any]] = [
        {**_LINE, "x": across, "y": [0.0, *(size * one.low for one in ours.gain_intervals)], "line": edge},
        {
            **_LINE,
            "x": across,
            "y": [0.0, *(size * one.high for one in ours.gain_intervals)],
            "line": edge,
            "fill": "tonexty",
            "fillcolor": theme.TRACK,
        },
        {**_LINE, "x": [0, 1], "y": [0, size * found.effect], "line": {"width": 1, "dash": "dash", "color": theme.NEUTRAL}},
        _curve(theirs, size, {"width": 2, "color": theme.NEUTRAL}),
        _curve(ours, size, {"width": 2.5, "color": theme.INK}),
        {
            **_LINE,
            "mode": "markers",
            "x": [MARK, MARK],
            "y": [_at(theirs, size), _at(ours, size)],
            "marker": {"size": 9, "color": [theme.NEUTRAL, theme.INK], "opacity": 1},
        },
    ]
    ahead = round(_at(ours, size)) >= round(_at(theirs, size))
    notes = [_named(ours, size, above=ahead, bold=True), _named(theirs, size, above=not ahead, bold=False)]
    values = theme.round_steps(low, high, 4)
    figure = theme.frame(
        data,
        height=_HEIGHT,
        margin=_MARGIN,
        xaxis=theme.axis(0, 1, tickvals=[0, 0.25, 0.5, 0.75, 1], ticktext=["0%", "25%", "50%", "75%", "100%"]),
        yaxis=theme.axis(
            low - 0.04 * span,
            high + 0.08 * span,
            tickvals=values,
            ticktext=[words.count(value) for value in values],
            ticklabelstandoff=6,
        ),
        annotations=notes,
    )
    alt = words.say("alt uplift", share=words.percent(MARK), ours=_kept(ours, size), theirs=_kept(theirs, size))
    return Chart(figure, alt, _HEIGHT)


def _curve(one: Ranking, size: int, line: dict[str, Any]) -> dict[str, Any]:
    return {**_LINE, "x": list(one.shares), "y": [size * gain for gain in one.gain], "line": line}


def _at(one: Ranking, size: int) -> float:
    return size * one.gains[SHARES.index(MARK)]


def _kept(one: Ranking, size: int) -> str:
    return words.count(_at(one, size))


def _named(one: Ranking, size: int, *, above: bool, bold: bool) -> dict[str, Any]:
    """The figure and the name beside a mark: the upper left of the upper curve, the lower right of the lower one."""
    label = words.say("uplift mark risk" if one.name == RISK else "uplift mark", kept=_kept(one, size))
    side: dict[str, Any] = {"anchor": "right", "yanchor": "bottom", "xshift": -4, "yshift": 5}
    if not above:
        side = {"anchor": "left", "yanchor": "top", "xshift": 9, "yshift": -9}
    lines = [theme.text(line, bold=bold) for line in theme.wrap(label, _NAME, bold=bold)]
    return theme.note("<br>".join(lines), MARK, _at(one, size), **side)
