"""What is known of how good a model's probabilities are: results as training measured them and as a bundle keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from churn.errors import BundleRejected, in_words

MEASURES = ("roc_auc", "pr_auc", "log_loss", "brier", "ece", "top_decile_lift")
TINY = float(np.finfo(np.float64).eps)  # as near to 0 and 1 as a probability may be, as in scikit-learn's log_loss


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure, its standard error and its 95 % interval."""

    value: float
    standard_error: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} ({self.low:.4f}–{self.high:.4f})"


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """One tenth of the rows by predicted risk: what was predicted, and what share left (Wilson 1927 interval)."""

    predicted: float
    observed: float
    rows: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Recalibration:
    """Logistic regression of the outcome on logit(p): 0 and 1 where p is calibrated (Cox 1958).

    `covariance`: 2 × 2 of (intercept, slope), from a bootstrap over customers. By the delta method it gives the calibration
    part of the interval of any sum over customers, such as the revenue at risk.
    """

    intercept: float
    slope: float
    covariance: tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Metrics:
    """What predictions on rows the model had not seen are worth."""

    where: str  # "cross-validation" or "holdout"
    rows: int
    positives: int
    roc_auc: Estimate
    pr_auc: Estimate
    log_loss: Estimate
    brier: Estimate
    ece: Estimate
    top_decile_lift: Estimate
    calibration: tuple[CalibrationBin, ...]
    gain: tuple[tuple[float, float], ...]  # share of customers contacted, riskiest first → share of leavers among them
    recalibration: Recalibration

    def __getitem__(self, measure: str) -> Estimate:
        if measure not in MEASURES:
            raise KeyError(measure)
        return getattr(self, measure)  # type: ignore[no-any-return]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, texts, lists: ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Metrics:
        """The metrics that `to_dict` wrote."""
        values = dict(document)
        values.update({measure: Estimate(**values[measure]) for measure in MEASURES})
        values["calibration"] = tuple(CalibrationBin(**item) for item in values["calibration"])
        values["gain"] = tuple((float(a), float(b)) for a, b in values["gain"])
        again = values["recalibration"]
        covariance = tuple(tuple(float(x) for x in row) for row in again["covariance"])
        values["recalibration"] = Recalibration(again["intercept"], again["slope"], covariance)  # type: ignore[arg-type]
        return cls(**values)


def stored(metrics: Mapping[str, Any], where: str) -> Metrics | None:
    """The metrics on the `holdout` or in `cross_validation` that a bundle's metrics.json holds; None where it holds none.

    Raises
    ------
    BundleRejected: they cannot be understood.
    """
    document = metrics.get(where)
    if not document:
        return None
    try:
        return Metrics.from_dict(document)
    except (KeyError, TypeError, ValueError) as error:
        raise BundleRejected(f"the metrics under {where!r} cannot be understood: {in_words(error)}") from error


def log_loss(y: np.ndarray, p: np.ndarray) -> float:
    """Mean of −log of the probability given to what happened (natural logarithm); y 0/1 [n], p [n]."""
    p = np.clip(p, TINY, 1 - TINY)
    return float(-np.where(np.asarray(y) == 1, np.log(p), np.log1p(-p)).mean())


# -- arithmetic that training and watching share ----------------------------------


def wilson(hits: float, rows: float, level: float = 0.05) -> tuple[float, float]:
    """Where a share of `hits` in `rows` > 0 lies, all but `level` of the time (Wilson 1927, JASA 22:209)."""
    z = NormalDist().inv_cdf(1 - level / 2)
    rate = hits / rows
    middle = (rate + z * z / (2 * rows)) / (1 + z * z / rows)
    reach = z / (1 + z * z / rows) * np.sqrt(rate * (1 - rate) / rows + z * z / (4 * rows * rows))
    return float(max(0.0, middle - reach)), float(min(1.0, middle + reach))


def calibration_bins(
    p: np.ndarray, rows: np.ndarray, left: np.ndarray, bins: int = 10, level: float = 0.05
) -> tuple[CalibrationBin, ...]:
    """Predicted and observed rate in bins of equal mass, lowest risk first; equal predictions share a bin.

    Parameters
    ----------
    p: float [m], distinct, highest first. rows, left: [m], how many rows have that prediction, and how many of them left.
    level: of each bin's interval.
    """
    place = np.minimum((bins * (np.cumsum(rows) - rows / 2) / rows.sum()).astype(np.int64), bins - 1)
    size, leavers = np.bincount(place, rows, bins), np.bincount(place, left, bins)
    predicted = np.bincount(place, rows * p, bins)
    return tuple(
        CalibrationBin(
            float(predicted[i] / size[i]),
            float(leavers[i] / size[i]),
            float(size[i]),
            *wilson(leavers[i], size[i], level),
        )
        for i in reversed(range(bins))
        if size[i] > 0
    )


def recalibrate(logit: np.ndarray, rows: np.ndarray, left: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Intercept and slope of the logistic regression of leaving on logit(p) (Cox 1958), by Newton's method.

    A whisper of ridge keeps them finite where the risk parts those who left from those who stayed.

    Parameters
    ----------
    logit, rows, left: [m], for each cell its logit(p), how many rows it has, and how many of them left.
    start: [2], where the search begins.
    """
    beta = start.copy()
    ridge = 1e-6 * rows.sum() * np.eye(2)
    for _ in range(25):
        q = 1 / (1 + np.exp(-np.clip(beta[0] + beta[1] * logit, -35, 35)))
        w = rows * q * (1 - q)
        gradient = np.array([(left - rows * q).sum(), ((left - rows * q) * logit).sum()]) - ridge @ (beta - [0.0, 1.0])
        hessian = np.array([[w.sum(), (w * logit).sum()], [(w * logit).sum(), (w * logit * logit).sum()]]) + ridge
        step = np.linalg.solve(hessian, gradient)
        beta = beta + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-9:
            break
    return beta
