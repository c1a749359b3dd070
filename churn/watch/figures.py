"""How good predictions are: what they promise of themselves while nobody knows who left, and what they turn out to be worth.

**Without outcomes** (confidence-based performance estimation, CBPE: the NannyML library, "Estimation of performance of the
monitored model", and Garg et al. 2022, arXiv:2201.04234, for the idea of estimating from scores alone): if the risks are right,
customer i leaves with chance pᵢ, independently of the others. A figure F(y) then has the expectation that follows from yᵢ = pᵢ,
and to first order the variance

    by chance       Σ dᵢ²·pᵢ(1−pᵢ),  dᵢ = ∂F/∂yᵢ at y = p           who leaves is drawn anew
    by calibration  gᵀ C g,  g = [Σ dᵢ·pᵢ(1−pᵢ), Σ dᵢ·pᵢ(1−pᵢ)·Lᵢ]   how surely the risks are right, Lᵢ = logit pᵢ

with C as in `churn.base.value` (the delta method: Oehlert 1992, The American Statistician 46:27). The band is where the realised
figure lies 19 times in 20 *if what the model learnt still holds*. It sees that customers have become other customers; that the
same customers leave more often than they used to (concept drift) it cannot see. A realised figure outside it shows that.

**With outcomes** each figure has the interval of its own sampling error: the area under the ROC curve by DeLong, DeLong and
Clarke-Pearson (1988, Biometrics 44:837), means by the normal law, shares by Wilson (1927).

A *list* is the first `size` customers by risk: what a call list of that length would have reached.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from churn.base.value import Covariance
from churn.errors import DataError
from churn.model.metrics import TINY, CalibrationBin, calibration_bins, recalibrate, wilson

LEVEL: Final = 0.05  # a band holds 1 − LEVEL of the time
_REACH: Final = 1.959963984540054  # standard errors to either side that do
_DOTS: Final = 10
_CELLS: Final = 2000  # of neighbouring risks, in which the slope is fitted
_EDGE: Final = 1e-6  # as near to 0 and 1 as a risk may be for its log-odds, as in the recalibration of training

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Band:
    """A figure, and where it lies 19 times in 20."""

    value: float
    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether a value lies in it, ends included."""
        return self.low <= value <= self.high

    @property
    def error(self) -> float:
        """The standard error that a normal band of this width has."""
        return (self.high - self.low) / (2 * _REACH)


@dataclass(frozen=True, slots=True)
class Confusion:
    """Customers by on the list or not, left or stayed; expected numbers where nobody knows who left."""

    listed_left: float
    listed_stayed: float
    others_left: float
    others_stayed: float


@dataclass(frozen=True, slots=True)
class Figures:
    """What predictions for `rows` customers are worth, `listed` of them on the list.

    auc: area under the ROC curve: how often, of one who left and one who stayed, the first had the higher risk (ties half);
        None where nobody left or nobody stayed.
    log_loss, brier: means over customers, natural logarithm; lower is better.
    calibration: share that left less the average risk; 0 in an estimate, whose band says how far off chance alone may put it.
    slope: of leaving on the log-odds promised (Cox 1958); 1 is right, below 1 the risks are too extreme. None in an estimate.
    expected_leavers, expected_revenue: sums of risks, of risk times money; their bands say where what happens should lie.
    left, revenue_left: what happened; None in an estimate. Money is None where there is none.
    precision: share of the list that left; recall: share of those who left that were on it; f1: 2·both/(size of list + left).
    dots: promised and observed risk of tenths of the customers, lowest first, with intervals that hold for all of them together
        (Bonferroni); empty in an estimate.
    """

    rows: int
    listed: int
    auc: Band | None
    log_loss: Band
    brier: Band
    calibration: Band
    slope: Band | None
    expected_leavers: Band
    left: int | None
    precision: Band
    recall: Band | None
    f1: Band | None
    confusion: Confusion
    expected_revenue: Band | None
    revenue_left: float | None
    dots: tuple[CalibrationBin, ...]


