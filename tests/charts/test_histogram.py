"""The histogram: colours and labels follow the bands, and no label is cut or meets another."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from churn.charts import theme
from churn.charts.histogram import _PHONE, _places, risk_histogram
from churn.charts.theme import Chart
from churn.data.schema import DEFAULT_BANDS, Band

Valid = Callable[[Chart], Chart]
COUNTS = [2000, 850, 400, 300, 280, 250, 200, 160, 170, 150, 140, 120, 130, 110, 100, 90, 80, 60, 40, 3]


def test_colours_labels_and_targets(valid: Valid) -> None:
    chart = valid(risk_histogram(COUNTS, DEFAULT_BANDS, [3257, 1477, 1335, 974]))
    bars, targets = chart.figure["data"]
    assert bars["marker"]["color"] == [theme.QUIET] * 3 + [theme.RISK[3]] * 4 + [theme.RISK[5]] * 5 + [theme.RISK[8]] * 8
    assert bars["customdata"][0] == [0.0, 0.05]
    assert targets["customdata"] == bars["customdata"]
    texts = [note["text"] for note in chart.figure["layout"]["annotations"]]
    assert texts == [
        "<b>Low</b><br>3,257", "<b>Medium</b><br>1,477", "<b>High</b><br>1,335", "<b>Very high</b><br>974", "15%", "35%", "60%",
    ]  # fmt: skip
    assert [shape["x0"] for shape in chart.figure["layout"]["shapes"]] == [0.15, 0.35, 0.6]
    assert chart.alt == (
        "Histogram: customers by risk in steps of 5 points; "
        "Low 3,257, Medium 1,477, High 1,335 and Very high 974; most are in Low."
    )


def test_nobody(valid: Valid) -> None:
    assert valid(risk_histogram([0] * 20, DEFAULT_BANDS, [0] * 4)).alt == "Histogram: customers by risk; nobody to show."


def test_crowded_and_single_bands(valid: Valid) -> None:
    limits = (0.04, 0.09, 0.12, 0.9, 1.1)
    crowded = [Band(name=f"Band <{i}>", below=below) for i, below in enumerate(limits)]
    chart = valid(risk_histogram(COUNTS, crowded, [3_257_333, 1_477_999, 1_335_555, 974, 3]))
    assert chart.height > valid(risk_histogram(COUNTS, DEFAULT_BANDS, [1, 1, 1, 1])).height
    valid(risk_histogram(COUNTS, [Band(name="All", below=2)], [7043]))


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(5, 150)), max_size=8))
def test_labels_neither_meet_nor_leave_the_chart(labels: list[tuple[float, float]]) -> None:
    labels = sorted(labels)
    places = _places([centre for centre, _ in labels], [width for _, width in labels])
    spans = []
    for (x, anchor, row), (_, width) in zip(places, labels, strict=True):
        left = x * _PHONE - {"left": 0.0, "center": width / 2, "right": width}[anchor]
        assert left >= -1e-6
        assert left + width <= _PHONE + 1e-6
        spans.append((row, left, left + width))
    for (row, _, end), (other, start, _) in combinations(spans, 2):
        assert row != other or start >= end
