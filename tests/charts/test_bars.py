"""The bar list: bars from zero, eight at most, every row a target."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from churn.charts import theme
from churn.charts.bars import MOST, Bar, bar_list
from churn.charts.theme import Chart

Valid = Callable[[Chart], Chart]
BARS = (
    Bar("f", "Month-to-month · Fibre", 101.0, "$101k", "at 55% risk"),
    Bar("d", "Month-to-month · DSL", 19.0, "$19k", "at 33% risk"),
)


def _others(rest: Sequence[Bar]) -> Bar:
    return Bar("others", f"{len(rest)} others", sum(bar.value for bar in rest), "$9k")


def test_bars_and_texts(valid: Valid) -> None:
    chart = valid(bar_list(BARS, what="revenue at risk"))
    track, bars, targets = chart.figure["data"]
    assert bars["x"] == pytest.approx([1, 19 / 101])
    assert bars["marker"]["color"] == [theme.MONEY, theme.NEUTRAL]
    assert track["x"] == targets["x"] == [1.0, 1.0]
    assert targets["customdata"] == [["f"], ["d"]]
    assert min(targets["width"]) >= 24
    assert [note["text"] for note in chart.figure["layout"]["annotations"]] == [
        "Month-to-month · Fibre", "<b>$101k</b> at 55% risk", "Month-to-month · DSL", "<b>$19k</b> at 33% risk",
    ]  # fmt: skip
    assert chart.alt == "Bars: revenue at risk for 2 groups; Month-to-month · Fibre leads with $101k."


def test_at_most_eight_then_others(valid: Valid) -> None:
    many = [Bar(str(i), f"Group {i}", 20.0 - i, "$1k") for i in range(12)]
    chart = valid(bar_list(many, what="revenue at risk", others=_others))
    assert chart.figure["data"][1]["customdata"][-1] == ["others"]
    assert len(chart.figure["data"][1]["x"]) == MOST
    assert "5 others" in chart.figure["layout"]["annotations"][-2]["text"]


def test_others_can_be_longer_than_the_leading_bar(valid: Valid) -> None:
    many = [Bar(str(i), f"Group {i}", 1.0, "$1k") for i in range(20)]
    lengths = valid(bar_list(many, what="x", others=_others)).figure["data"][1]["x"]
    assert max(lengths) == lengths[-1] == 1.0


def test_nothing_and_zeros(valid: Valid) -> None:
    assert valid(bar_list([], what="revenue at risk")).alt == "Bars: revenue at risk; nothing to show."
    zeros = valid(bar_list([Bar("a", "A", 0.0, "$0"), Bar("b", "B", -1.0, "−$1")], what="x"))
    assert zeros.figure["data"][1]["x"] == [0, 0]
    assert theme.MONEY not in zeros.figure["data"][1]["marker"]["color"]


def test_long_names_make_room_for_the_figure_and_are_escaped(valid: Valid) -> None:
    name = "One year · A level with <i>far</i> too many words to stand beside a figure on a phone"
    chart = valid(bar_list([Bar("a", name, 1.0, "$101k", "at 55% risk")], what="x"))
    shown = chart.figure["layout"]["annotations"][0]["text"]
    assert "<br>" in shown
    assert "&lt;i&gt;" in shown
    assert chart.height > valid(bar_list(BARS[:1], what="x")).height


def test_the_chosen_one_is_bold(valid: Valid) -> None:
    assert valid(bar_list(BARS, what="x", chosen="d")).figure["layout"]["annotations"][2]["text"] == "<b>Month-to-month · DSL</b>"