def estimated(p: Floats, size: int, *, money: Floats | None = None, covariance: Covariance | None = None) -> Figures:
    """What the risks say of themselves: each figure's expectation, and where the realised one will lie if the risks are right.

    Parameters
    ----------
    p: [n ≥ 1], 0–1, the highest first; equal ones in the order in which they would be called.
    size: how many are on the list, at least 1; all if there are fewer.
    money: [n], what each brings in; NaN, not known, counts as nothing.
    covariance: of the model's recalibration (`metrics["calibration_covariance"]`); without it the bands are of chance alone.

    Raises
    ------
    DataError: there is nobody, or the risks do not fall.
    """
    _check(p, size)
    n, listed = len(p), min(size, len(p))
    weight = p * (1 - p)
    odds = None if covariance is None else _log_odds(p)
    clipped = np.clip(p, TINY, 1 - TINY)

    def band(value: float, d: Floats, low: float = -math.inf, high: float = math.inf) -> Band:
        variance = float((d * d * weight).sum())
        if odds is not None:
            g = np.array([(d * weight).sum(), (d * weight * odds).sum()])
            variance += float(g @ np.asarray(covariance, dtype=np.float64) @ g)
        reach = _REACH * math.sqrt(max(variance, 0.0))
        return Band(value, max(value - reach, low), min(value + reach, high))

    expected, ones = float(p.sum()), np.ones(n)
    on_list = (np.arange(n) < listed).astype(np.float64)
    hits = float(p[:listed].sum())
    recall = hits / expected if expected else None
    f1 = 2 * hits / (listed + expected)
    loss = float(-(p * np.log(clipped) + (1 - p) * np.log1p(-clipped)).mean())
    values = None if money is None else np.nan_to_num(money)
    return Figures(
        rows=n,
        listed=listed,
        auc=_estimated_auc(p, band),
        log_loss=band(loss, (np.log1p(-clipped) - np.log(clipped)) / n, 0.0),
        brier=band(float(weight.mean()), (1 - 2 * p) / n, 0.0, 1.0),
        calibration=band(0.0, ones / n, -1.0, 1.0),
        slope=None,
        expected_leavers=band(expected, ones, 0.0, float(n)),
        left=None,
        precision=band(hits / listed, on_list / listed, 0.0, 1.0),
        recall=None if recall is None else band(recall, (on_list - recall) / expected, 0.0, 1.0),
        f1=band(f1, (2 * on_list - f1) / (listed + expected), 0.0, 1.0),
        confusion=Confusion(hits, listed - hits, expected - hits, n - listed - expected + hits),
        expected_revenue=None if values is None else band(float((p * values).sum()), values),
        revenue_left=None,
        dots=(),
    )


def realised(p: Floats, left: NDArray[np.int8], size: int, *, money: Floats | None = None) -> Figures:
    """What the predictions turned out to be worth.

    Parameters
    ----------
    left: [n], 1 for who left, 0 for who stayed. The rest is as in `estimated`; so are its errors.
    """
    _check(p, size)
    n, listed = len(p), min(size, len(p))
    y = np.asarray(left, dtype=np.float64)
    promised = estimated(p, size, money=money)
    gone, hits = int(y.sum()), float(y[:listed].sum())
    clipped = np.clip(p, TINY, 1 - TINY)
    share = gone / n
    low, high = wilson(gone, n)
    average = float(p.mean())
    f1 = 2 * hits / (listed + gone)
    on_list = np.arange(n) < listed
    influence = n * (2 * y * on_list - f1 * (y + on_list)) / (listed + gone)
    distinct, group = _tied(p)
    sizes, leavers = _sums(group, np.ones(n)), _sums(group, y)
    return Figures(
        rows=n,
        listed=listed,
        auc=_realised_auc(group, y),
        log_loss=_mean(np.where(y == 1, -np.log(clipped), -np.log1p(-clipped)), 0.0),
        brier=_mean((y - p) ** 2, 0.0, 1.0),
        calibration=Band(share - average, low - average, high - average),
        slope=_slope(distinct, sizes, leavers),
        expected_leavers=promised.expected_leavers,
        left=gone,
        precision=Band(hits / listed, *wilson(hits, listed)),
        recall=Band(hits / gone, *wilson(hits, gone)) if gone else None,
        f1=_around(f1, influence, 0.0, 1.0) if gone else None,
        confusion=Confusion(hits, listed - hits, gone - hits, n - listed - gone + hits),
        expected_revenue=promised.expected_revenue,
        revenue_left=None if money is None else float((y * np.nan_to_num(money)).sum()),
        dots=calibration_bins(distinct, sizes, leavers, _DOTS, LEVEL / _DOTS),
    )


# -- inside --------------------------------------------------------------------


def _check(p: Floats, size: int) -> None:
    if len(p) == 0:
        raise DataError("figures of predictions need at least one customer")
    if size < 1:
        raise DataError(f"a list has at least 1 customer, not {size}")
    if (np.diff(p) > 0).any():
        raise DataError("the risks must be sorted, the highest first")


