"""Profit by list size: the chosen size stands beside its mark, the band around the line."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from churn.act.profit import ProfitCurve, profit_curve
from churn.base.expected_value import Assumptions
from churn.charts.profit import profit_chart, reach_chart
from churn.charts.theme import Chart
from churn.data.schema import Schema

Valid = Callable[[Chart], Chart]
SCHEMA = Schema.model_validate(
    {
        "key": "customer",
        "target": {"column": "churned", "positive": "Yes", "negative": "No"},
        "money": {"column": "charge"},
        "features": [{"name": "charge", "kind": "number", "label": "Charge", "unit": "money", "range": [0, 200]}],
    }
)


def _curve(size: int = 2000, **given: float) -> ProfitCurve:
    rng = np.random.default_rng(1)
    return profit_curve(rng.beta(1, 3, size), rng.gamma(3, 20, size), SCHEMA, given.get("offer", 60.0), Assumptions(), [100])


def test_the_line_its_band_and_the_mark(valid: Valid) -> None:
    curve = _curve()
    chart = valid(profit_chart(curve, curve.best, "$"))
    low, high, line, marks = chart.figure["data"]
    assert (np.array(low["y"]) <= line["y"]).all()
    assert (np.array(line["y"]) <= high["y"]).all()
    assert marks["x"] == [curve.best.customers]
    assert max(line["y"]) == pytest.approx(curve.best.money)
    (note,) = chart.figure["layout"]["annotations"]
    assert f"with {curve.best.customers} customers" in note["text"]
    assert str(curve.best.customers) in chart.alt


def test_a_capacity_below_the_best_marks_both(valid: Valid) -> None:
    curve = _curve()
    chart = valid(profit_chart(curve, curve.chosen(100), "$"))
    assert chart.figure["data"][3]["x"] == [100, curve.best.customers]
    assert "with 100 customers" in chart.figure["layout"]["annotations"][0]["text"]


def test_an_offer_that_never_pays_and_nobody(valid: Valid) -> None:
    never = _curve(offer=5000.0)
    assert never.best.customers == 0
    valid(profit_chart(never, never.best, "$"))
    nobody = _curve(0)
    valid(profit_chart(nobody, nobody.best, "$"))
    valid(reach_chart(nobody, nobody.best))


def test_the_leavers_that_a_list_reaches(valid: Valid) -> None:
    curve = _curve()
    chart = valid(reach_chart(curve, curve.best))
    _, line, mark = chart.figure["data"]
    assert (line["x"][-1], line["y"][-1]) == (1, pytest.approx(1))
    assert mark["x"] == [curve.best.customers / 2000]
    assert mark["y"] == [pytest.approx(curve.best.leavers / curve.leavers)]
