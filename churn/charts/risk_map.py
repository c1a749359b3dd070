"""One customer's risk along two columns at once: a tile for every combination, darker for more, grey for nobody like that."""

from __future__ import annotations

import math
from typing import Any

from churn import words
from churn.charts import theme
from churn.charts.theme import Chart
from churn.data.schema import Schema
from churn.understand.curves import Spot, Surface

_TILE, _GAP = 34, 3  # px
_ROOM = 104  # px for the names of the rows at the left, at most
_PHONE = 330  # px a chart has on a 390 px screen
_INK_UP_TO = 6  # steps of the risk scale that carry ink; the others carry its first step


def risk_map(result: Surface, schema: Schema) -> Chart:
    """Draw the tiles; the customer's own has a frame, and combinations that a rule forbids have no tile.

    The scale is one for all customers: a step for every tenth of risk. A click hands back the tile's places: `[row, column]`.
    """
    first, second = result.features
    rows = [theme.wrap(words.quantity(value, first, schema), _ROOM) for value in result.rows]
    room = max(theme.width(line) for row in rows for line in row) + 10
    wide = (_PHONE - room) / len(result.columns)
    heads = [theme.wrap(words.quantity(value, second, schema, unit=False), max(wide - 4, 28)) for value in result.columns]
    head = max(len(lines) for lines in heads) * theme.LINE + 6
    tiles = [max(_TILE, theme.LINE * len(lines) + 2) for lines in rows]
    tops = [float(head)]
    for tall in tiles:
        tops.append(tops[-1] + tall + _GAP)
    height = round(tops[-1])
    placed = [(i, j, spot) for i, line in enumerate(result.spots) for j, spot in enumerate(line) if spot is not None]
    notes = [
        theme.note("<br>".join(map(theme.text, lines)), j + 0.5, head - 6, anchor="center", yanchor="bottom")
        for j, lines in enumerate(heads)
    ]
    for lines, top, tall in zip(rows, tops, tiles, strict=False):
        label = "<br>".join(map(theme.text, lines))
        notes.append(theme.note(label, 0, top + tall / 2, anchor="right", xref="paper", xshift=-6))
    for i, j, spot in placed:
        font = {"size": theme.TEXT, "color": _ink(spot)}
        label = theme.text(_percent(spot.risk), bold=spot.supported or spot.here)
        notes.append(theme.note(label, j + 0.5, tops[i] + tiles[i] / 2, anchor="center", font=font))
    figure = theme.frame(
        [
            theme.bars(
                x=[j + 0.5 for _, j, _ in placed],
                base=[tops[i] for i, _, _ in placed],
                y=[tiles[i] for i, _, _ in placed],
                width=[0.97] * len(placed),
                marker={"color": [_colour(spot) for _, _, spot in placed]},
                customdata=[[i, j] for i, j, _ in placed],
                hovertext=[theme.text(_told(result, i, j, spot, schema)) for i, j, spot in placed],
                hoverinfo="text",
            )
        ],
        height=height,
        margin={"l": round(room), "r": 0, "t": 0, "b": 0},
        xaxis=theme.axis(0, len(result.columns), visible=False),
        yaxis=theme.axis(height, 0, visible=False),
        shapes=[_frame(tops[i], tiles[i], j) for i, j, spot in placed if spot.here],
        annotations=notes,
    )
    return Chart(figure, _alt(result, [spot for _, _, spot in placed], schema), height)


def _step(risk: float) -> int:
    return min(max(math.ceil(10 * risk - 1e-9), 1), 10) - 1


def _real(spot: Spot) -> bool:
    return spot.supported or spot.here


def _colour(spot: Spot) -> str:
    return theme.RISK[_step(spot.risk)] if _real(spot) else theme.TRACK


def _ink(spot: Spot) -> str:
    return theme.RISK[0] if _real(spot) and _step(spot.risk) >= _INK_UP_TO else theme.INK


def _percent(risk: float) -> str:
    return "<1%" if 0 < risk < 0.01 else ">99%" if 0.99 < risk < 1 else words.percent(risk)  # "under 1%" is too wide for a field


def _frame(top: float, tall: float, column: int) -> dict[str, Any]:
    line = {"color": theme.INK, "width": 3}
    return {"type": "rect", "x0": column + 0.03, "x1": column + 0.97, "y0": top + 1, "y1": top + tall - 1, "line": line}


def _told(result: Surface, i: int, j: int, spot: Spot, schema: Schema) -> str:
    facts = zip((result.rows[i], result.columns[j]), result.features, strict=True)
    told = words.say(
        "fact", label=", ".join(words.value_text(value, one, schema) for value, one in facts), value=words.percent(spot.risk)
    )
    return told if _real(spot) else f"{told}. {spot.note}"


def _alt(result: Surface, spots: list[Spot], schema: Schema) -> str:
    real = [spot.risk for spot in spots if _real(spot)]
    first, second = (words.lower_first(feature.label) for feature in result.features)
    return words.say(
        "alt risk map",
        rows=first,
        columns=second,
        count=len(spots),
        low=words.percent(min(real)),
        high=words.percent(max(real)),
        here=words.percent(next(spot.risk for spot in spots if spot.here)),
        unlike=len(spots) - len(real),
    )
