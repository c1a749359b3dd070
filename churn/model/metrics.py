"""What is known of how good a model's probabilities are: results as training measured them and as a bundle keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
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
