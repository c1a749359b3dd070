"""Measures against scikit-learn and published answers; intervals against what they promise."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn.learn.evaluation import (
    FoldPrediction,
    Metrics,
    calibration_curve,
    corrected_estimate,
    evaluate_folds,
    evaluate_holdout,
    gain_curve,
    lift,
    measure,
    paired,
    per_fold,
    pooled,
    recalibration,
)


def _calibrated(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(-rng.normal(-1, 1.2, rows)))
    return (rng.random(rows) < p).astype(int), p


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=3, max_size=60))
@settings(max_examples=60, deadline=None)
def test_measures_equal_scikit_learn_with_ties(pairs: list[tuple[bool, int]]) -> None:
    from sklearn import metrics

    y = np.array([left for left, _ in pairs], dtype=int)
    p = np.array([level / 20 for _, level in pairs])
    if y.min() == y.max():
        with pytest.raises(ValueError, match="both classes"):
            measure(y, p)
        return
    ours = measure(y, p)
    assert ours["roc_auc"] == pytest.approx(metrics.roc_auc_score(y, p))
    assert ours["pr_auc"] == pytest.approx(metrics.average_precision_score(y, p))
    assert ours["log_loss"] == pytest.approx(metrics.log_loss(y, p))
    assert ours["brier"] == pytest.approx(metrics.brier_score_loss(y, p))


@pytest.mark.realdata
def test_lift_of_the_published_scores(real_table: Callable[[str], Path]) -> None:
    label, score = np.loadtxt(real_table("empc_reference_scores.dat")).T
    assert lift(label, score, 0.1) == pytest.approx(2.714987714988, abs=1e-11)
    assert lift(label, score, 0.2) == pytest.approx(2.307739557740, abs=1e-11)


@given(st.randoms())
@settings(max_examples=20, deadline=None)
def test_order_of_rows_never_matters(random: object) -> None:
    y, p = _calibrated(80)
    p = np.round(p, 1)
    order = list(range(80))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert measure(y, p) == pytest.approx(measure(y[order], p[order]))


def test_calibration_error_of_a_known_case() -> None:
    p = np.repeat([0.1, 0.9], 50)
    y = np.concatenate([np.repeat([0, 1], [40, 10]), np.repeat([0, 1], [5, 45])])
    assert measure(y, p)["ece"] == pytest.approx(0.5 * 0.1)
    low, high = calibration_curve(y, p)
    assert (low.predicted, low.observed, low.rows) == pytest.approx((0.1, 0.2, 50))
    assert (high.predicted, high.observed) == pytest.approx((0.9, 0.9))
    assert low.low < 0.2 < low.high


def test_corrected_error_is_nadeau_and_bengio() -> None:
    estimate = corrected_estimate([1.0, 2.0, 3.0, 4.0], 0.25)
    assert estimate.value == 2.5
    assert estimate.standard_error == pytest.approx(np.sqrt((1 / 4 + 0.25) * 5 / 3))
    assert estimate.high - estimate.value == pytest.approx(3.182446 * estimate.standard_error, rel=1e-6)
    assert np.isnan(corrected_estimate([1.0], 0.25).standard_error)


def test_recalibration_finds_what_was_done_to_the_probabilities() -> None:
    y, p = _calibrated(20_000)
    logit = np.log(p / (1 - p))
    distorted = 1 / (1 + np.exp(-(logit - 0.4) / 0.7))
    fit = recalibration(y, distorted)
    assert fit.intercept == pytest.approx(0.4, abs=0.06)
    assert fit.slope == pytest.approx(0.7, abs=0.04)
    covariance = np.array(fit.covariance)
    assert np.all(np.linalg.eigvalsh(covariance) > 0)
    q = 1 / (1 + np.exp(-(fit.intercept + fit.slope * np.log(distorted / (1 - distorted)))))
    x = np.column_stack([np.ones(len(y)), np.log(distorted / (1 - distorted))])
    fisher = np.linalg.inv((x.T * (q * (1 - q))) @ x)
    assert np.sqrt(np.diag(covariance)) == pytest.approx(np.sqrt(np.diag(fisher)), rel=0.25)


def test_repeated_customers_widen_the_interval() -> None:
    y, p = _calibrated(400)
    alone = evaluate_holdout(np.tile(y, 10), np.tile(p, 10))
    together = evaluate_holdout(np.tile(y, 10), np.tile(p, 10), groups=np.tile(np.arange(400), 10))
    assert together.log_loss.standard_error > 2 * alone.log_loss.standard_error
    assert together.recalibration.covariance[0][0] > 4 * alone.recalibration.covariance[0][0]


def test_gain_rises_from_nothing_to_everybody() -> None:
    y, p = _calibrated(1000)
    curve = np.array(gain_curve(y, p))
    assert tuple(curve[0]) == (0, 0)
    assert tuple(curve[-1]) == pytest.approx((1, 1))
    assert np.all(np.diff(curve[:, 1]) >= 0)
    assert np.all(curve[1:-1, 1] > curve[1:-1, 0])


def test_folds_and_json() -> None:
    y, p = _calibrated(600)
    order = np.random.default_rng(1).permutation(600)
    folds = [
        FoldPrediction(480, rows, p[rows], repeat=i // 5) for i, rows in enumerate([*np.split(order, 5), *np.split(order, 5)])
    ]
    metrics = evaluate_folds(y, folds)
    assert metrics.rows == 600
    assert metrics.roc_auc.value == pytest.approx(np.mean(per_fold(y, folds)["roc_auc"]))
    assert metrics["ece"].value == pytest.approx(measure(y, p)["ece"])
    rows, mean = pooled(folds, 600)
    assert len(rows) == 600
    assert mean == pytest.approx(p)
    assert Metrics.from_dict(json.loads(json.dumps(metrics.to_dict()))) == metrics
    with pytest.raises(KeyError):
        metrics["accuracy"]


def test_the_interval_of_the_calibration_error_holds_the_figure() -> None:
    y, p = _calibrated(1500)
    ece = evaluate_holdout(y, p).ece
    assert 0 <= ece.low < ece.value < ece.high < 0.1


def test_two_models_are_measured_on_the_same_resampled_rows() -> None:
    from sklearn.metrics import log_loss, roc_auc_score

    rng = np.random.default_rng(3)
    truth = rng.random(2000)
    y = (rng.random(2000) < truth).astype(float)
    found = paired(y, np.full(2000, y.mean()), truth, seed=1)
    assert found.log_loss == pytest.approx((log_loss(y, np.full(2000, y.mean())), log_loss(y, truth)))
    assert found.roc_auc == pytest.approx((0.5, roc_auc_score(y, truth)))
    assert (found.rows, found.left, found.loss_lower, found.auc_higher) == (2000, int(y.sum()), 1.0, 1.0)
    assert found.difference.low < found.difference.value < found.difference.high < 0
    swapped = paired(y, truth, np.full(2000, y.mean()), seed=1)
    assert (swapped.loss_lower, swapped.auc_higher) == (0.0, 0.0)


def test_a_model_is_no_better_than_itself() -> None:
    rng = np.random.default_rng(3)
    p = rng.random(300)
    y = (rng.random(300) < p).astype(float)
    same = paired(y, p, p)
    assert (same.loss_lower, same.auc_higher, same.difference.standard_error) == (0.5, 0.5, 0.0)


def test_what_both_find_hard_cancels() -> None:
    """The paired spread is that of the difference: far smaller than either model's own."""
    rng = np.random.default_rng(5)
    p = rng.random(1000)
    y = (rng.random(1000) < p).astype(float)
    losses = -np.where(y == 1, np.log(p), np.log1p(-p))
    found = paired(y, p, np.clip(p + 0.01, 0, 0.999), seed=2)
    assert found.difference.standard_error < 0.2 * losses.std() / np.sqrt(len(y))
