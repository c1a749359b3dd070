"""The interval of what is at stake, against drawing outcomes and recalibrations many times."""

from __future__ import annotations

import numpy as np
import pytest

from churn.base.value import Sums, leavers_interval, revenue_interval, sums

COVARIANCE = ((4e-3, 1e-3), (1e-3, 2e-3))


def _customers(size: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    return 1 / (1 + np.exp(-generator.normal(-1.2, 1.4, size))), np.round(generator.gamma(3, 25, size), 2)


def test_eight_of_ten_simulated_months_fall_within_the_interval() -> None:
    risk, money = _customers()
    found = sums(risk, money)
    logit = np.log(risk / (1 - risk))
    generator = np.random.default_rng(4)
    leavers, revenue = [], []
    for intercept, slope in generator.multivariate_normal((0, 1), COVARIANCE, 4000):
        left = generator.random(risk.size) < 1 / (1 + np.exp(-(intercept + slope * logit)))
        leavers.append(left.sum())
        revenue.append(money[left].sum())
    for interval, drawn in ((leavers_interval(found, COVARIANCE), leavers), (revenue_interval(found, COVARIANCE), revenue)):
        assert interval is not None
        within = np.mean((np.array(drawn) >= interval.low) & (np.array(drawn) <= interval.high))
        assert 0.77 < within < 0.83
        assert np.quantile(drawn, 0.1) == pytest.approx(interval.low, rel=0.02)
        assert np.quantile(drawn, 0.9) == pytest.approx(interval.high, rel=0.02)


def test_without_calibration_error_only_chance_is_left() -> None:
    risk, money = _customers(500)
    interval = revenue_interval(sums(risk, money), ((0, 0), (0, 0)))
    assert interval is not None
    half = 1.2815515655446004 * np.sqrt((risk * (1 - risk) * money**2).sum())
    assert (interval.high - interval.low) / 2 == pytest.approx(half)
    assert (interval.high + interval.low) / 2 == pytest.approx((risk * money).sum())


def test_the_interval_stays_within_what_is_possible() -> None:
    found = sums(np.array([0.5]), np.array([80.0]))
    leavers, revenue = leavers_interval(found, COVARIANCE), revenue_interval(found, COVARIANCE)
    assert leavers is not None
    assert revenue is not None
    assert (leavers.low, leavers.high, revenue.low, revenue.high) == (0, 1, 0, 80)


def test_a_credit_can_make_it_negative() -> None:
    found = sums(np.array([0.5, 0.5]), np.array([-20.0, 10.0]))
    interval = revenue_interval(found, COVARIANCE)
    assert interval is not None
    assert (found.owed, found.losable) == (-20, 10)
    assert -20 <= interval.low < 0 < interval.high <= 10


def test_certain_risks_and_nobody() -> None:
    certain = sums(np.array([0.0, 1.0, 1.0]), np.array([5.0, 7.0, np.nan]))
    assert certain == Sums(3, 2.0, 0.0, 0.0, 2, 12.0, 12.0, 0.0, 7.0, 0.0, 0.0, 0.0)
    interval = leavers_interval(certain, COVARIANCE)
    assert interval is not None
    assert (interval.low, interval.high) == (2, 2)
    nobody = sums(np.empty(0), np.empty(0))
    assert nobody == Sums()
    assert leavers_interval(nobody, COVARIANCE) is not None
    assert revenue_interval(nobody, COVARIANCE) is None


def test_no_covariance_no_interval_and_no_money_no_revenue() -> None:
    risk, money = _customers(20)
    assert leavers_interval(sums(risk, money), None) is None
    assert revenue_interval(sums(risk, None), COVARIANCE) is None


def test_several_intervals_hold_together() -> None:
    """Of eight figures looked at, all lie in their widened intervals 8 times in 10 or more."""
    risk, _ = _customers(4000)
    parts = np.array_split(risk, 8)
    intervals = [leavers_interval(sums(part), ((0, 0), (0, 0)), looks=8) for part in parts]
    generator = np.random.default_rng(5)
    held = 0
    for _ in range(1000):
        counts = [(generator.random(part.size) < part).sum() for part in parts]
        held += all(one is not None and one.low <= count <= one.high for one, count in zip(intervals, counts, strict=True))
    assert 0.79 < held / 1000 < 0.86
    narrow, wide = leavers_interval(sums(risk), COVARIANCE), leavers_interval(sums(risk), COVARIANCE, looks=8)
    assert narrow is not None
    assert wide is not None
    assert wide.low < narrow.low < narrow.high < wide.high
