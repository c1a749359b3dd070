"""What is at stake: expected leavers and revenue at risk, with the interval they likely lie in.

For customers i with risk p, money v (v = 1 for counting heads) and L = logit p:

    expected        R = Σ p·v
    by chance       Σ p(1−p)·v²                     who leaves is drawn anew for each customer
    by calibration  gᵀ C g,  g = [Σ v·p(1−p), Σ v·p(1−p)·L]

C is the 2×2 covariance of intercept a and slope b of the recalibration logit p′ = a + b·L, bootstrapped once at training
(`metrics["calibration_covariance"]`). At a = 0, b = 1 the derivatives ∂p′/∂a = p(1−p) and ∂p′/∂b = p(1−p)·L give g: the
delta method (Oehlert 1992, The American Statistician 46:27). The two parts are independent, so their variances add;
R ± 1.2816·√variance holds 8 times in 10 where the sum is near normal. Every part is a sum over customers, hence an aggregate in
SQL for any filter at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.8

Covariance = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a figure likely lies, 8 times in 10; in the figure's own unit."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Sums:
    """The sums over some customers that all figures follow from. Money counts where it is known.

    `w` stands for p(1−p), `l` for logit p, `v` for money; `money` is Σ v, `losable` Σ v over v > 0 and `owed` Σ v over v < 0.
    """

    customers: int = 0
    p: float = 0.0
    w: float = 0.0
    wl: float = 0.0
    with_money: int = 0
    money: float = 0.0
    losable: float = 0.0
    owed: float = 0.0
    pv: float = 0.0
    wv: float = 0.0
    wlv: float = 0.0
    wvv: float = 0.0


# How a snapshot asks for `Sums`, in the order of its fields. Its columns p, wl, v are prepared once per scoring; w is cheaper to
# multiply anew than to read.
_W = "p * (1 - p)"
SUMS_SQL = (
    f"count(*), coalesce(sum(p), 0), coalesce(sum({_W}), 0), coalesce(sum(wl), 0), count(v), coalesce(sum(v), 0), "
    "coalesce(sum(greatest(v, 0)), 0), coalesce(sum(least(v, 0)), 0), coalesce(sum(p * v), 0), "
    f"coalesce(sum({_W} * v), 0), coalesce(sum(wl * v), 0), coalesce(sum({_W} * v * v), 0)"
)
WL_SQL = "CASE WHEN p > 0 AND p < 1 THEN p * (1 - p) * ln(p / (1 - p)) ELSE 0 END"  # the limit at 0 and 1 is 0


def sums(risk: NDArray[np.float64], money: NDArray[np.float64] | None = None) -> Sums:
    """The sums over customers in memory.

    Parameters
    ----------
    risk: [n], 0–1. money: [n], in the schema's currency, NaN where not known; None where the table has none.
    """
    weight = risk * (1 - risk)
    inside = weight > 0
    logit = np.zeros_like(risk)
    logit[inside] = np.log(risk[inside] / (1 - risk[inside]))
    heads = Sums(customers=len(risk), p=float(risk.sum()), w=float(weight.sum()), wl=float((weight * logit).sum()))
    if money is None:
        return heads
    known = ~np.isnan(money)
    v, p, w, wl = money[known], risk[known], weight[known], (weight * logit)[known]
    return Sums(
        *(heads.customers, heads.p, heads.w, heads.wl, int(known.sum()), float(v.sum())),
        *(float(np.maximum(v, 0).sum()), float(np.minimum(v, 0).sum())),
        *(float((p * v).sum()), float((w * v).sum()), float((wl * v).sum()), float((w * v * v).sum())),
    )


def leavers_interval(found: Sums, covariance: Covariance | None, looks: int = 1) -> Interval | None:
    """Where the number of leavers likely lies, within 0 and all; None where the model brought no covariance.

    With `looks` figures picked from as many, each interval is widened so that all of them hold together (Bonferroni).
    """
    return _interval(found.p, found.w, (found.w, found.wl), covariance, 0.0, float(found.customers), looks)


def revenue_interval(found: Sums, covariance: Covariance | None, looks: int = 1) -> Interval | None:
    """Where the revenue that leaves likely lies, in the schema's currency; None without money or covariance."""
    if not found.with_money:
        return None
    return _interval(found.pv, found.wvv, (found.wv, found.wlv), covariance, found.owed, found.losable, looks)


def _interval(
    expected: float,
    by_chance: float,
    g: tuple[float, float],
    covariance: Covariance | None,
    least: float,
    most: float,
    looks: int,
) -> Interval | None:
    if covariance is None:
        return None
    (aa, ab), (ba, bb) = covariance
    by_calibration = g[0] * g[0] * aa + g[0] * g[1] * (ab + ba) + g[1] * g[1] * bb
    half = NormalDist().inv_cdf(1 - (1 - LEVEL) / 2 / looks) * math.sqrt(max(by_chance + by_calibration, 0.0))
    return Interval(max(expected - half, least), min(expected + half, most))
