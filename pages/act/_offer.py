"""Value: what is asked of a pair about an offer.

Kept by terms that are compared as values: a class of a page's own script would be another one in every run.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from churn.act.profit import MaximumProfit, ProfitCurve, expected_maximum_profit, profit_curve
from churn.base.expected_value import Assumptions, customer_value, expected_value_sql
from churn.base.groups import Filter
from churn.base.snapshot import Gain
from churn.data.quality import LEFT
from churn.errors import ChurnError
from churn.model.bundle import HOLDOUT
from pages.act import _list
from pages.shared import address
from pages.shared.data import Pair, Question

ASSUMED = ("keeps", "given", "contact", "months")  # assumptions that can be changed, as addresses name them after a prefix
MOST_MONEY, MOST_MONTHS = 1_000_000.0, 120.0


@dataclass(frozen=True, slots=True)
class Terms:
    """What is looked at: an offer's cost, how many calls can be made, and the assumptions."""

    offer: float
    calls: int | None
    assumptions: Assumptions


def assumed(page: str, prefix: str, usual: Assumptions) -> Assumptions:
    """The assumptions of the settings, but for those that somebody changed on a page; `prefix`: of its keys in the address."""
    keeps, given, contact, months = (f"{prefix}_{name}" for name in ASSUMED)
    strength = usual.alpha + usual.beta  # a changed share is as sure as the assumed one
    share = address.number(page, keeps, as_percent(usual.acceptance), 1.0, 99.0)
    alpha = usual.alpha if share == as_percent(usual.acceptance) else strength * share / 100
    taking = usual.stayers_taking  # to its last digit where nothing is picked
    if address.text(page, given) is not None:
        taking = address.number(page, given, 100 * taking, 0.0, 100.0) / 100
    return replace(
        usual,
        alpha=alpha,
        beta=strength - alpha,
        stayers_taking=taking,
        contact_cost=address.number(page, contact, usual.contact_cost, 0.0, MOST_MONEY),
        value_months=address.number(page, months, usual.value_months, 1.0, max(MOST_MONTHS, usual.value_months)),
    )


def as_percent(share: float) -> float:
    return round(100 * share, 1)


def curve(pair: Pair, chosen: Filter, terms: Terms) -> Question[ProfitCurve]:
    """What lists of those customers of a filter bring, by size, who have not left already."""
    left = _list.left(pair)

    def work() -> ProfitCurve:
        pool = pair.snapshot.pool(chosen).without(left)
        money = np.full(len(pool.risk), np.nan) if pool.money is None else pool.money
        at = [] if terms.calls is None else [terms.calls]
        return profit_curve(pool.risk, money, pair.schema, terms.offer, terms.assumptions, at)

    return ("profit", chosen, terms, len(left)), work  # whoever has left stays gone, so their number tells whether more have


def gains(pair: Pair, chosen: Filter, by: str, terms: Terms) -> Question[tuple[Gain, ...]]:
    """What offers bring in each group of a column, likewise."""
    value = expected_value_sql(pair.schema, terms.offer, terms.assumptions) or "NULL"
    left = _list.left(pair)
    return ("gains", chosen, by, terms, len(left)), lambda: pair.snapshot.gains(value, by, chosen, left)


@dataclass(frozen=True, slots=True)
class Worth:
    """What rankings of customers that no model had seen are worth, a customer: the model's, a perfect one, and none."""

    customers: int
    model: MaximumProfit
    perfect: MaximumProfit
    none: MaximumProfit


def worth(pair: Pair, terms: Terms) -> Question[Worth | None]:
    """EMPC on the customers kept apart in training; None where it cannot be computed."""

    def work() -> Worth | None:
        left, risk = pair.answer("kept apart", lambda: _kept_apart(pair))
        totals = pair.totals(Filter())
        known = totals.customers - totals.without_money
        if left is None or risk is None or totals.revenue is None or not known:
            return None
        value = customer_value(totals.revenue / known, pair.schema, terms.assumptions)
        if value is None or not float(value) > terms.offer or not 0 < left.sum() < len(left):
            return None

        def most(score: Any) -> MaximumProfit:
            return expected_maximum_profit(left, score, float(value), terms.offer, terms.assumptions)

        return Worth(len(left), most(risk), most(left.astype(np.float64)), most(np.zeros(len(left))))

    return ("ranking worth", terms.offer, terms.assumptions), work


def _kept_apart(pair: Pair) -> tuple[Any, Any]:
    """Who left of the customers kept apart in training, and the model's risk of each; nothing where the bundle has none."""
    if HOLDOUT not in pair.bundle.extra:
        return None, None
    rows = pl.read_parquet(io.BytesIO(pair.bundle.extra[HOLDOUT]))
    try:
        risk = pair.bundle.model.score(rows).risk
    except ChurnError:  # what an estimator cannot score is no reason to show no page
        return None, None
    return rows[LEFT].to_numpy() == 1, np.asarray(risk, dtype=np.float64)
