"""Rankings of a campaign: both curves end together, the band is the better one's, figures stand at half of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from churn.act.uplift import RISK, TRANSFORMED, TWO_MODELS, Comparison, Trial, compare, judge
from churn.charts.theme import Chart
from churn.charts.uplift import uplift_chart

Valid = Callable[[Chart], Chart]


def _comparison(ours: bool) -> Comparison:
    """1,000 customers of whom a call keeps those in one half; one ranking knows the half, the other draws lots."""
    rng = np.random.default_rng(3)
    called, half = rng.random(1000) < 0.5, rng.random(1000) < 0.5
    trial = Trial(called, rng.random(1000) < 0.5 * (1 - 0.6 * (called & half)))
    known, lots = half.astype(float), rng.random(1000)
    scores = {RISK: lots, TWO_MODELS: known, TRANSFORMED: lots} if ours else {RISK: known, TWO_MODELS: lots, TRANSFORMED: lots}
    rankings = compare(scores, trial, draws=40)
    effect = float(trial.left[~called].mean() - trial.left[called].mean())
    best, verdict = judge(rankings, effect)
    held, left = int((~called).sum()), int(trial.left.sum())
    return Comparison("s", "Summer", 1000, held, left, 5, effect, rankings, best, verdict, (0.1, 0.9), {}, "uplift/s/1")


def test_the_curves_the_band_and_the_figures(valid: Valid) -> None:
    found = _comparison(ours=True)
    chart = valid(uplift_chart(found))
    low, high, chance, theirs, ours, marks = chart.figure["data"]
    assert low["x"] == high["x"] == [0.0, *(step / 10 for step in range(1, 11))]
    assert (np.array(low["y"]) <= high["y"]).all()
    for line in (chance, theirs, ours):
        assert (line["x"][0], line["y"][0]) == (0, 0)
        assert line["y"][-1] == pytest.approx(1000 * found.effect)
    assert marks["y"] == [pytest.approx(1000 * found.ranking(name).gains[4]) for name in (RISK, TWO_MODELS)]
    bold, plain = chart.figure["layout"]["annotations"]
    assert bold["text"] == f"<b>{round(found.saves(TWO_MODELS, 0.5))} by whom</b><br><b>calling changes</b>"
    assert plain["text"].endswith(" by risk")
    assert (bold["yanchor"], plain["yanchor"]) == ("bottom", "top")
    assert f"at 50% of it {round(found.saves(TWO_MODELS, 0.5))} by whom calling changes" in chart.alt
    top, bottom = chart.figure["layout"]["yaxis"]["range"][1], chart.figure["layout"]["yaxis"]["range"][0]
    assert bottom <= min(low["y"])
    assert top >= max(high["y"])


def test_the_figure_of_the_lower_curve_stands_below_it(valid: Valid) -> None:
    bold, plain = valid(uplift_chart(_comparison(ours=False))).figure["layout"]["annotations"]
    assert (bold["yanchor"], plain["yanchor"]) == ("top", "bottom")
