"""How good a model's probabilities are, and how sure one can be of that.

Every measure is computed on groups of equal predictions, so the order of tied rows never matters, and a resampled table is
just other weights on the same groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from churn.model.metrics import (
    MEASURES,
    TINY,
    CalibrationBin,
    Estimate,
    Metrics,
    Recalibration,
    calibration_bins,
    recalibrate,
)

HIGHER_IS_BETTER = {"roc_auc": True, "pr_auc": True, "log_loss": False, "brier": False, "ece": False, "top_decile_lift": True}
WORDS = {
    "roc_auc": "ROC-AUC",
    "pr_auc": "PR-AUC",
    "log_loss": "Log-loss",
    "brier": "Brier score",
    "ece": "Calibration error (ECE)",
    "top_decile_lift": "Top-decile lift",
}

ECE_BINS = 10
TOP_SHARE = 0.1
CONFIDENCE = 0.95
BOOTSTRAP_DRAWS = 300
_GAIN_STEPS = 100


@dataclass(frozen=True, slots=True)
class FoldPrediction:
    """What one fold's model said about the rows it had not seen."""

    train_rows: int
    rows: np.ndarray  # int [n], positions in the table
    probability: np.ndarray  # float [n]
    repeat: int = 0


# -- the measures ------------------------------------------------------------