def _log_odds(p: Floats) -> Floats:
    inside = np.clip(p, _EDGE, 1 - _EDGE)
    return np.log(inside) - np.log1p(-inside)


def _tied(p: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """The distinct risks, highest first, and for each row the place of its own."""
    new = np.concatenate([[True], np.diff(p) != 0])
    return p[new], np.cumsum(new) - 1


def _sums(group: NDArray[np.int64], values: Floats) -> Floats:
    """The sum of each group's values."""
    return np.bincount(group, values).astype(np.float64)


def _beaten(group: NDArray[np.int64], weight: Floats) -> tuple[Floats, Floats]:
    """For each row the weight of the rows ranked below it and of those above it, rows tied with it counting half."""
    own = _sums(group, weight)
    up_to = np.cumsum(own)
    return (up_to[-1] - up_to + own / 2)[group], (up_to - own / 2)[group]


def _estimated_auc(p: Floats, band: Callable[[float, Floats, float, float], Band]) -> Band | None:
    """The area under the curve that would be expected: of pairs of different customers, by the chance that they are a pair.

    A = S/D with S = Σ_{i≠j} pᵢ(1−pⱼ)·kᵢⱼ and D the same without k, where k is 1 for i ranked above j, ½ for a tie. Its
    derivative by yᵢ is (Fᵢ − Gᵢ − A·(F¹ᵢ − G¹ᵢ))/D: F, G are the expected stayers below and leavers above i, F¹, G¹ all of each.
    """
    stay = 1 - p
    _, group = _tied(p)
    below, _ = _beaten(group, stay)
    _, above = _beaten(group, p)
    stayers, leavers = below - stay / 2, above - p / 2  # nobody is a pair with themselves
    all_stayers, all_leavers = stay.sum() - stay, p.sum() - p
    pairs = float((p * all_stayers).sum())
    if pairs <= 0:
        return None
    area = float((p * stayers).sum()) / pairs
    return band(area, (stayers - leavers - area * (all_stayers - all_leavers)) / pairs, 0.0, 1.0)


def _realised_auc(group: NDArray[np.int64], y: Floats) -> Band | None:
    """The area under the curve, with the standard error of DeLong et al. (1988)."""
    gone, stayed = float(y.sum()), float(len(y) - y.sum())
    if not gone or not stayed:
        return None
    below, _ = _beaten(group, 1 - y)
    _, above = _beaten(group, y)
    of_leavers, of_stayers = below[y == 1] / stayed, above[y == 0] / gone
    area = float(of_leavers.mean())
    if gone < 2 or stayed < 2:
        return Band(area, 0.0, 1.0)
    variance = of_leavers.var(ddof=1) / gone + of_stayers.var(ddof=1) / stayed
    reach = _REACH * math.sqrt(variance)
    return Band(area, max(area - reach, 0.0), min(area + reach, 1.0))


def _mean(values: Floats, low: float = -math.inf, high: float = math.inf) -> Band:
    return _around(float(values.mean()), values - values.mean(), low, high)


def _around(value: float, influence: Floats, low: float, high: float) -> Band:
    """A figure that each row moves by influence/n, with its normal band."""
    n = len(influence)
    reach = _REACH * math.sqrt(float((influence * influence).sum()) / max(n - 1, 1) / n) if n > 1 else math.inf
    return Band(value, max(value - reach, low), min(value + reach, high))


def _slope(distinct: Floats, rows: Floats, left: Floats) -> Band | None:
    """The slope of the recalibration with its Wald band; None where nobody left, nobody stayed, or all have about one risk."""
    gone, size = left.sum(), rows.sum()
    odds = _log_odds(distinct)
    if not 0 < gone < size or np.ptp(odds) < 1e-9:
        return None
    cell = ((np.cumsum(rows) - 1) * min(_CELLS, int(size)) // size).astype(np.int64)
    n, y, x = _sums(cell, rows), _sums(cell, left), _sums(cell, rows * odds)
    there = n > 0
    n, y, x = n[there], y[there], x[there] / n[there]
    intercept, slope = recalibrate(x, n, y, np.array([0.0, 1.0]))
    q = 1 / (1 + np.exp(-np.clip(intercept + slope * x, -35, 35)))
    w = n * q * (1 - q)
    information = float((w * x * x).sum() - (w * x).sum() ** 2 / w.sum())
    if information <= 0:
        return None
    reach = _REACH / math.sqrt(information)
    return Band(float(slope), float(slope) - reach, float(slope) + reach)
