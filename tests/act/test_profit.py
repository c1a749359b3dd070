"""What an offer brings: published answers for a ranking, sums by hand for a list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import betainc, betaincinv

from churn.act.profit import (
    POINTS,
    acceptance_band,
    beta_quantile,
    beta_share,
    expected_maximum_profit,
    lift,
    maximum_profit,
    profit_curve,
)
from churn.base.expected_value import Assumptions, expected_value, offer_cost
from churn.data.schema import Schema
from churn.errors import DataError

USUAL = Assumptions(6, 14, 1, 12, 1)


@pytest.fixture(scope="module")
def reference() -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """The scores on which the published answers were computed: 221 pairs of numbers."""
    table = np.loadtxt(Path(__file__).with_name("reference_scores.csv"), delimiter=",", skiprows=1)
    return table[:, 0] == 1, table[:, 1]


def _schema(**given: Any) -> Schema:
    document = {
        "key": "customer",
        "target": {"column": "churned", "positive": "Yes", "negative": "No"},
        "money": {"column": "charge"},
        "features": [{"name": "charge", "kind": "number", "label": "Monthly charge", "unit": "money", "range": [20, 120]}],
    }
    return Schema.model_validate({**document, **given})


# -- published -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alpha", "beta", "value", "offer", "contact", "profit"),
    [
        (6, 14, 200, 10, 1, 14.9946647690104),
        (2, 14, 200, 10, 1, 5.04518077557418),
        (6, 5, 200, 10, 1, 30.2276738879406),
        (6, 14, 50, 10, 1, 1.62729137978),
        (6, 14, 200, 100, 1, 1.95497116583216),
        (6, 14, 200, 10, 15, 8.47435415117762),
        (10, 7, 300, 50, 25, 23.8505727106226),
    ],
)
def test_expected_maximum_profit_as_published(
    reference: Any, alpha: float, beta: float, value: float, offer: float, contact: float, profit: float
) -> None:
    found = expected_maximum_profit(*reference, value, offer, Assumptions(alpha, beta, 1, 12, contact))
    assert found.profit == pytest.approx(profit, abs=1e-9)


def test_the_share_to_reach_and_the_profit_at_a_fixed_acceptance_as_published(reference: Any) -> None:
    assert expected_maximum_profit(*reference, 200, 10, USUAL).share == pytest.approx(0.580703860014, abs=1e-9)
    fixed = maximum_profit(*reference, 200, 10, USUAL, acceptance=0.3)
    assert (fixed.profit, fixed.share) == pytest.approx((14.8144796380090, 0.665158371041), abs=1e-9)


def test_lift_as_published(reference: Any) -> None:
    assert (lift(*reference, 0.1), lift(*reference, 0.2)) == pytest.approx((2.714987714988, 2.307739557740), abs=1e-9)


@pytest.mark.parametrize(("scores", "profit"), [((0.0, 1.0), 28.0000000000391), ((1.0, 0.0), 22.5007912244511)])
def test_two_customers_as_published(scores: tuple[float, float], profit: float) -> None:
    found = expected_maximum_profit(np.array([False, True]), np.array(scores), 200, 10, USUAL)
    assert found.profit == pytest.approx(profit, abs=1e-9)


# -- a ranking ---------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(5, 60), st.floats(0, 1))
def test_expected_maximum_profit_is_the_average_of_the_best_threshold(seed: int, customers: int, stayers: float) -> None:
    """The closed form against every threshold at many values of γ, averaged over its law; equals among the scores too."""
    rng = np.random.default_rng(seed)
    left = rng.random(customers) < 0.4
    left[:2] = True, False
    risk = rng.integers(0, 12, customers) / 12
    assumed = Assumptions(3, 7, stayers, 12, 2)
    found = expected_maximum_profit(left, risk, 150, 20, assumed)
    gamma = betaincinv(3, 7, (np.arange(4000) + 0.5) / 4000)
    best = np.zeros(len(gamma))
    for threshold in np.unique(risk):
        taken = risk >= threshold
        leavers, stays = (taken & left).sum() / customers, (taken & ~left).sum() / customers
        best = np.maximum(best, leavers * (gamma * 130 - 2) - stays * (stayers * 20 + 2))
    assert found.profit == pytest.approx(best.mean(), abs=2e-3)
    assert 0 <= found.share <= 1


def test_a_perfect_ranking_is_worth_more_than_any_other_and_chance_least() -> None:
    rng = np.random.default_rng(2)
    left = rng.random(4000) < 0.25
    worth = [
        expected_maximum_profit(left, score, 200, 10, USUAL).profit
        for score in (left.astype(float), left + rng.normal(0, 1, 4000), rng.random(4000))
    ]
    assert worth[0] > worth[1] > worth[2] > 0


def test_a_ranking_cannot_be_valued_without_both_outcomes_or_above_its_worth() -> None:
    with pytest.raises(DataError, match="0 of 3 left"):
        expected_maximum_profit(np.zeros(3, bool), np.zeros(3), 200, 10, USUAL)
    with pytest.raises(DataError, match="costs 200 cannot be worth making to customers worth 200"):
        maximum_profit(np.array([True, False]), np.zeros(2), 200, 200, USUAL, 0.3)
    with pytest.raises(DataError, match="nobody left"):
        lift(np.zeros(3, bool), np.zeros(3), 0.1)


@given(st.floats(0.05, 500), st.floats(0.05, 500), st.floats(0, 1))
def test_the_beta_law_against_scipy(alpha: float, beta: float, x: float) -> None:
    assert beta_share(x, alpha, beta) == pytest.approx(betainc(alpha, beta, x), abs=1e-11)
    share = 0.001 + 0.998 * x
    assert beta_quantile(share, alpha, beta) == pytest.approx(betaincinv(alpha, beta, share), abs=1e-9)


# -- a list --------------------------------------------------------------------------


def test_the_curve_is_the_sum_of_what_each_is_worth_best_first() -> None:
    risk = np.array([0.9, 0.5, 0.1, 0.7])
    money = np.array([10.0, 50.0, 20.0, np.nan])
    found = profit_curve(risk, money, _schema(), 20.0, USUAL, at=[1, 2])
    worth = expected_value(risk[:3], money[:3] * 12, 20.0, USUAL)  # 15.8, 75.4, −10.9
    assert worth[1] > worth[0] > 0 > worth[2]
    assert [size.money for size in found.sizes] == pytest.approx(np.cumsum([0, worth[1], worth[0], worth[2]]))
    assert [size.last for size in found.sizes] == pytest.approx([0, worth[1], worth[0], worth[2]])
    assert (found.best.customers, found.customers, found.unvalued) == (2, 3, 1)
    assert found.best.cost == pytest.approx(float(offer_cost(risk[:2], 20.0, USUAL).sum()))
    assert found.best.leavers == pytest.approx(1.4)
    assert found.leavers == pytest.approx(2.2)
    assert found.least_risk == 0.5
    assert found.chosen(None) == found.chosen(3) == found.best
    assert found.chosen(1).customers == 1
    assert found.at(99).customers == 3


def test_the_band_is_the_sum_at_two_quantiles_of_acceptance() -> None:
    rng = np.random.default_rng(1)
    risk, money = rng.beta(1, 3, 3000), rng.gamma(3, 20, 3000)
    found = profit_curve(risk, money, _schema(), 15.0, USUAL)
    order = np.argsort(-expected_value(risk, money * 12, 15.0, USUAL), kind="stable")[: found.best.customers]
    gamma = rng.beta(6, 14, 4000)
    kept = (risk * (money * 12 - 15))[order].sum()
    spent = (1 + (1 - risk) * 15)[order].sum()
    low, high = np.quantile(gamma * kept - spent, [0.1, 0.9])
    assert (found.best.low, found.best.high) == pytest.approx((low, high), rel=0.03)
    assert acceptance_band(USUAL) == pytest.approx((betaincinv(6, 14, 0.1), betaincinv(6, 14, 0.9)))
    assert found.least_best < found.best.customers < found.most_best


@given(st.integers(0, 3000), st.integers(0, 2**32 - 1))
def test_no_size_brings_more_than_the_best_and_a_page_gets_few_points(customers: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    risk, money = rng.random(customers), rng.normal(20, 20, customers)
    found = profit_curve(risk, money, _schema(), 10.0, USUAL, at=[customers // 3])
    assert len(found.sizes) <= POINTS + 3
    assert all(size.money <= found.best.money + 1e-9 for size in found.sizes)
    assert all(size.low <= size.money <= size.high for size in found.sizes)
    assert [size.customers for size in found.sizes] == sorted({size.customers for size in found.sizes})
    between = found.at(customers // 2)
    assert between.customers == customers // 2
    assert between.money <= found.best.money + 1e-9


def test_of_many_customers_every_sum_is_that_of_the_best_so_many() -> None:
    """More than have a step each: against the sums along the whole order, some of them not counted and some without money."""
    rng = np.random.default_rng(5)
    n = 90_000
    risk, money = rng.beta(1, 3, n).round(3), rng.gamma(3, 20, n)
    money[rng.choice(n, 500, replace=False)] = np.nan
    away = np.sort(rng.choice(n, 8_000, replace=False))
    at = [1, 777, 12_345, 70_001]
    found = profit_curve(risk, money, _schema(), 25.0, USUAL, at=at, without=away)
    stay = np.delete(np.arange(n), away)
    known = stay[~np.isnan(money[stay])]
    worth = expected_value(risk[known], money[known] * 12, 25.0, USUAL)
    worth = worth[np.argsort(-worth, kind="stable")]
    assert (found.customers, found.unvalued) == (len(known), len(stay) - len(known))
    assert found.leavers == pytest.approx(risk[stay].sum())
    money_of = np.concatenate([[0], np.cumsum(worth)])
    assert [size.money for size in found.sizes] == pytest.approx([money_of[size.customers] for size in found.sizes], abs=1e-6)
    exactly = {size.customers: size for size in found.sizes}
    assert [exactly[size].last for size in at] == pytest.approx([worth[size - 1] for size in at])
    assert found.best.customers == int((worth > 0).sum())
    assert found.best.money == pytest.approx(money_of.max())
    spread = np.diff([size.customers for size in found.sizes])
    assert spread.max() < found.customers / 60  # the points cover everybody


def test_nothing_is_made_up_without_money() -> None:
    with pytest.raises(DataError, match="customers without money"):
        profit_curve(np.ones(2), np.ones(2), _schema(money=None), 10.0, USUAL)
    nobody = profit_curve(np.zeros(0), np.zeros(0), _schema(), 10.0, USUAL)
    assert (nobody.best.customers, nobody.least_risk, nobody.at(5).money) == (0, None, 0.0)
