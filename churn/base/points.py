"""What is asked about the points of a scored base, and how it is put in SQL: which columns matter, how, and who is alike.

Points lie in the base as whole hundredths of a point (1e-4 of risk), one column per feature; a customer's add up to the risk
minus the typical customer's, to half a hundredth. Where reasons take long only some customers have them, and averages are of
a sample chosen by a hash of the key: the riskiest, who have them too, are like nobody else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from churn.model.risk_model import HUNDREDTHS as HUNDREDTHS

_LOW, _HIGH = 0.1, 0.9  # between which 8 of 10 customers lie


@dataclass(frozen=True, slots=True)
class Weight:
    """How much a feature matters for some customers, 0–1 scale: `size` is the mean of |points|, `signed` that of the points.

    `error`, `signed_error`: their standard errors where they come from a sample; 0 where all customers count.
    """

    feature: str
    size: float
    signed: float
    error: float = 0.0
    signed_error: float = 0.0


@dataclass(frozen=True, slots=True)
class Importance:
    """What matters for the customers of a filter, or of one combination of groups in it, by `labels`.

    `counted` of the `customers` have points that count: all, or those in the sample. `average_risk` is that of those counted,
    and the typical risk plus the sum of `signed` is exactly that. `weights` are in the schema's order.
    """

    labels: tuple[str, ...]
    customers: int
    counted: int
    average_risk: float
    weights: tuple[Weight, ...]

    def __getitem__(self, feature: str) -> Weight:
        return next(one for one in self.weights if one.feature == feature)


@dataclass(frozen=True, slots=True)
class Spot:
    """The customers with one value of a feature: a group of a category, a narrow bin of a number (`low` to `high`, the values
    that are there, with the mean `at`; all None where it is not known).

    `points`: mean, 0–1 scale, and `points_low`, `points_high` between which 8 of 10 lie; None where nobody there has points.
    `average_risk` is that of all `customers`; `left` of `outcomes_known` left, and `foreseen` is what models that had not seen
    them said of those (`OutOfFold`).
    """

    label: str
    at: float | None
    low: float | None
    high: float | None
    customers: int
    counted: int
    points: float | None
    points_low: float | None
    points_high: float | None
    average_risk: float
    outcomes_known: int
    left: int
    foreseen: float | None


@dataclass(frozen=True, eq=False, slots=True)
class Dots:
    """Some customers, chosen by a hash of their key: values, points (0–1 scale) float64 [features, customers], and risk.

    `values`: by feature, one value a customer; no key is with them. `customers`: how many there are to choose from.
    """

    features: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]
    points: NDArray[np.float64]
    risk: NDArray[np.float64]
    customers: int


@dataclass(frozen=True, slots=True)
class PastRisk:
    """A customer's risk (0–1, to 1e-4) in an earlier scoring: the day it was true, and the model that gave it."""

    as_of: date
    model: str
    risk: float


# -- SQL ---------------------------------------------------------------------


def weights_sql(columns: Sequence[str], *, errors: bool) -> str:
    """Sums of |points|, of points and, where errors are asked for, of their squares, for each column in turn."""
    parts = []
    for column in columns:
        parts += [f"sum(abs({column}))", f"sum({column})"]
        if errors:
            parts.append(f"sum({column}::DOUBLE * {column})")
    return ", ".join(parts)


def weights(features: Sequence[str], sums: Sequence[float], customers: int, change: float, *, errors: bool) -> tuple[Weight, ...]:
    """From the sums of `weights_sql` to means on the 0–1 scale whose signed ones add up to `change`, the average risk minus the
    typical risk, exactly.

    What rounding to hundredths left over, half a hundredth at most, is given back in proportion to size.
    """
    step = 3 if errors else 2
    sizes = np.array(sums[0::step], dtype=np.float64) / (HUNDREDTHS * customers)
    signed = np.array(sums[1::step], dtype=np.float64) / (HUNDREDTHS * customers)
    if sizes.any():
        signed = signed + (change - signed.sum()) * sizes / sizes.sum()
    off, signed_off = np.zeros_like(sizes), np.zeros_like(sizes)
    if errors and customers > 1:
        squares = np.array(sums[2::step], dtype=np.float64) / (HUNDREDTHS**2 * customers)
        off, signed_off = (np.sqrt(np.maximum(squares - mean**2, 0) / (customers - 1)) for mean in (sizes, signed))
    listed = zip(features, sizes.tolist(), signed.tolist(), off.tolist(), signed_off.tolist(), strict=True)
    return tuple(Weight(*one) for one in listed)


def bin_sql(column: str, edges: Sequence[float]) -> str:
    """Which bin a number falls in, each up to and including its edge; the last one has no end, and no number is −1."""
    cases = " ".join(f"WHEN {column} <= ? THEN {place}" for place in range(len(edges) - 1))
    return f"(CASE WHEN {column} IS NULL THEN -1 {cases} ELSE {max(len(edges) - 1, 0)} END)"


def joined_bins(edges: Sequence[float], counts: Sequence[int], least: int) -> list[float]:
    """The edges that are left when neighbouring bins are joined until each has at least so many customers."""
    kept: list[float] = []
    held = 0
    for edge, count in zip(edges, counts, strict=True):
        held += count
        if held >= least:
            kept.append(edge)
            held = 0
    if not kept:
        return list(edges[-1:])
    kept[-1] = edges[-1]  # what is left over at the end joins the last one
    return kept


def spot_sql(column: str, sampled: str) -> str:
    """The figures of a spot: how many count, mean points, their spread."""
    which = f" FILTER (WHERE {sampled})" if sampled else ""
    return f"count({column}){which}, avg({column}){which}, quantile_cont({column}, [{_LOW}, {_HIGH}]){which}"


def as_share(hundredths: float | None) -> float | None:
    """Hundredths of a point on the 0–1 scale."""
    return None if hundredths is None or math.isnan(hundredths) else hundredths / HUNDREDTHS