def measure(y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    """All measures of predictions `p` (float [n], 0–1) for outcomes `y` (0/1 [n], both present).

    - `roc_auc`: Mann–Whitney, ties count half.
    - `pr_auc`: average precision Σ (Rₙ − Rₙ₋₁)·Pₙ over distinct predictions.
    - `log_loss`, `brier`: means over rows; natural logarithm.
    - `ece`: expected calibration error (Naeini et al. 2015) over 10 bins of equal mass (Nguyen & O'Connor 2015).
    - `top_decile_lift`: rate among the k = max(1, round(n/10)) riskiest over the overall rate; customers tied at the edge
      count with their average.

    Raises ValueError where only one class is present.
    """
    grouped = _Grouped(y, p)
    return grouped.measure(np.ones(len(grouped.y)))


def lift(y: np.ndarray, p: np.ndarray, share: float) -> float:
    """Rate of leavers among the riskiest `share` of rows, over the overall rate; k = max(1, round(n·share))."""
    grouped = _Grouped(y, p)
    return grouped.lift(*grouped.sums(np.ones(len(grouped.y))), share)


class _Grouped:
    """Outcomes by distinct prediction, riskiest first; row weights make a resampled table."""

    def __init__(self, y: np.ndarray, p: np.ndarray) -> None:
        self.y = np.asarray(y, dtype=np.float64)
        p = np.asarray(p, dtype=np.float64)
        if len(self.y) != len(p):
            raise ValueError(f"{len(self.y)} outcomes but {len(p)} predictions")
        if len(p) == 0 or self.y.min() == self.y.max():
            raise ValueError("measures need rows of both classes")
        distinct, inverse = np.unique(-p, return_inverse=True)
        self.p = -distinct
        self.group = inverse
        clipped = np.clip(self.p, TINY, 1 - TINY)
        self._loss_if_left, self._loss_if_stayed = -np.log(clipped), -np.log1p(-clipped)

    def sums(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        size = len(self.p)
        return np.bincount(self.group, weights, size), np.bincount(self.group, weights * self.y, size)

    def measure(self, weights: np.ndarray) -> dict[str, float]:
        n, left = self.sums(weights)
        stayed = n - left
        total, positives, negatives = n.sum(), left.sum(), stayed.sum()
        seen, found = np.cumsum(n), np.cumsum(left)
        kept = n > 0
        precision = found[kept] / seen[kept]
        bins = np.minimum((ECE_BINS * (seen - n / 2) / total).astype(np.int64), ECE_BINS - 1)
        return {
            "roc_auc": float((stayed * (found - left / 2)).sum() / (positives * negatives)),
            "pr_auc": float((left[kept] * precision).sum() / positives),
            "log_loss": float((left * self._loss_if_left + stayed * self._loss_if_stayed).sum() / total),
            "brier": float((left * (1 - self.p) ** 2 + stayed * self.p**2).sum() / total),
            "ece": float(np.abs(np.bincount(bins, left - n * self.p, ECE_BINS)).sum() / total),
            "top_decile_lift": self.lift(n, left, TOP_SHARE),
        }

    def lift(self, n: np.ndarray, left: np.ndarray, share: float) -> float:
        total = n.sum()
        k = max(1.0, round(float(total) * share))
        found = np.interp(k, np.concatenate([[0.0], np.cumsum(n)]), np.concatenate([[0.0], np.cumsum(left)]))
        return float(found / k / (left.sum() / total))


# -- intervals ---------------------------------------------------------------


def corrected_estimate(values: Sequence[float], test_to_train: float) -> Estimate:
    """Mean of one figure a fold, with the corrected resampled standard error.

    Folds share their training rows, so the plain standard error is far too small; Nadeau & Bengio (2003) replace 1/J by
    1/J + n_test/n_train. The interval takes Student's t with J − 1 degrees of freedom. Given differences of two models on
    the same folds, it is the paired comparison.

    Parameters
    ----------
    values: one figure for each of J ≥ 1 folds; a single fold has no standard error (nan).
    test_to_train: rows tested over rows trained on, in one fold.
    """
    from scipy.stats import t

    figures = np.asarray(values, dtype=np.float64)
    mean, count = float(figures.mean()), len(figures)
    if count < 2:
        return Estimate(mean, float("nan"), float("nan"), float("nan"))
    error = float(np.sqrt((1 / count + test_to_train) * figures.var(ddof=1)))
    reach = float(t.ppf((1 + CONFIDENCE) / 2, count - 1)) * error
    return Estimate(mean, error, mean - reach, mean + reach)


def _resampled(groups: np.ndarray | None, rows: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Row weights [rows] of bootstrap samples; whole groups are drawn together."""
    clusters = np.arange(rows) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    count = int(clusters.max()) + 1
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        yield np.bincount(rng.integers(0, count, count), minlength=count)[clusters].astype(np.float64)


def _bootstrap(
    y: np.ndarray, p: np.ndarray, groups: np.ndarray | None, seed: int, draws: int = BOOTSTRAP_DRAWS
) -> dict[str, Estimate]:
    """Every measure with its bootstrap interval (percentiles); whole customers are drawn where a key repeats."""
    grouped = _Grouped(y, p)
    plain = grouped.measure(np.ones(len(grouped.y)))
    results: list[list[float]] = []
    for weights in _resampled(groups, len(grouped.y), draws, seed):
        positives = float((weights * grouped.y).sum())
        if 0 < positives < weights.sum():  # a draw of one class says nothing about either
            results.append(list(grouped.measure(weights).values()))
    figures = np.asarray(results)
    lows, highs = np.percentile(figures, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)], axis=0)
    errors = figures.std(axis=0, ddof=1)
    estimates = {
        name: Estimate(value, float(errors[i]), float(lows[i]), float(highs[i])) for i, (name, value) in enumerate(plain.items())
    }
    estimates["ece"] = _above_zero(plain["ece"], estimates["ece"].standard_error)
    return estimates


def _above_zero(value: float, error: float) -> Estimate:
    """A normal interval cut at 0: a resampled calibration error is nearly always larger than the one of the sample, since
    noise adds to it, so the percentiles would lie to one side of the figure."""
    reach = 1.959963984540054 * error
    return Estimate(value, error, max(0.0, value - reach), value + reach)


@dataclass(frozen=True, slots=True)
class Paired:
    """Two models on the same rows, the first and the second: each measure for both, and in what share of bootstrap samples
    the second has the lower log-loss, the higher ROC-AUC (ties count half). `difference`: of log-loss, second minus first."""

    rows: int
    left: int
    log_loss: tuple[float, float]
    roc_auc: tuple[float, float]
    difference: Estimate
    loss_lower: float
    auc_higher: float


def paired(
    y: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    seed: int = 0,
    draws: int = BOOTSTRAP_DRAWS,
) -> Paired:
    """Hold two models' predictions (float [n], 0–1) against each other by a paired bootstrap (Efron & Tibshirani 1993, ch. 16):
    both are measured on each resampled table, so that what is easy or hard about its rows cancels.

    Parameters
    ----------
    y: 0/1 [n], both present.
    groups: the customer of each row [n], where they repeat: whole customers are drawn.

    Raises ValueError where only one class is present.
    """
    both = [_Grouped(y, first), _Grouped(y, second)]
    plain = [one.measure(np.ones(len(one.y))) for one in both]
    loss, auc = [], []
    for weights in _resampled(groups, len(both[0].y), draws, seed):
        if 0 < (weights * both[0].y).sum() < weights.sum():
            one, other = (grouped.measure(weights) for grouped in both)
            loss.append(other["log_loss"] - one["log_loss"])
            auc.append(other["roc_auc"] - one["roc_auc"])
    low, high = np.percentile(loss, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)])
    gap = plain[1]["log_loss"] - plain[0]["log_loss"]
    return Paired(
        rows=len(both[0].y),
        left=int(both[0].y.sum()),
        log_loss=(plain[0]["log_loss"], plain[1]["log_loss"]),
        roc_auc=(plain[0]["roc_auc"], plain[1]["roc_auc"]),
        difference=Estimate(gap, float(np.std(loss, ddof=1)), float(low), float(high)),
        loss_lower=_share_below(np.asarray(loss)),
        auc_higher=_share_below(-np.asarray(auc)),
    )


def _share_below(values: np.ndarray) -> float:
    """Share of values below zero, zeros counting half."""
    return float((values < 0).mean() + (values == 0).mean() / 2)


def recalibration(
    y: np.ndarray, p: np.ndarray, *, groups: np.ndarray | None = None, seed: int = 0, draws: int = 200
) -> Recalibration:
    """Intercept and slope of the logistic recalibration of `p`, with their bootstrap covariance (see Recalibration)."""
    y = np.asarray(y, dtype=np.float64)
    clipped = np.clip(np.asarray(p, dtype=np.float64), 1e-6, 1 - 1e-6)
    logit = np.log(clipped) - np.log1p(-clipped)
    # 200 fits on a few thousand cells of nearly equal logit instead of on all rows
    cells = np.unique((np.argsort(np.argsort(logit, kind="stable")) * min(2000, len(logit))) // len(logit), return_inverse=True)[
        1
    ]
    size = int(cells.max()) + 1
    center = np.bincount(cells, logit, size) / np.bincount(cells, minlength=size)
    ones = np.ones(len(y))
    start = recalibrate(center, np.bincount(cells, ones, size), np.bincount(cells, y, size), np.array([0.0, 1.0]))
    fits = []
    for weights in _resampled(groups, len(y), draws, seed):
        if 0 < (weights * y).sum() < weights.sum():
            n, left = np.bincount(cells, weights, size), np.bincount(cells, weights * y, size)
            fits.append(recalibrate(center, n, left, start))
    covariance = np.cov(np.asarray(fits).T)
    rows = tuple(tuple(float(x) for x in row) for row in covariance)
    return Recalibration(float(start[0]), float(start[1]), rows)  # type: ignore[arg-type]


# -- curves ------------------------------------------------------------------


def calibration_curve(y: np.ndarray, p: np.ndarray, bins: int = ECE_BINS) -> tuple[CalibrationBin, ...]:
    """Predicted and observed rate in bins of equal mass, lowest risk first; equal predictions share a bin."""
    grouped = _Grouped(y, p)
    n, left = grouped.sums(np.ones(len(grouped.y)))
    return calibration_bins(grouped.p, n, left, bins)


def gain_curve(y: np.ndarray, p: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Share of leavers found among the riskiest share of customers, at every percent."""
    grouped = _Grouped(y, p)
    n, left = grouped.sums(np.ones(len(grouped.y)))
    shares = np.linspace(0, 1, _GAIN_STEPS + 1)
    seen = np.concatenate([[0.0], np.cumsum(n)]) / n.sum()
    found = np.concatenate([[0.0], np.cumsum(left)]) / left.sum()
    return tuple((float(a), float(b)) for a, b in zip(shares, np.interp(shares, seen, found), strict=True))


# -- whole evaluations -------------------------------------------------------


def evaluate_holdout(y: np.ndarray, p: np.ndarray, *, groups: np.ndarray | None = None, seed: int = 0) -> Metrics:
    """Metrics on rows kept apart, with bootstrap intervals (over `groups`, the customers, where a key repeats)."""
    estimates = _bootstrap(y, p, groups, seed)
    return _metrics("holdout", y, p, groups, estimates, seed)


def evaluate_folds(y: np.ndarray, folds: Sequence[FoldPrediction], *, groups: np.ndarray | None = None, seed: int = 0) -> Metrics:
    """Metrics of cross-validation: mean over folds with the corrected standard error.

    The calibration error of a small fold is mostly noise, so it is taken over all of a repeat's rows together and gets a
    bootstrap interval; so do the curves, on each row's mean prediction over the repeats.

    Parameters
    ----------
    y: 0/1 [rows] of the whole table the folds' positions point into.
    folds: at least one; every fold must hold both classes.
    """
    y = np.asarray(y)
    rows, p = pooled(folds, len(y))
    own_groups = None if groups is None else np.asarray(groups)[rows]
    if len(folds) < 2:  # one fold says nothing about spread; resampling its rows does
        estimates = _bootstrap(y[rows], p, own_groups, seed)
    else:
        estimates = fold_estimates(y, folds, groups=groups, seed=seed)
    return _metrics("cross-validation", y[rows], p, own_groups, estimates, seed)


def fold_estimates(
    y: np.ndarray,
    folds: Sequence[FoldPrediction],
    *,
    groups: np.ndarray | None = None,
    seed: int = 0,
    draws: int = BOOTSTRAP_DRAWS,
) -> dict[str, Estimate]:
    """The figures of `evaluate_folds`, without the curves: measure → estimate."""
    y = np.asarray(y)
    ratio = judged_to_trained(folds)
    estimates = {name: corrected_estimate(values, ratio) for name, values in per_fold(y, folds).items()}
    by_repeat = []
    for repeat in sorted({fold.repeat for fold in folds}):
        of_repeat = [fold for fold in folds if fold.repeat == repeat]
        positions = np.concatenate([fold.rows for fold in of_repeat])
        by_repeat.append(measure(y[positions], np.concatenate([fold.probability for fold in of_repeat]))["ece"])
    rows, p = pooled(folds, len(y))
    around = _bootstrap(y[rows], p, None if groups is None else np.asarray(groups)[rows], seed, draws)["ece"]
    estimates["ece"] = _above_zero(float(np.mean(by_repeat)), around.standard_error)
    return estimates


def judged_to_trained(folds: Sequence[FoldPrediction]) -> float:
    """Rows judged over rows trained on, on average over the folds."""
    return float(np.mean([len(fold.rows) / fold.train_rows for fold in folds]))


def per_fold(y: np.ndarray, folds: Sequence[FoldPrediction]) -> dict[str, list[float]]:
    """Every measure in every fold, for paired comparisons: name → one figure a fold."""
    results = [measure(np.asarray(y)[fold.rows], fold.probability) for fold in folds]
    return {name: [result[name] for result in results] for name in MEASURES}


def pooled(folds: Sequence[FoldPrediction], rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Each row's mean out-of-fold probability over the repeats: positions int [m] that some fold tested, and p [m]."""
    total, times = np.zeros(rows), np.zeros(rows)
    for fold in folds:
        np.add.at(total, fold.rows, fold.probability)
        np.add.at(times, fold.rows, 1)
    tested = np.flatnonzero(times)
    return tested, total[tested] / times[tested]


def _metrics(
    where: str, y: np.ndarray, p: np.ndarray, groups: np.ndarray | None, estimates: Mapping[str, Estimate], seed: int
) -> Metrics:
    return Metrics(
        where=where,
        rows=len(y),
        positives=int(np.sum(y)),
        **{name: estimates[name] for name in MEASURES},
        calibration=calibration_curve(y, p),
        gain=gain_curve(y, p),
        recalibration=recalibration(y, p, groups=groups, seed=seed),
    )
