"""What every model of risk can do, whichever kind it is, and what it answers.

Two kinds exist: tables (`churn.model.scoring`), and any scikit-learn estimator (`churn.model.estimator`). Whoever scores,
explains, promotes or shows a model knows this face only.

A model gives a margin f, and the risk p = g(f) with g increasing. Its contributions add up to f − f₀. The Aumann–Shapley value
of the link along the straight path from the typical margin f₀ scales them by (p − p₀)/(f − f₀), so that they add up to p − p₀
through any increasing g (Aumann and Shapley 1974; Sundararajan, Taly and Yan 2017, eq. 1, for a function of a sum).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from churn.data.schema import Schema

Floats = npt.NDArray[np.float64]
Sets = npt.NDArray[np.int64]
Effects = Sequence[Mapping[str, Any]]

HUNDREDTHS = 10_000  # of a point in a risk of 1
_NEAR = 1e-5  # margins closer than this to f₀ use the slope half-way, which is exact to its third power


@dataclass(frozen=True, eq=False, slots=True)
class Scores:
    """`risk`: probability of leaving, 0–1, float64 [rows]; `margin`: what contributions add up in, before calibration, float64
    [rows]: log-odds, or a probability where the model gives nothing else."""

    risk: Floats
    margin: Floats


@dataclass(frozen=True, eq=False, slots=True)
class Explanation:
    """Reasons: `typical_risk` + points[i].sum() = risk[i].

    `points`: float64 [rows, features], probability (0–1 scale) that each feature adds or takes away.
    """

    features: tuple[str, ...]
    risk: Floats
    typical_risk: float
    margin: Floats
    points: Floats


@dataclass(frozen=True, eq=False, slots=True)
class Reasons:
    """Scores with the strongest reasons: `feature` int16 [rows, n], the position in `feature_names` (−1: no further feature
    contributes), and its `points` float32 [rows, n], strongest first."""

    risk: Floats
    margin: Floats
    feature: npt.NDArray[np.int16]
    points: npt.NDArray[np.float32]


class RowExplanation(NamedTuple):
    """One customer: risk, points float64 [features] with typical risk + points.sum() = risk, and margin."""

    risk: float
    points: Floats
    margin: float


class RiskModel(Protocol):
    """A trained model over the features of a schema. Tables given to it are conformed (`churn.data.quality.conform`)."""

    @property
    def schema(self) -> Schema: ...

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The schema's features, in the order of an explanation's points."""
        ...

    @property
    def typical_margin(self) -> float:
        """f₀, the mean margin over the background."""
        ...

    @property
    def typical_risk(self) -> float:
        """p₀ = g(f₀), the risk of the typical customer, 0–1; not the mean of the risks."""
        ...

    @property
    def quick(self) -> bool:
        """Whether reasons cost little more than the score: then every customer of a base gets them."""
        ...

    @property
    def sampling_error(self) -> float:
        """Typical standard error of a feature's points (0–1 scale); 0 where reasons are exact. They always add up exactly."""
        ...

    def score(self, table: pl.DataFrame) -> Scores:
        """Risks of a conformed table. Raises DataError for a column that is missing or of another type."""
        ...

    def score_sets(self, row: Mapping[str, Any], effects: Effects, sets: Sets) -> Floats:
        """Risks of one conformed customer with sets of effects laid over, float64 [sets]: many at once, of few parts.

        Parameters
        ----------
        row: column → value. effects: each column → value, what it makes of the row. sets: int64 [most in a set, sets], places
        in `effects`, −1 for nothing; where two of a set set one column, the later counts.
        """
        ...

    def explain(self, table: pl.DataFrame) -> Explanation:
        """Risks of a conformed table with the points of every feature."""
        ...

    def top_reasons(self, table: pl.DataFrame, n: int) -> Reasons:
        """Risks of a conformed table with the n features that move each row most, either way."""
        ...

    def explain_row(self, row: Mapping[str, Any]) -> RowExplanation:
        """Risk and points of one conformed customer, column → value; an absent or None value is missing."""
        ...


def link_scale(
    margin: Floats, risk: Floats, typical_margin: float, typical_risk: float, slope: Callable[[Floats], Floats]
) -> Floats:
    """(p − p₀)/(f − f₀), and the derivative of p, which `slope` gives, where f is next to f₀."""
    distance = margin - typical_margin
    near = np.abs(distance) < _NEAR
    ratio = (risk - typical_risk) / np.where(near, 1.0, distance)
    if not near.any():
        return ratio
    return np.where(near, slope(typical_margin + distance / 2), ratio)


def in_hundredths(points: Floats) -> npt.NDArray[np.int32]:
    """Points (0–1 scale) [rows, features] as whole hundredths of a point [features, rows], rounded along the row.

    Each is what the rounded sum so far grows by, so that a row adds up to its own sum to half a hundredth, however many
    features there are, and no figure is off by more than one; no points stay none, and no sign turns. Whatever is printed or
    stored starts from these, so that screen, exports and command line round the same numbers.
    """
    so_far = np.cumsum(points.T, axis=0)
    so_far *= HUNDREDTHS
    np.rint(so_far, out=so_far)
    whole: npt.NDArray[np.int32] = so_far.astype(np.int32)
    whole[1:] -= whole[:-1].copy()
    return whole


def table_of(rows: Iterable[Mapping[str, Any]], schema: Schema) -> pl.DataFrame:
    """Rows, column → value, as the conformed table that a model scores in one batch."""
    kept = list(rows)
    types = {feature.name: pl.Float64 if feature.is_number else pl.String for feature in schema.features}
    return pl.DataFrame({name: [row.get(name) for row in kept] for name in types}, schema=types)


def laid_over(effects: Effects, sets: Sets) -> dict[str, Sets]:
    """Column that any effect sets → for each set, which one counts: its place in `effects` plus 1; 0 where none sets it."""
    setters: dict[str, list[int]] = {}
    for place, effect in enumerate(effects):
        for name in effect:
            setters.setdefault(name, []).append(place + 1)
    found = {}
    for name, places in setters.items():
        own = np.zeros(len(effects) + 1, dtype=np.int64)
        own[places] = places
        counts = own[sets[0] + 1]
        for layer in sets[1:]:
            later = own[layer + 1]
            counts = np.where(later > 0, later, counts)
        found[name] = counts
    return found


def table_of_sets(row: Mapping[str, Any], effects: Effects, sets: Sets, schema: Schema) -> pl.DataFrame:
    """What `score_sets` scores, as a conformed table."""
    counts = laid_over(effects, sets)
    values = table_of([row, *effects], schema)
    whose = {name: counts.get(name, np.zeros(sets.shape[1], dtype=np.int64)) for name in schema.names}
    return values.select(pl.col(name).gather(pl.lit(pl.Series(places))) for name, places in whose.items())
