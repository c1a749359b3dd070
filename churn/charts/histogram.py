"""The risk histogram: customers by risk in the colours of the bands, their names and counts above."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from churn import words
from churn.charts import theme
from churn.charts.theme import Chart
from churn.data.schema import Band

_PHONE = 330  # px a chart has on a 390 px screen; labels that would meet there get a row of their own
_PLOT = 190
_AXIS = 28
_GAP = 8


def risk_histogram(counts: Sequence[int], bands: Sequence[Band], band_counts: Sequence[int]) -> Chart:
    """Draw how many customers have which risk.

    Parameters
    ----------
    counts: customers per step of risk, equal steps from 0 to 1.
    bands: the schema's bands, low to high; a bar has the colour of the band its middle lies in.
    band_counts: customers per band, counted exactly and not from the bars.

    A click on a bar selects a point whose `customdata` is `[low, high]`, the risks (0–1) it spans.
    """
    steps = len(counts)
    edges = [i / steps for i in range(steps + 1)]
    middles = [(a + b) / 2 for a, b in pairwise(edges)]
    spans = [[round(a, 6), round(b, 6)] for a, b in pairwise(edges)]
    colours = theme.band_colours(len(bands))
    limits = [0.0, *(min(band.below, 1.0) for band in bands)]
    of_band = [next(i for i, band in enumerate(bands) if middle < band.below) for middle in middles]
    labels = [(band.name, words.count(number)) for band, number in zip(bands, band_counts, strict=True)]
    rooms = [max(theme.width(name, bold=True), theme.width(number)) for name, number in labels]
    places = _places([(a + b) / 2 for a, b in pairwise(limits)], rooms)
    rows = max((row for _, _, row in places), default=0)
    names = (1 + rows) * 2 * theme.LINE + _GAP
    ticks = _places(limits[1:-1], [theme.width(words.percent(limit)) for limit in limits[1:-1]])
    axis = _AXIS + theme.LINE * max((row for _, _, row in ticks), default=0)
    height = names + _PLOT + axis
    highest = max([*counts, 1])
    over = {"align": "center", "yref": "paper", "yanchor": "bottom"}
    notes = [
        theme.note(
            f"{theme.text(name, bold=True)}<br>{number}",
            x,
            1,
            anchor=anchor,
            yshift=_GAP + 2 * theme.LINE * (rows - row),
            **over,
        )
        for (name, number), (x, anchor, row) in zip(labels, places, strict=True)
    ]
    notes += [
        theme.note(words.percent(limit), x, 0, anchor=anchor, yref="paper", yanchor="top", yshift=-6 - theme.LINE * row)
        for limit, (x, anchor, row) in zip(limits[1:-1], ticks, strict=True)
    ]
    figure = theme.frame(
        [
            theme.bars(
                x=middles,
                y=list(counts),
                width=[0.92 / steps] * steps,
                marker={"color": [colours[i] for i in of_band], "cornerradius": 3},
                customdata=spans,
            ),
            # the whole column can be clicked, however short its bar
            theme.bars(
                x=middles, y=[highest] * steps, width=[1 / steps] * steps, marker={"color": theme.CLEAR}, customdata=spans
            ),
        ],
        height=height,
        margin={"l": 0, "r": 0, "t": names, "b": axis},
        xaxis=theme.axis(0, 1, visible=False),
        yaxis=theme.axis(0, highest, visible=False),
        shapes=[
            {
                "type": "line",
                "x0": limit,
                "x1": limit,
                "y0": 0,
                "y1": 1,
                "yref": "paper",
                "layer": "below",
                "line": {"width": 1, "dash": "dash", "color": theme.QUIET},
            }
            for limit in limits[1:-1]
        ],
        annotations=notes,
    )
    return Chart(figure, _alt(steps, bands, band_counts), height)


def _places(centres: Sequence[float], widths: Sequence[float]) -> list[tuple[float, str, int]]:
    """Where labels stand so that none is cut and none meets another on a phone: (x, anchor, row from the top)."""
    ends: list[float] = []  # where the last label of each row ends, px
    places = []
    for centre, width in zip(centres, widths, strict=True):
        left = centre * _PHONE - width / 2
        x, anchor = centre, "center"
        if left < 0:
            x, anchor, left = 0.0, "left", 0.0
        elif left + width > _PHONE:
            x, anchor, left = 1.0, "right", _PHONE - width
        row = next((i for i, end in enumerate(ends) if left >= end + 6), len(ends))
        if row == len(ends):
            ends.append(0.0)
        ends[row] = left + width
        places.append((x, anchor, row))
    return places


def _alt(steps: int, bands: Sequence[Band], band_counts: Sequence[int]) -> str:
    if not sum(band_counts):
        return words.say("alt histogram empty")
    most = max(range(len(bands)), key=lambda i: band_counts[i])
    shown = [f"{band.name} {words.count(number)}" for band, number in zip(bands, band_counts, strict=True)]
    step = words.points(1 / steps, signed=False)
    return words.say("alt histogram", step=step, bands=words.sentence_list(shown), most=bands[most].name)
