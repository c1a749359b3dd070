"""The heat map: a tile for every combination of two columns' groups, its figure and count on it, darker for more.

The tiles are bars, so that a click hits exactly the tile it is on: markers of a fixed size, the usual way to make a heat map
clickable, overlap on a phone, where a tile is 40 px wide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from churn import words
from churn.charts import theme
from churn.charts.theme import Chart

MOST_ROWS = 12
MOST_COLUMNS = 8
_PHONE = 330  # px a chart has on a 390 px screen
_ROOM = 92  # px for the names of the rows at the left, at most
_BESIDE = 16  # px between a row's name and its tiles, and for what the name may be wider than reckoned
_TALL, _LOW = 58, 34  # px: a tile with two lines, with one
_GAP = 4  # px between rows; between columns it is a share of the tile
_SMALL = 12  # px, the count under the figure
_INK_UP_TO = 6  # steps of the risk scale that carry ink; the others carry its first step


@dataclass(frozen=True, slots=True)
class Tile:
    """One group: `id` is what a click hands back; `value` ≥ 0 is its colour, None where there are too few to say."""

    id: str
    row: int
    column: int
    value: float | None
    figure: str
    note: str


def heat_map(
    tiles: Sequence[Tile],
    rows: Sequence[str],
    columns: Sequence[str] = ("",),
    *,
    what: str,
    by: Sequence[str],
    chosen: str | None = None,
) -> Chart:
    """Draw tiles; combinations nobody is in stay empty.

    Parameters
    ----------
    rows, columns: names of the groups; one column without a name draws a list of wide tiles.
    what: what the tiles show, for the alt text: "risk"; `by`: the one or two columns they are of: "contract", "tenure".
    chosen: id of the tile that is selected; it gets a frame.

    A click on a tile selects a point whose `customdata` is `[id]`.
    """
    alone = len(columns) == 1 and not columns[0]
    lines = [theme.wrap(name, _ROOM) for name in rows]
    room = max((theme.width(line) for row in lines for line in row), default=0.0) + _BESIDE
    wide = (_PHONE - room) / max(len(columns), 1)
    above = not alone and wide < _needed(tiles)  # then a row's name stands over its tiles
    if above:
        lines, room, wide = [theme.wrap(name, _PHONE) for name in rows], 0.0, _PHONE / len(columns)
    heads = [] if alone else [theme.wrap(name, max(wide - 4, 30)) for name in _short(columns, wide - 4)]
    head = max((len(one) for one in heads), default=0) * theme.LINE + (6 if heads else 0)
    tile = _LOW if alone else _TALL
    tops, at = [], float(head)
    for row in lines:
        at += theme.LINE * len(row) + 2 if above else 0
        tops.append(at)
        at += tile + _GAP
    height = max(round(at), 40)
    steps = _steps(tiles)
    notes = [
        theme.note("<br>".join(map(theme.text, one)), place + 0.5, head - 6, anchor="center", yanchor="bottom")
        for place, one in enumerate(heads)
    ]
    for row, top in zip(lines, tops, strict=True):
        label = "<br>".join(map(theme.text, row))
        if above:
            notes.append(theme.note(label, 0, top - 1, yanchor="bottom", xref="paper"))
        else:
            notes.append(theme.note(label, 0, top + tile / 2, anchor="right", xref="paper", xshift=-6))
    for one, step in zip(tiles, steps, strict=True):
        ink = theme.INK if step is None or step < _INK_UP_TO else theme.RISK[0]
        font = {"size": theme.TEXT, "color": ink}
        y = tops[one.row] + tile / 2
        notes.append(theme.note(_text(one, alone, wide), one.column + 0.5, y, anchor="center", font=font))
    figure = theme.frame(
        [
            theme.bars(
                x=[one.column + 0.5 for one in tiles],
                base=[tops[one.row] for one in tiles],
                y=[tile] * len(tiles),
                width=[1.0 if alone else 0.97] * len(tiles),
                marker={"color": [theme.TRACK if step is None else theme.RISK[step] for step in steps]},
                customdata=[[one.id] for one in tiles],
            )
        ],
        height=height,
        margin={"l": round(room), "r": 0, "t": 0, "b": 0},
        xaxis=theme.axis(0, len(columns), visible=False),
        yaxis=theme.axis(height, 0, visible=False),
        shapes=[_frame(tops[one.row], tile, one.column) for one in tiles if one.id == chosen],
        annotations=notes,
    )
    return Chart(figure, _alt(tiles, rows, columns, what, by), height)


def _steps(tiles: Sequence[Tile]) -> list[int | None]:
    """Which of the ten colours each tile has: tenths of the largest value."""
    largest = max((one.value for one in tiles if one.value is not None), default=0.0)
    return [
        None if one.value is None else min(max(math.ceil(10 * one.value / largest - 1e-9), 1), 10) - 1 if largest > 0 else 0
        for one in tiles
    ]


def _needed(tiles: Sequence[Tile]) -> float:
    """Pixels a tile needs for what stands on it, a word a line if need be."""
    words_of = (word for one in tiles for word in (*one.figure.split(), one.note))
    return max((theme.width(word, bold=True) for word in words_of), default=0.0) + 6


def _text(one: Tile, alone: bool, wide: float) -> str:
    note = f'<span style="font-size:{_SMALL}px">{theme.text(one.note)}</span>'
    bold = one.value is not None
    lines = [one.figure] if alone else theme.wrap(one.figure, wide - 4, bold=bold)
    return "<br>".join(theme.text(line, bold=bold) for line in lines) + ("   " if alone else "<br>") + note


def _short(names: Sequence[str], room: float) -> list[str]:
    """Names without the last word they all share, where that is too long for its place: a unit, which the heading names."""
    last = {name.rsplit(" ", 1)[-1] for name in names if any(letter.isdigit() for letter in name)}
    if len(last) != 1 or theme.width(word := last.pop()) <= room:
        return list(names)
    return [name.removesuffix(f" {word}") for name in names]


def _frame(top: float, tile: float, column: int) -> dict[str, Any]:
    line = {"color": theme.INK, "width": 3}
    return {"type": "rect", "x0": column + 0.02, "x1": column + 0.98, "y0": top + 1, "y1": top + tile - 1, "line": line}


def _alt(tiles: Sequence[Tile], rows: Sequence[str], columns: Sequence[str], what: str, by: Sequence[str]) -> str:
    told = [one for one in tiles if one.value is not None]
    if not told:
        return words.say("alt tiles empty", what=what)
    highest = max(told, key=lambda one: one.value or 0.0)
    first = " · ".join(name for name in (rows[highest.row], columns[highest.column]) if name)
    found = {"what": what, "rows": by[0], "count": len(tiles), "first": first, "figure": highest.figure}
    return words.say("alt tiles", columns=by[1], **found) if len(by) > 1 else words.say("alt tiles one", **found)
