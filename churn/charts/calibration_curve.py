"""Promised against observed: a dot for each group of customers by risk, on the diagonal where the promise was kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from churn import words
from churn.charts import theme
from churn.charts.theme import Chart
from churn.model.metrics import CalibrationBin

_HEIGHT = 280
_MARGIN = {"l": 40, "r": 24, "t": 12, "b": 28}
_STEPS = (0.05, 0.1, 0.25)  # between ticks; the axes end at a whole number of them, at most four or five


def calibration_curve(bins: Sequence[CalibrationBin]) -> Chart:
    """Draw promised risk across and the share that left up, with its interval; in colour where that misses the diagonal.

    Parameters
    ----------
    bins: at least one, lowest risk first, each with the interval of what was observed (`churn.model.metrics.CalibrationBin`).
    """
    limit, ticks = scale(max(max(one.predicted, one.high) for one in bins))
    off = [is_off(one) for one in bins]
    colours = [theme.RAISES if missed else theme.INK for missed in off]
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [0, limit],
            "y": [0, limit],
            "line": {"width": 1, "dash": "dash", "color": theme.NEUTRAL},
            "hoverinfo": "skip",
        },
        *({
            "type": "scatter",
            "mode": "lines",
            "x": [x for one in group for x in (one.predicted, one.predicted, None)],
            "y": [y for one in group for y in (one.low, one.high, None)],
            "line": {"width": 1.5, "color": colour},
            "hoverinfo": "skip",
            "cliponaxis": False,
        } for colour, group in _by_colour(bins, colours)),
        {
            "type": "scatter",
            "mode": "markers",
            "x": [one.predicted for one in bins],
            "y": [one.observed for one in bins],
            "marker": {"size": 9, "color": colours},
            "text": [theme.text(_told(one)) for one in bins],
            "hoverinfo": "text",
            "cliponaxis": False,
        },
    ]  # fmt: skip
    labels = [words.percent(tick) for tick in ticks]
    figure = theme.frame(
        data,
        height=_HEIGHT,
        margin=_MARGIN,
        xaxis=theme.axis(0, limit, tickvals=ticks[1:], ticktext=labels[1:]),  # one zero is enough
        yaxis=theme.axis(0, limit, tickvals=ticks, ticktext=labels, ticklabelstandoff=6),
        annotations=[
            theme.note(theme.text(words.say("promised kept")), limit * 0.9, limit, anchor="right")
        ],  # where dots are rare
    )
    return Chart(figure, _alt(bins, sum(off)), _HEIGHT)


def is_off(one: CalibrationBin) -> bool:
    """Whether what was observed differs from what was promised by more than chance."""
    return not one.low <= one.predicted <= one.high


def _by_colour(bins: Sequence[CalibrationBin], colours: Sequence[str]) -> list[tuple[str, list[CalibrationBin]]]:
    """A line has one colour: the intervals of each."""
    return [(c, [one for one, own in zip(bins, colours, strict=True) if own == c]) for c in (theme.INK, theme.RAISES)]


def scale(highest: float) -> tuple[float, list[float]]:
    """Where both axes end, and their ticks."""
    step = next((step for step in _STEPS if highest <= 4 * step), _STEPS[-1])
    count = min(int(-(-min(highest, 1.0) // step)), round(1 / step)) or 1
    return round(count * step, 6), [round(i * step, 6) for i in range(count + 1)]


def _told(one: CalibrationBin) -> str:
    return words.say(
        "promised", promised=words.percent(one.predicted), left=words.percent(one.observed), rows=words.count(one.rows)
    )


def _alt(bins: Sequence[CalibrationBin], off: int) -> str:
    first, last = bins[0], bins[-1]
    return words.say(
        "alt calibration",
        count=len(bins),
        low=words.percent(first.predicted),
        low_left=words.percent(first.observed),
        high=words.percent(last.predicted),
        high_left=words.percent(last.observed),
        off=words.say("alt calibration off", count=off) if off else words.say("alt calibration none off"),
    )
