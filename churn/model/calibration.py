"""From a model's margin (log-odds) to a probability that money can be computed from: smooth and monotone.

A step function (isotonic) is not offered: it would flatten the reasons of everybody who stands on the same step.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from itertools import product
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from churn.errors import BundleRejected, TrainingError, in_words

Floats = npt.NDArray[np.float64]
Kind = Literal["identity", "logistic", "beta"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_MAX_STEPS = 100
_RIDGE = 1e-10  # keeps Newton's step defined where all margins are the same


@dataclass(frozen=True, slots=True)
class Calibrator:
    """p = σ(h(f)) with f the margin and h increasing.

    identity: h(f) = f. logistic (Platt 1999): h(f) = a·f + c.
    beta (Kull, Silva Filho and Flach 2017, eq. 7): h(f) = a·ln σ(f) − b·ln(1 − σ(f)) + c. Both with a, b ≥ 0.
    """

    kind: Kind = "identity"
    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    @classmethod
    def fit(cls, margins: Floats, y: npt.ArrayLike, kind: Kind) -> Calibrator:
        """Maximum likelihood on margins [n] and outcomes [n] (0 or 1), a and b held at or above 0.

        Outcomes are smoothed to (n₁ + 1)/(n₁ + 2) and 1/(n₀ + 2) (Platt 1999, section 2.2), so that the parameters are finite
        even where margins separate the classes. Raises TrainingError where one class is absent.
        """
        if kind == "identity":
            return cls()
        margins = np.asarray(margins, dtype=np.float64)
        left = np.asarray(y, dtype=np.float64) == 1
        positives, negatives = int(left.sum()), int((~left).sum())
        if not positives or not negatives:
            raise TrainingError(f"a calibrator needs both outcomes; of {left.size} rows {positives} left")
        target = np.where(left, (positives + 1) / (positives + 2), 1 / (negatives + 2))
        if kind == "logistic":
            a, c = _fit(np.column_stack([margins, np.ones_like(margins)]), target)
            return cls(kind, a=a, c=c)
        a, b, c = _fit(np.column_stack([-softplus(-margins), softplus(margins), np.ones_like(margins)]), target)
        return cls(kind, a=a, b=b, c=c)

    def log_odds(self, margins: Floats) -> Floats:
        """Calibrated log-odds of margins, any shape."""
        if self.kind == "identity":
            return margins
        if self.kind == "logistic":
            return self.a * margins + self.c
        return self.b * softplus(margins) - self.a * softplus(-margins) + self.c

    def probability(self, margins: Floats) -> Floats:
        """Probability (0–1) of margins, any shape."""
        return sigmoid(self.log_odds(margins))

    def slope(self, margins: Floats) -> Floats:
        """The derivative of `probability` with respect to the margin."""
        p = self.probability(margins)
        if self.kind == "identity":
            return p * (1 - p)
        if self.kind == "logistic":
            return self.a * p * (1 - p)
        s = sigmoid(margins)
        return (self.a * (1 - s) + self.b * s) * p * (1 - p)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Calibrator:
        """Read a calibrator. Raises BundleRejected where the text is none, or would not be monotone."""
        try:
            document = json.loads(text)
            kind = document["kind"]
            a, b, c = (float(document[name]) for name in "abc")
        except (ValueError, KeyError, TypeError) as error:
            raise BundleRejected(f"the calibrator cannot be read: {in_words(error)}") from error
        if kind not in KINDS:
            raise BundleRejected(f"calibrator {kind!r} is not known; it must be one of {', '.join(KINDS)}")
        if not (np.isfinite([a, b, c]).all() and a >= 0 and b >= 0):
            raise BundleRejected(f"a calibrator's a and b must be ≥ 0 and all finite; this one has a {a}, b {b}, c {c}")
        return cls(kind, a, b, c)


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + e⁻ˣ), exact to rounding on both sides and never overflowing."""
    e = np.exp(-np.abs(x))
    return np.where(np.asarray(x) >= 0, 1.0, e) / (1.0 + e)


def softplus(x: Floats) -> Floats:
    """ln(1 + eˣ) = −ln(1 − σ(x)), never overflowing."""
    result: Floats = np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))
    return result


def _fit(design: Floats, target: Floats) -> tuple[float, ...]:
    """Logistic regression of design [n, d] with all coefficients but the last ≥ 0.

    The loss is convex and d ≤ 3: the best of all choices of coefficients held at 0 is the constrained optimum.
    """
    best, lowest = np.zeros(design.shape[1]), np.inf
    for free in product((True, False), repeat=design.shape[1] - 1):
        used = np.flatnonzero((*free, True))
        weights, loss = _newton(design[:, used], target)
        if (weights[:-1] >= 0).all() and loss < lowest:
            best, lowest = np.zeros(design.shape[1]), loss
            best[used] = weights
    return tuple(float(weight) for weight in best)


def _newton(design: Floats, target: Floats) -> tuple[Floats, float]:
    """Unconstrained minimum of the mean log-loss, and its value: Newton's method, the step halved until the loss falls."""
    weights = np.zeros(design.shape[1])
    loss = _loss(design @ weights, target)
    for _ in range(_MAX_STEPS):
        p = sigmoid(design @ weights)
        gradient = design.T @ (p - target) / len(target)
        hessian = (design * (p * (1 - p))[:, None]).T @ design / len(target)
        step = np.linalg.solve(hessian + _RIDGE * np.eye(len(weights)), gradient)
        size = 1.0
        while (new := _loss(design @ (weights - size * step), target)) > loss and size > 1e-10:
            size /= 2
        if not new < loss:
            break
        weights, change, loss = weights - size * step, loss - new, new
        if change < 1e-14:
            break
    return weights, loss


def _loss(log_odds: Floats, target: Floats) -> float:
    return float(np.mean(softplus(log_odds) - target * log_odds))
