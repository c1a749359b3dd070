"""What an offer brings in all: how many customers it is worth making to, and how far a model's ranking makes it worth more.

Two questions, two tools. *How long should the list be?* is answered customer by customer from the scored base: in the order of
their expected values (`churn.base.expected_value`) the sum rises for as long as an offer is worth making. It is linear in γ, the
share of leavers that an offer keeps, EVᵢ = γ·aᵢ − bᵢ with aᵢ = pᵢ(Vᵢ − d), so the band that the Beta law of γ gives needs no
simulation: it is the same sum at two quantiles of γ.

*What is the ranking itself worth?* is answered on customers with a known outcome that the model never saw: the expected maximum
profit (EMPC: Verbraken, Verbeke and Baesens 2013, IEEE TKDE 25:961). With one value V for all, π₀ the share that left, F₀ and F₁
the shares of leavers and stayers above a threshold,

    profit(γ) = π₀F₀·[γ(V − d) − f] − (1 − π₀)F₁·(s·d + f),  a customer

For each γ the best threshold is a corner of the convex hull of the ROC curve; the profit is averaged over the law of γ, corner by
corner, in closed form through the incomplete beta function. MPC is the same at one fixed γ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from churn.base.expected_value import NO_STEP, Assumptions, best_first, customer_value, expected_value, offer_cost, steps
from churn.base.value import LEVEL
from churn.data.schema import Schema
from churn.errors import DataError
from churn.model.gates import Check, gates
from churn.model.metrics import Metrics
from churn.settings import Settings

Floats = NDArray[np.float64]

POINTS: Final = 160  # of a curve, besides the sizes that are asked for
_BEYOND: Final = 1.5  # how far a chart goes, in lists that would be best at the high end of the band
_TERMS: Final = 300  # of a continued fraction; fewer than 100 are needed at the strengths a law of γ has


@dataclass(frozen=True, slots=True)
class MaximumProfit:
    """The most that a ranking brings a customer on average, in the currency of V, and the share of customers to make an offer."""

    profit: float
    share: float


@dataclass(frozen=True, slots=True)
class Size:
    """A list of the best `customers`: what it should bring (`money`; 8 times in 10 between `low` and `high`, as far as γ goes),
    what contacts and offers cost, how many of them would leave, and what the last of them is worth by itself."""

    customers: int
    money: float
    low: float
    high: float
    cost: float
    leavers: float
    last: float


@dataclass(frozen=True, slots=True)
class ProfitCurve:
    """What lists of different sizes bring, from nobody to everybody.

    `best`: the size that brings most; of no use are offers beyond it. `least_best`, `most_best`: the sizes that would bring most
    at the low and the high end of the band. `leavers`: how many of all are expected to leave; `unvalued`: how many customers
    have no known worth and are on no list. `least_risk`: the lowest risk on the list of the best size, None where it is empty.
    """

    sizes: tuple[Size, ...]
    best: Size
    least_best: int
    most_best: int
    customers: int
    leavers: float
    unvalued: int
    least_risk: float | None

    def at(self, customers: int) -> Size:
        """The list of that size, as far as there are so many; one that was not asked for is read off between its neighbours."""
        wanted = min(max(customers, 0), self.customers)
        sizes = [size.customers for size in self.sizes]
        place = int(np.searchsorted(sizes, wanted))
        right = self.sizes[place]
        if right.customers == wanted:
            return right
        left = self.sizes[place - 1]
        along = (wanted - left.customers) / (right.customers - left.customers)
        names = ("money", "low", "high", "cost", "leavers", "last")
        between = [getattr(left, name) + along * (getattr(right, name) - getattr(left, name)) for name in names]
        return Size(wanted, *between)

    @property
    def reach(self) -> int:
        """How far a chart of it need go: well beyond the best size, where it only falls."""
        return min(self.customers, round(self.most_best * _BEYOND)) or self.customers

    def chosen(self, capacity: int | None) -> Size:
        """The list to make: the best size, or as many as can be called."""
        return self.best if capacity is None or capacity >= self.best.customers else self.at(capacity)


# -- the base: how long a list ---------------------------------------------------


def profit_curve(
    risk: Floats,
    money: Floats,
    schema: Schema,
    offer: float,
    assumptions: Assumptions,
    at: Sequence[int] = (),
    without: NDArray[np.int64] | None = None,
) -> ProfitCurve:
    """What lists of the customers of best expected value bring.

    Parameters
    ----------
    risk: float64 [n], 0–1. money: float64 [n], in the schema's currency per its period, NaN where not known: such customers
        cannot be ranked by worth and are counted apart.
    offer: d, what an offer costs once taken. at: sizes that are wanted exactly, such as a capacity.
    without: indices of customers who are not counted at all.

    Equals are taken in their order. Of more than 65,535 customers every sum is exact, but sizes that were not asked for, and
    those that bring most at the ends of the band, are where the worth changes by a part in 128
    (`churn.base.expected_value.steps`), and the last customer's worth is the mean of such a step.

    Raises DataError where the schema has no money: nothing is made up.
    """
    value = customer_value(money, schema, assumptions)
    if value is None:
        raise DataError("what an offer is worth cannot be said of customers without money; name a money column in the schema")
    away = np.zeros(0, dtype=np.int64) if without is None else without
    worth = expected_value(risk, value, offer, assumptions)
    worth[away] = np.nan
    ladder = _Ladder(risk, value, worth)
    sums = ladder.sums
    low, high = acceptance_band(assumptions)
    least_best, most_best = (int(sums.k[sums.money(gamma, offer, assumptions).argmax()]) for gamma in (low, high))
    pays = worth > 0
    n, best = int(sums.k[-1]), int(np.count_nonzero(pays))
    reach = min(n, round(most_best * _BEYOND))  # half of the points lie where the list can end, half cover everybody
    even = np.concatenate([np.linspace(0, reach, POINTS // 2 + 1), np.linspace(reach, n, POINTS // 2 + 1)])
    told = ladder.told(even, np.clip(np.asarray([*at, best], dtype=np.int64), 0, n))
    at_mean, at_low, at_high = (told.money(gamma, offer, assumptions) for gamma in (assumptions.acceptance, low, high))
    cost = told.k * offer_cost(told.p / np.maximum(told.k, 1), offer, assumptions)  # a straight line in p: of the mean, the mean
    parts = (at_mean, np.minimum(at_low, at_high), np.maximum(at_low, at_high), cost, told.p, told.last)
    sizes = tuple(Size(int(size), *map(float, rest)) for size, *rest in zip(told.k, *parts, strict=True))
    return ProfitCurve(
        sizes=sizes,
        best=next(size for size in sizes if size.customers == best),
        least_best=least_best,
        most_best=most_best,
        customers=n,
        leavers=float(risk.sum() - risk[away].sum()),
        unvalued=len(risk) - len(away) - n,
        least_risk=float(risk[pays].min()) if best else None,
    )


@dataclass(frozen=True, eq=False, slots=True)
class _Sums:
    """Sums over the best k customers, for rising k: `p` Σ p, `pv` Σ p·V; `last`: what the last of them is worth."""

    k: NDArray[np.int64]
    p: Floats
    pv: Floats
    last: Floats

    def money(self, gamma: float, offer: float, assumptions: Assumptions) -> Floats:
        """γ·Σ p(V − d) − Σ [f + (1 − p)·s·d] for each k."""
        spent = self.k * assumptions.contact_cost + (self.k - self.p) * assumptions.stayers_taking * offer
        return np.asarray(gamma * (self.pv - offer * self.p) - spent)


class _Ladder:
    """Customers by the steps of their worth (`churn.base.expected_value.steps`), with the sums from the best down to each."""

    def __init__(self, risk: Floats, value: Floats, worth: Floats) -> None:
        self._risk, self._value, self._worth, self._step = risk, value, worth, steps(worth)
        places = self._step.astype(np.int64)
        customers = np.bincount(places, minlength=NO_STEP + 1)[:NO_STEP]
        self._there = np.flatnonzero(customers)
        n = customers[self._there]
        p, pv, total = (
            np.bincount(places, weights=part, minlength=NO_STEP + 1)[self._there] for part in (risk, risk * value, worth)
        )
        self.sums = _Sums(_up_to(n).astype(np.int64), _up_to(p), _up_to(pv), np.insert(total / n, 0, 0.0))

    def told(self, near: Floats, exact: NDArray[np.int64]) -> _Sums:
        """The sums at the steps nearest to some sizes, and exactly at others."""
        k = self.sums.k
        after = np.searchsorted(k, near).clip(0, len(k) - 1)
        before = np.maximum(after - 1, 0)
        places = np.where(near - k[before] < k[after] - near, before, after)
        sizes, first = np.unique(np.concatenate([k[places], exact]), return_index=True)
        rows = [self._at(place) for place in places] + [self._exactly(size) for size in exact.tolist()]
        return _Sums(sizes, *np.array(rows)[first].T)

    def _at(self, place: int) -> tuple[float, float, float]:
        return self.sums.p[place], self.sums.pv[place], self.sums.last[place]

    def _exactly(self, size: int) -> tuple[float, float, float]:
        place = int(np.searchsorted(self.sums.k, size))
        if self.sums.k[place] == size:
            return self._at(place)
        inside = np.flatnonzero(self._step == self._there[place - 1])  # the size lies within a step: take the best of it
        best = inside[best_first(self._worth[inside])[: size - int(self.sums.k[place - 1])]]
        p, pv, _ = self._at(place - 1)
        return p + self._risk[best].sum(), pv + (self._risk[best] * self._value[best]).sum(), self._worth[best[-1]]


def acceptance_band(assumptions: Assumptions) -> tuple[float, float]:
    """The values between which γ lies 8 times in 10, equally often below and above."""
    tail = (1 - LEVEL) / 2
    return (
        beta_quantile(tail, assumptions.alpha, assumptions.beta),
        beta_quantile(1 - tail, assumptions.alpha, assumptions.beta),
    )


def doubt(holdout: Metrics | None, settings: Settings) -> Check | None:
    """Why no money may be told from a model's risks: the gate of calibration that it fails; None where it passes.

    Money is a sum of risks times worth, so a percentage that is off is money made up. `holdout`: the model's metrics there.
    """
    checks = gates(holdout, None, settings)
    return next((check for check in checks if check.name in ("holdout", "ece") and not check.passed), None)


# -- a model: what its ranking is worth ------------------------------------------


def expected_maximum_profit(
    left: NDArray[np.bool_], risk: Floats, value: float, offer: float, assumptions: Assumptions
) -> MaximumProfit:
    """EMPC of a ranking, in the currency of `value`, and the share of customers that it is reached with on average.

    Parameters
    ----------
    left: bool [n], who did leave. risk: float64 [n], any score that is higher for likelier leavers. value: V, above the offer.
    offer: d. γ ~ Beta(α, β), s and f are the assumptions'.

    Raises
    ------
    DataError: nobody left or everybody did, or an offer costs as much as a customer is worth.
    """
    stayed_found, left_found, share_left = _hull(left, risk, value, offer)
    a = assumptions
    lost = a.stayers_taking * offer + a.contact_cost  # what an offer to a stayer costs
    gained = np.diff(left_found) * share_left
    paid = np.diff(stayed_found) * (1 - share_left)
    with np.errstate(divide="ignore"):
        turns = (lost * paid / gained + a.contact_cost) / (value - offer) if len(gained) else np.zeros(0)
    turns = np.where(gained > 0, turns, np.inf)
    edges = np.clip(np.concatenate([[0.0], turns, [1.0]]), 0.0, 1.0)
    edges[-1] = 1.0
    mean = a.alpha / (a.alpha + a.beta)
    plain = np.array([beta_share(float(x), a.alpha, a.beta) for x in edges])
    weighted = mean * np.array([beta_share(float(x), a.alpha + 1, a.beta) for x in edges])
    chance, of_gamma = np.diff(plain), np.diff(weighted)  # ∫ h and ∫ γ·h over the values of γ for which a corner is the best
    leavers, stayers = share_left * left_found, (1 - share_left) * stayed_found
    profit = leavers * ((value - offer) * of_gamma - a.contact_cost * chance) - stayers * lost * chance
    return MaximumProfit(float(profit.sum()), float(((leavers + stayers) * chance).sum()))


def maximum_profit(
    left: NDArray[np.bool_], risk: Floats, value: float, offer: float, assumptions: Assumptions, acceptance: float
) -> MaximumProfit:
    """MPC: the same at a fixed share γ of leavers that the offer keeps. Raises as `expected_maximum_profit` does."""
    stayed_found, left_found, share_left = _hull(left, risk, value, offer)
    a = assumptions
    leavers, stayers = share_left * left_found, (1 - share_left) * stayed_found
    profit = leavers * (acceptance * (value - offer) - a.contact_cost) - stayers * (a.stayers_taking * offer + a.contact_cost)
    best = int(profit.argmax())
    return MaximumProfit(float(profit[best]), float(leavers[best] + stayers[best]))


def lift(left: NDArray[np.bool_], risk: Floats, share: float) -> float:
    """How many times more of the riskiest share of customers left than of all; the share is max(1, round(n·share)) of them.

    Raises DataError where nobody left.
    """
    if not left.any():
        raise DataError("lift compares with the share that left, and nobody left")
    most = max(1, round(len(left) * share))
    riskiest = np.argsort(-risk, kind="stable")[:most]
    return float(left[riskiest].mean() / left.mean())


# -- the Beta law ----------------------------------------------------------------


def beta_share(x: float, alpha: float, beta: float) -> float:
    """The chance that a Beta(alpha, beta) quantity is at most x: the regularised incomplete beta function.

    By its continued fraction (Abramowitz and Stegun 1964, 26.5.8), evaluated as Lentz (1976) does: a page needs no scipy for it.
    """
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (alpha + 1) / (alpha + beta + 2):  # there the fraction of the other tail is the fast one
        return 1.0 - beta_share(1 - x, beta, alpha) if x < 1 else 1.0
    log = math.lgamma(alpha + beta) - math.lgamma(alpha) - math.lgamma(beta) + alpha * math.log(x) + beta * math.log1p(-x)
    tiny = 1e-300
    c, d = 1.0, 1.0 - (alpha + beta) * x / (alpha + 1)
    d = 1.0 / (d if abs(d) > tiny else tiny)
    found = d
    for m in range(1, _TERMS):
        even = m * (beta - m) * x / ((alpha + 2 * m - 1) * (alpha + 2 * m))
        odd = -(alpha + m) * (alpha + beta + m) * x / ((alpha + 2 * m) * (alpha + 2 * m + 1))
        before = found
        for term in (even, odd):
            d = 1.0 + term * d
            c = 1.0 + term / c
            d = 1.0 / (d if abs(d) > tiny else tiny)
            found *= (c if abs(c) > tiny else tiny) * d
        if abs(found - before) <= 1e-16 * abs(found):
            break
    return min(math.exp(log) * found / alpha, 1.0)


def beta_quantile(share: float, alpha: float, beta: float) -> float:
    """The value that a Beta(alpha, beta) quantity stays below with that chance."""
    low, high = 0.0, 1.0
    for _ in range(60):  # halving: as near as a float tells values apart
        middle = (low + high) / 2
        if beta_share(middle, alpha, beta) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


# -- inside --------------------------------------------------------------------


def _up_to(part: NDArray[Any]) -> Floats:
    """Sums of the first k, for k from 0 to all."""
    return np.concatenate([[0.0], np.cumsum(part, dtype=np.float64)])


def _hull(left: NDArray[np.bool_], risk: Floats, value: float, offer: float) -> tuple[Floats, Floats, float]:
    """Corners of the convex hull of the ROC curve, the shares of stayers and of leavers found; and the share that left."""
    who = np.asarray(left, dtype=bool)
    if not 0 < who.sum() < len(who):
        raise DataError(
            f"the worth of a ranking needs customers who left and some who stayed; {int(who.sum())} of {len(who)} left"
        )
    if not value > offer:
        raise DataError(f"an offer that costs {offer:g} cannot be worth making to customers worth {value:g}")
    scores = np.asarray(risk, dtype=np.float64)
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.nonzero(np.diff(scores[order]))[0], len(who) - 1)  # equals are taken together
    found = np.cumsum(who[order])[ends]
    y = np.concatenate([[0], found]).astype(np.float64)
    x = np.concatenate([[0], ends + 1 - found]).astype(np.float64)
    corners: list[int] = []
    for place in range(len(x)):
        while len(corners) > 1 and _turns_left(x, y, corners[-2], corners[-1], place):
            corners.pop()
        corners.append(place)
    return x[corners] / x[-1], y[corners] / y[-1], float(who.mean())


def _turns_left(x: Floats, y: Floats, a: int, b: int, c: int) -> bool:
    """Whether b lies on or below the line from a to c, in counts: no rounding decides."""
    return bool((x[b] - x[a]) * (y[c] - y[a]) >= (x[c] - x[a]) * (y[b] - y[a]))
