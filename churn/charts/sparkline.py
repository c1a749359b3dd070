"""The line in a tile: twelve months of one figure, drawn by `st.metric(chart_data=…)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from churn import words

MOST = 12


@dataclass(frozen=True, slots=True)
class Sparkline:
    """Values for `st.metric(chart_data=…)`, oldest first, empty where there is no line to draw; and the line in words."""

    values: tuple[float, ...]
    alt: str


def sparkline(history: Sequence[float | None], *, what: str, figure: Callable[[float], str]) -> Sparkline:
    """The last twelve known values of a history; fewer than two make no line.

    `figure` prints a value: "Line: average risk, 12 values from 24.1% to 26.5%; highest 26.8%."
    """
    known = tuple(float(value) for value in history if not words.is_nothing(value) and value is not None)[-MOST:]
    if len(known) < 2:
        return Sparkline((), "")
    alt = words.say(
        "alt line", what=what, count=len(known), first=figure(known[0]), last=figure(known[-1]), highest=figure(max(known))
    )
    return Sparkline(known, alt)
