"""Two models in one figure: each has its name beside it, and the first lies on top."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from churn.charts import theme
from churn.charts.theme import Chart
from churn.charts.two_models import gains, promises
from churn.model.metrics import CalibrationBin

Valid = Callable[[Chart], Chart]
BETTER = [(0.0, 0.0), (0.2, 0.6), (1.0, 1.0)]
WORSE = [(0.0, 0.0), (0.4, 0.8), (1.0, 1.0)]


def bins(*pairs: tuple[float, float]) -> list[CalibrationBin]:
    return [CalibrationBin(promised, left, 50, left - 0.05, left + 0.05) for promised, left in pairs]


@pytest.mark.parametrize(("first", "second"), [(BETTER, WORSE), (WORSE, BETTER), (BETTER, BETTER)])
def test_curves_and_names(first: list[tuple[float, float]], second: list[tuple[float, float]], valid: Valid) -> None:
    chart = valid(gains(first, second, ("v1", "v<2>")))
    _, below, above, marks = chart.figure["data"]
    assert (below["line"]["color"], above["line"]["color"]) == (theme.NEUTRAL, theme.INK)
    assert list(zip(above["x"], above["y"], strict=True)) == first
    assert marks["y"] == pytest.approx([0.6 if curve is BETTER else 0.4 for curve in (first, second)])
    notes = chart.figure["layout"]["annotations"]
    assert [note["text"] for note in notes] == [f"<b>v1: {marks['y'][0]:.0%}</b>", f"<b>v&lt;2&gt;: {marks['y'][1]:.0%}</b>"]
    assert {note["yanchor"] for note in notes} == {"top", "bottom"}  # never one over the other
    assert chart.alt.endswith(f"in the riskiest 20%, v1 finds {marks['y'][0]:.0%} and v<2> finds {marks['y'][1]:.0%}.")


def test_promises(valid: Valid) -> None:
    chart = valid(promises(bins((0.1, 0.1), (0.6, 0.5)), bins((0.2, 0.25), (0.4, 0.7)), ("v3", "v2")))
    _, second, first = chart.figure["data"]
    assert (first["marker"]["symbol"], second["marker"]["symbol"]) == ("circle", "circle-open")
    assert (first["x"], first["y"]) == ([0.1, 0.6], [0.1, 0.5])
    notes = {note["text"]: note["yanchor"] for note in chart.figure["layout"]["annotations"]}
    assert notes == {"<b>v2</b>": "bottom", "<b>v3</b>": "top"}
    assert chart.figure["layout"]["xaxis"]["range"][1] >= 0.75
    assert chart.alt == (
        "Dots of two models: left against promised, by risk; of the riskiest group, v3 promised 60%, 50% left; "
        "v2 promised 40%, 70% left."
    )
