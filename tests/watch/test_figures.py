"""Figures of predictions: against scikit-learn, against what is drawn from the risks themselves, and by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from churn.errors import DataError
from churn.watch.figures import Band, Figures, estimated, realised


def _risks(rows: int, seed: int = 0, spread: float = 1.2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.sort(1 / (1 + np.exp(-rng.normal(-1.5, spread, rows))))[::-1].copy()


def _left(p: np.ndarray, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).random(len(p)) < p).astype(np.int8)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 19)), min_size=3, max_size=60), st.integers(1, 70))
@settings(max_examples=80, deadline=None)
def test_realised_figures_equal_scikit_learn_with_ties(pairs: list[tuple[bool, int]], size: int) -> None:
    ordered = sorted(pairs, key=lambda pair: -pair[1])
    y, p = np.array([int(left) for left, _ in ordered], dtype=np.int8), np.array([risk / 20 for _, risk in ordered])
    found = realised(p, y, size)
    assert found.log_loss.value == pytest.approx(metrics.log_loss(y, p, labels=[0, 1]))
    assert found.brier.value == pytest.approx(metrics.brier_score_loss(y, p, labels=[0, 1]))
    listed = (np.arange(len(y)) < size).astype(int)
    assert found.precision.value == pytest.approx(metrics.precision_score(y, listed, zero_division=0))
    stayed, other = metrics.confusion_matrix(y, listed, labels=[0, 1])
    one = found.confusion
    assert (one.others_stayed, one.listed_stayed, one.others_left, one.listed_left) == (*stayed, *other)
    if y.any():
        assert found.recall is not None
        assert found.f1 is not None
        assert found.recall.value == pytest.approx(metrics.recall_score(y, listed))
        assert found.f1.value == pytest.approx(metrics.f1_score(y, listed))
    if 0 < y.sum() < len(y):
        assert found.auc is not None
        assert found.auc.value == pytest.approx(metrics.roc_auc_score(y, p))
    else:
        assert found.auc is None


@given(st.lists(st.integers(1, 19), min_size=2, max_size=40))
@settings(max_examples=60, deadline=None)
def test_the_estimated_area_is_that_of_all_pairs_of_different_customers(steps: list[int]) -> None:
    p = np.sort(np.array(steps) / 20)[::-1]
    pair = np.outer(p, 1 - p) * (1 - np.eye(len(p)))  # how likely the first leaves and the second stays
    won = (p[:, None] > p[None, :]) + 0.5 * (p[:, None] == p[None, :])
    found = estimated(p, 1).auc
    assert found is not None
    assert found.value == pytest.approx((pair * won).sum() / pair.sum())


def test_realised_ranges_hold_the_truth_19_times_in_20() -> None:
    truth = estimated(_risks(200_000), 10_000)
    held: dict[str, int] = {"auc": 0, "log_loss": 0, "brier": 0, "calibration": 0}
    everybody = _risks(200_000)
    rng = np.random.default_rng(3)
    for _ in range(200):
        p = np.sort(everybody[rng.integers(0, len(everybody), 800)])[::-1]
        found = realised(p, (rng.random(800) < p).astype(np.int8), 40)
        for name in held:
            held[name] += _figure(found, name).holds(_figure(truth, name).value)
    for name, times in held.items():
        assert times / 200 == pytest.approx(0.95, abs=0.045), name


def _figure(found: Figures, name: str) -> Band:
    band = getattr(found, name)
    assert isinstance(band, Band)
    return band


@pytest.mark.parametrize("rows", [60, 2_000])
def test_an_estimate_is_what_outcomes_drawn_from_the_risks_come_to_on_average(rows: int) -> None:
    p = _risks(rows, 1)
    money = np.random.default_rng(0).gamma(4, 20, rows)
    promised = estimated(p, rows // 10, money=money)
    drawn = [realised(p, _left(p, seed), rows // 10, money=money) for seed in range(400)]
    for name in ("auc", "log_loss", "brier", "calibration", "precision", "recall", "f1"):
        values = np.array([_figure(one, name).value for one in drawn])
        band = _figure(promised, name)
        # a ratio of expectations is not quite the expectation of the ratio: that is of the order of one in n
        assert band.value == pytest.approx(values.mean(), abs=4 * values.std() / 20 + 0.3 / rows), name
        assert np.mean([band.holds(value) for value in values]) == pytest.approx(0.95, abs=0.04), name
    left, revenue = np.array([one.left for one in drawn]), np.array([one.revenue_left for one in drawn])
    assert promised.expected_revenue is not None
    for band, values in ((promised.expected_leavers, left), (promised.expected_revenue, revenue)):
        assert band.value == pytest.approx(values.mean(), abs=4 * values.std() / 20)
        assert np.mean([band.holds(value) for value in values]) == pytest.approx(0.95, abs=0.04)


def test_bands_widen_by_what_is_not_known_of_the_model() -> None:
    """With a model whose recalibration is drawn from its covariance, the realised figures keep to the bands all the same."""
    p, covariance = _risks(4_000, 2), [[0.02, 0.004], [0.004, 0.006]]
    odds = np.log(p / (1 - p))
    promised, narrow = estimated(p, 400, covariance=covariance), estimated(p, 400)
    rng = np.random.default_rng(5)
    drawn = []
    for intercept, slope in rng.multivariate_normal([0, 0], covariance, 300):
        true = 1 / (1 + np.exp(-(odds + intercept + slope * odds)))
        drawn.append(realised(p, (rng.random(len(p)) < true).astype(np.int8), 400))
    for name in ("auc", "log_loss", "calibration", "precision"):
        values = [_figure(one, name).value for one in drawn]
        assert np.mean([_figure(promised, name).holds(value) for value in values]) == pytest.approx(0.95, abs=0.05), name
    assert np.mean([narrow.calibration.holds(one.calibration.value) for one in drawn]) < 0.6


def test_the_slope_is_one_where_the_risks_are_right_and_less_where_they_are_too_extreme() -> None:
    p = _risks(20_000, 4)
    odds = np.log(p / (1 - p))
    right = realised(p, _left(p, 1), 100).slope
    assert right is not None
    assert right.holds(1.0)
    extreme = realised(p, _left(1 / (1 + np.exp(-odds / 2)), 1), 100).slope
    assert extreme is not None
    assert extreme.holds(0.5)
    assert extreme.high < 0.6
    by_hand = metrics.log_loss(_left(p, 1), p)
    assert realised(p, _left(p, 1), 100).log_loss.value == pytest.approx(by_hand)


def test_dots_are_tenths_of_the_customers_whose_ranges_hold_together() -> None:
    p = _risks(5_000, 6)
    apart = 0
    for seed in range(60):
        found = realised(p, _left(p, seed), 100).dots
        assert len(found) == 10
        assert sum(one.rows for one in found) == 5_000
        assert [one.predicted for one in found] == sorted(one.predicted for one in found)
        apart += any(not one.low <= one.predicted <= one.high for one in found)
    assert apart / 60 < 0.15


@pytest.mark.parametrize("size", [1, 3, 50])
def test_nobody_left_and_everybody_left_are_told_without_a_ranking(size: int) -> None:
    p = np.array([0.9, 0.5, 0.1])
    none, everybody = realised(p, np.zeros(3, np.int8), size), realised(p, np.ones(3, np.int8), size)
    assert (none.auc, none.recall, none.f1, none.left) == (None, None, None, 0)
    assert (everybody.auc, everybody.left, everybody.precision.value) == (None, 3, 1.0)
    assert everybody.recall is not None
    assert everybody.recall.value == min(size, 3) / 3


def test_certain_risks_and_equal_risks_are_no_trouble() -> None:
    certain = estimated(np.array([1.0, 1.0, 0.0]), 2)
    assert certain.auc is not None
    assert (certain.auc.value, certain.precision.value) == (1.0, 1.0)
    assert certain.log_loss.value == pytest.approx(0, abs=1e-12)
    equal = estimated(np.full(50, 0.3), 10)
    assert equal.auc is not None
    assert equal.auc.value == pytest.approx(0.5)
    assert realised(np.full(50, 0.3), _left(np.full(50, 0.3), 0), 10).slope is None
    assert estimated(np.array([0.4]), 1).auc is None
    money = estimated(np.array([0.5, 0.5]), 1, money=np.array([10.0, np.nan]))
    assert money.expected_revenue is not None
    assert money.expected_revenue.value == 5.0


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda: estimated(np.array([]), 1), "at least one customer"),
        (lambda: estimated(np.array([0.1, 0.2]), 1), "must be sorted, the highest first"),
        (lambda: realised(np.array([0.2]), np.array([1], np.int8), 0), "at least 1 customer, not 0"),
    ],
)
def test_what_cannot_be_measured_is_refused(call: Callable[[], object], rule: str) -> None:
    with pytest.raises(DataError, match=rule):
        call()


def test_four_times_the_customers_halve_the_band() -> None:
    few, many = estimated(_risks(500), 50), estimated(np.repeat(_risks(500), 4), 200)
    assert many.log_loss.error == pytest.approx(few.log_loss.error / 2, rel=0.01)
