"""The heat map: a tile for every group, darker for more, each hit exactly by a click."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from churn.charts import theme
from churn.charts.heat_map import Tile, heat_map
from churn.charts.theme import Chart

Valid = Callable[[Chart], Chart]
ROWS = ("Month-to-month", "One year")
COLUMNS = ("0–12 months", "13–24 months", "Over 24 months")
TILES = (
    Tile("a", 0, 0, 0.51, "51%", "1,994"),
    Tile("b", 0, 1, 0.30, "30%", "737"),
    Tile("c", 0, 2, None, "too few", "38"),
    Tile("d", 1, 0, 0.0, "under 1%", "124"),
    Tile("e", 1, 2, 0.31, "31%", "518"),
)


def notes(chart: Chart) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = chart.figure["layout"]["annotations"]
    return found


def test_tiles_and_texts(valid: Valid) -> None:
    chart = valid(heat_map(TILES, ROWS, COLUMNS, what="risk", by=("contract", "tenure"), chosen="b"))
    (tiles,) = chart.figure["data"]
    assert tiles["customdata"] == [["a"], ["b"], ["c"], ["d"], ["e"]]
    assert tiles["x"] == [0.5, 1.5, 2.5, 0.5, 2.5]
    assert len(set(tiles["base"])) == 2
    assert min(tiles["y"]) >= 24
    assert tiles["marker"]["color"] == [theme.RISK[9], theme.RISK[5], theme.TRACK, theme.RISK[0], theme.RISK[6]]
    texts = [note["text"] for note in notes(chart)]
    assert texts[:5] == ["0–12 months", "13–24 months", "Over 24<br>months", "Month-to-<br>month", "One year"]
    assert texts[5].startswith("<b>51%</b><br>")
    assert "1,994" in texts[5]
    assert texts[7].startswith("too few<br>")
    ink = [note["font"]["color"] for note in notes(chart)[5:]]
    assert ink == [theme.RISK[0], theme.INK, theme.INK, theme.INK, theme.RISK[0]]
    (frame,) = chart.figure["layout"]["shapes"]
    assert 1 < frame["x0"] < frame["x1"] < 2
    assert chart.alt == ("Heat map: risk by contract and tenure, 5 groups; highest in Month-to-month · 0–12 months with 51%.")


def test_one_column_is_a_list_of_wide_tiles(valid: Valid) -> None:
    tiles = [Tile("a", 0, 0, 2.0, "$2k", "10"), Tile("b", 1, 0, 1.0, "$1k", "20")]
    chart = valid(heat_map(tiles, ROWS, what="revenue at risk", by=("contract",)))
    assert [note["text"] for note in notes(chart)][:2] == ["Month-to-<br>month", "One year"]
    assert "<br>" not in notes(chart)[2]["text"]
    assert min(chart.figure["data"][0]["y"]) >= 24
    assert chart.alt == "Heat map: revenue at risk by contract, 2 groups; highest in Month-to-month with $2k."


def test_on_a_phone_names_that_leave_no_room_stand_above(valid: Valid) -> None:
    columns = [f"Level {i}" for i in range(8)]
    tiles = [Tile(str(i), 0, i, float(i), "$139k", "12k") for i in range(8)]
    chart = valid(heat_map(tiles, ["A long name of a group"], columns, what="x", by=("a", "b")))
    assert chart.figure["layout"]["margin"]["l"] == 0
    row = notes(chart)[8]
    assert (row["text"], row["xanchor"], row["yanchor"]) == ("A long name of a group", "left", "bottom")
    few = valid(heat_map(tiles[:2], ["A long name of a group"], columns[:2], what="x", by=("a", "b")))
    assert few.figure["layout"]["margin"]["l"] > 0


def test_a_shared_unit_gives_way(valid: Valid) -> None:
    columns = ("Up to 45 transactions", "46–68 transactions", "69–80 transactions", "Over 80 transactions", "Not known")
    tiles = [Tile(str(i), 0, i, 1.0, "1%", "1") for i in range(5)]
    texts = [note["text"] for note in notes(valid(heat_map(tiles, ["A"], columns, what="x", by=("a", "b"))))]
    assert texts[:5] == ["Up to 45", "46–68", "69–80", "Over 80", "Not<br>known"]


def test_nothing_to_say(valid: Valid) -> None:
    chart = valid(heat_map([Tile("a", 0, 0, None, "too few", "3")], ["A"], ["B"], what="risk", by=("a", "b")))
    assert chart.alt == "Heat map: risk; no group is large enough to say."
    zeros = valid(heat_map([Tile("a", 0, 0, 0.0, "0", "3")], ["A"], ["B"], what="leavers", by=("a", "b")))
    assert zeros.figure["data"][0]["marker"]["color"] == [theme.RISK[0]]
    assert valid(heat_map([], [], [], what="risk", by=("a", "b"))).height == 40


@pytest.mark.parametrize("name", ["<b>Gold</b> & more", "#000011", "x" * 60])
def test_names_are_shown_as_they_are(name: str, valid: Valid) -> None:
    chart = valid(heat_map([Tile("a", 0, 0, 1.0, "1%", "1")], [name], [name], what="risk", by=("a", "b")))
    for note in notes(chart)[:2]:
        assert "<b>" not in note["text"]
        assert "#000011" not in note["text"]
