"""The bar list: name left, figure right, a thin bar on a track below; readable on a phone, where labels beside bars are cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from churn import words
from churn.charts import theme
from churn.charts.theme import Chart

MOST = 8
_PHONE = 330  # px a chart has on a 390 px screen
_BAR = 11
_GAP = 16
_NO_MARGIN = {"l": 0, "r": 0, "t": 0, "b": 0}

Colour = str


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: `id` is what a click hands back; `value` ≥ 0 is its length; `figure` stands out, `note` follows it."""

    id: str
    name: str
    value: float
    figure: str
    note: str = ""


def bar_list(
    bars: Sequence[Bar],
    *,
    what: str,
    noun: str = "groups",
    leading: Colour = theme.MONEY,
    others: Callable[[Sequence[Bar]], Bar] | None = None,
    chosen: str | None = None,
) -> Chart:
    """Draw bars from zero, in the order given; the leading one in colour, the others neutral.

    Parameters
    ----------
    bars: largest first. More than eight need `others`, which makes one bar of those that have no place.
    what: what the bars measure, for the alt text: "revenue at risk"; `noun`: what they are: "groups".
    leading: colour of the first bar: `theme.MONEY` for money, `theme.NEUTRAL` for everything else.
    chosen: id of the bar that is selected; its name is bold.

    A click anywhere on a row selects a point whose `customdata` is `[id]`.
    """
    shown = list(bars)
    if len(shown) > MOST and others is not None:
        shown = [*shown[: MOST - 1], others(shown[MOST - 1 :])]
    if not shown:
        return Chart(
            theme.frame([], height=40, margin={"l": 0, "r": 0, "t": 0, "b": 0}), words.say("alt bars empty", what=what), 40
        )
    texts = [_texts(bar, bold=bar.id == chosen) for bar in shown]
    tops = [0.0]
    for lines, _ in texts:
        tops.append(tops[-1] + theme.LINE * len(lines) + _BAR + _GAP)
    height = round(tops[-1])
    middles = [bottom - _GAP - _BAR / 2 for bottom in tops[1:]]
    longest = max(max(bar.value for bar in shown), 0.0) or 1.0
    lengths = [max(bar.value, 0.0) / longest for bar in shown]
    ids = [[bar.id] for bar in shown]
    colours = [leading if i == 0 and lengths[0] > 0 else theme.NEUTRAL for i in range(len(shown))]

    def row(lengths: list[float], colour: Any, width: list[float], y: list[float]) -> dict[str, Any]:
        return theme.bars(
            orientation="h", x=lengths, y=y, width=width, marker={"color": colour, "cornerradius": 2}, customdata=ids
        )

    full = [1.0] * len(shown)
    data = [
        row(full, theme.TRACK, [_BAR] * len(shown), middles),
        row(lengths, colours, [_BAR] * len(shown), middles),
        # the whole row can be clicked, not only the thin bar
        row(full, theme.CLEAR, [b - a for a, b in pairwise(tops)], [(a + b) / 2 for a, b in pairwise(tops)]),
    ]
    notes = []
    for (lines, shown_figure), top in zip(texts, tops, strict=False):
        middle = top + theme.LINE * len(lines) / 2
        notes.append(theme.note("<br>".join(lines), 0, middle))
        notes.append(theme.note(shown_figure, 1, top + theme.LINE * (len(lines) - 0.5), anchor="right"))
    figure = theme.frame(
        data,
        height=height,
        margin=_NO_MARGIN,
        xaxis=theme.axis(0, 1, visible=False),
        yaxis=theme.axis(tops[-1], 0, visible=False),
        annotations=notes,
    )
    alt = words.say("alt bars", what=what, count=len(shown), noun=noun, first=shown[0].name, figure=shown[0].figure)
    return Chart(figure, alt, height)


def _texts(bar: Bar, *, bold: bool) -> tuple[list[str], str]:
    """Lines of the name, broken where they would run into the figure on a phone, and the figure."""
    figure = f"{theme.text(bar.figure, bold=True)} {theme.text(bar.note)}" if bar.note else theme.text(bar.figure, bold=True)
    taken = theme.width(bar.figure, bold=True) + theme.width(f" {bar.note}" if bar.note else "")
    room = max(_PHONE - taken - 12, 120)
    return [theme.text(line, bold=bold) for line in theme.wrap(bar.name, room, bold=bold)], figure
