"""What the risks of a whole base, or of any cohort of it, go with: which columns matter, how, and what sets two groups apart.

All of it comes from the points every customer has (`churn.base.points`), over all customers, or over a stated sample where
reasons take long. Points add up: those of a cohort's customers are on average its risk minus the typical risk, so the
differences between two cohorts' mean points are exactly the gap between their mean risks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from churn import words
from churn.base.groups import Filter
from churn.base.points import Importance, Spot
from churn.base.snapshot import Snapshot
from churn.data.schema import Schema
from churn.understand.account import Step, Waterfall

Unit = Literal["column", "group"]
SHOWN = 8  # columns with a bar of their own; the others are one
OTHER = "Other"  # the business group of columns that name none


@dataclass(frozen=True, slots=True)
class Influence:
    """A column, or a business group of columns, and what it does on average, 0–1 scale.

    `size`: the mean of |points|, of the sum of them for a group; `signed`: their mean; `error`, `signed_error`: standard errors,
    0 where all customers count. `id`: the column's name, or the group's.
    """

    id: str
    label: str
    features: tuple[str, ...]
    size: float
    signed: float
    error: float
    signed_error: float


@dataclass(frozen=True, slots=True)
class Influences:
    """What matters for some customers, the most telling first.

    `counted` of the `customers` are what the figures are made from, with `average_risk`; `typical_risk` plus all the `signed` is
    that. `sampled`: whether they are a sample. `small`: too few to say.
    """

    unit: Unit
    rows: tuple[Influence, ...]
    customers: int
    counted: int
    average_risk: float
    typical_risk: float
    sampled: bool
    small: bool

    @property
    def error(self) -> float:
        """The largest standard error among the rows shown; 0 where all customers count."""
        return max((row.error for row in self.rows[:SHOWN]), default=0.0)


@dataclass(frozen=True, slots=True)
class ByCohort:
    """What matters in each group of a column: `sizes[n][m]` is row n in group m, None where there are too few to say."""

    column: str
    labels: tuple[str, ...]
    customers: tuple[int, ...]
    rows: tuple[Influence, ...]
    sizes: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True, slots=True)
class Side:
    """One of two groups that are compared: what it is called, who counts, and their mean risk."""

    label: str
    customers: int
    counted: int
    average_risk: float


@dataclass(frozen=True, slots=True)
class Gap:
    """What sets two groups apart: the columns' differences of mean points add up to the gap between the mean risks, exactly.

    `rows`: the largest first; `signed` is the difference, right minus left, `size` its amount.
    """

    left: Side
    right: Side
    rows: tuple[Influence, ...]
    sampled: bool

    @property
    def change(self) -> float:
        return self.right.average_risk - self.left.average_risk

    def waterfall(self, shown: int = SHOWN) -> Waterfall:
        """The way from the left group's mean risk to the right one's, in whole points that add up to what is printed."""
        own, rest = self.rows[:shown], [row for row in self.rows[shown:] if row.signed]
        parts = [row.signed for row in own] + ([sum(row.signed for row in rest)] if rest else [])
        total = words.whole_percent(self.right.average_risk) - words.whole_percent(self.left.average_risk)
        printed = words.largest_remainder([100 * part for part in parts], total)
        steps = [Step(row.features, row.label, "", row.signed, whole) for row, whole in zip(own, printed, strict=False)]
        if rest:
            features = tuple(name for row in rest for name in row.features)
            steps.append(Step(features, _others(len(rest)), "", parts[-1], printed[-1]))
        return Waterfall(self.left.average_risk, self.right.average_risk, tuple(steps))


@dataclass(frozen=True, slots=True)
class PairInfluence:
    """Two columns, and how many points (0–1 scale) they do together on average beyond what each does by itself."""

    first: str
    second: str
    size: float

    def partner(self, feature: str) -> str:
        return self.second if feature == self.first else self.first


def what_matters(snapshot: Snapshot, filter: Filter = Filter(), unit: Unit = "column") -> Influences | None:
    """How much each column, or each business group of columns, matters for the customers of a filter; None for nobody.

    A group's points are the sum of its columns': what two of them do against each other does not count twice.
    """
    parts = _parts(snapshot.schema, unit)
    found = snapshot.importance(filter, parts=parts)
    if not found:
        return None
    (one,) = found
    return Influences(
        unit=unit,
        rows=_ranked(one, parts, snapshot.schema, unit),
        customers=one.customers,
        counted=one.counted,
        average_risk=one.average_risk,
        typical_risk=snapshot.typical_risk,
        sampled=snapshot.sampled is not None,
        small=one.counted < snapshot.small_group,
    )


def by_cohort(snapshot: Snapshot, filter: Filter, column: str, unit: Unit = "column", *, shown: int = SHOWN) -> ByCohort | None:
    """How much what matters most matters in each group of a column; None for nobody."""
    whole = what_matters(snapshot, filter, unit)
    if whole is None:
        return None
    found = snapshot.importance(filter, (column,), _parts(snapshot.schema, unit))
    rows = whole.rows[:shown]
    small = snapshot.small_group
    return ByCohort(
        column=column,
        labels=tuple(one.labels[0] for one in found),
        customers=tuple(one.customers for one in found),
        rows=rows,
        sizes=tuple(tuple(None if one.counted < small else one[row.id].size for one in found) for row in rows),
    )


def gap(snapshot: Snapshot, left: Filter, right: Filter, labels: tuple[str, str], unit: Unit = "column") -> Gap | None:
    """What sets two groups apart; None where nobody is in one of them. They may overlap, or be all customers."""
    parts = _parts(snapshot.schema, unit)
    sides = [snapshot.importance(filter, parts=parts) for filter in (left, right)]
    if not all(sides):
        return None
    (first,), (second,) = sides
    rows = []
    for was, now in zip(first.weights, second.weights, strict=True):
        change = now.signed - was.signed
        off = (now.signed_error**2 + was.signed_error**2) ** 0.5
        label = was.feature if unit == "group" else snapshot.schema.feature(was.feature).label
        rows.append(Influence(was.feature, label, tuple(parts[was.feature]), abs(change), change, off, off))
    told = [Side(label, one.customers, one.counted, one.average_risk) for label, one in zip(labels, (first, second), strict=True)]
    ranked = tuple(sorted(rows, key=lambda row: -row.size))
    return Gap(told[0], told[1], ranked, snapshot.sampled is not None)


def pairs(snapshot: Snapshot) -> tuple[PairInfluence, ...]:
    """Pairs of columns by how much they matter together, over the whole base, the most telling first.

    Empty where nothing is known of pairs (an estimator, an earlier scoring), and where no two columns do anything together.
    """
    told: Mapping[str, Any] = snapshot.facts.get("pairs") or {}
    found = [PairInfluence(first, second, size) for first, second, size in told.get("sizes", ())]
    known = [one for one in found if one.first in snapshot.schema and one.second in snapshot.schema]
    return tuple(sorted(known, key=lambda one: (-one.size, one.first, one.second)))


def partner(snapshot: Snapshot, feature: str) -> str | None:
    """The column that does most together with this one; None where none does anything."""
    strongest = next((one for one in pairs(snapshot) if feature in (one.first, one.second)), None)
    return strongest.partner(feature) if strongest else None


def coarser(spots: Sequence[Spot], most: int = 12) -> tuple[Spot, ...]:
    """Neighbouring spots of a number joined until there are about `most` of them with a like number of known outcomes each, so
    that a share that left means something. A category's spots, and what is not known, stay as they are."""
    numbers = [one for one in spots if one.at is not None]
    least = max(1, sum(one.outcomes_known for one in numbers) // most)
    found: list[Spot] = []
    held: list[Spot] = []
    for one in numbers:
        held.append(one)
        if sum(part.outcomes_known for part in held) >= least:
            found.append(_joined(held))
            held = []
    if held:
        found = [*found[:-1], _joined([*found[-1:], *held])]
    return (*found, *(one for one in spots if one.at is None))


def _joined(spots: Sequence[Spot]) -> Spot:
    def mean(values: Sequence[float | None], weights: Sequence[int]) -> float | None:
        known = [(value, weight) for value, weight in zip(values, weights, strict=True) if value is not None and weight]
        total = sum(weight for _, weight in known)
        return sum(value * weight for value, weight in known) / total if total else None

    customers, known = [one.customers for one in spots], [one.outcomes_known for one in spots]
    counted = [one.counted for one in spots]
    return Spot(
        label=spots[0].label,
        at=mean([one.at for one in spots], customers),
        low=spots[0].low,
        high=spots[-1].high,
        customers=sum(customers),
        counted=sum(counted),
        points=mean([one.points for one in spots], counted),
        points_low=None,
        points_high=None,
        average_risk=mean([one.average_risk for one in spots], customers) or 0.0,
        outcomes_known=sum(known),
        left=sum(one.left for one in spots),
        foreseen=mean([one.foreseen for one in spots], known),
    )


def has_groups(schema: Schema) -> bool:
    """Whether columns are sorted into business groups: more than one of them."""
    return len(_parts(schema, "group")) > 1


# -- for a file ------------------------------------------------------------------


def influences_frame(found: Influences, *, simulated: bool) -> pl.DataFrame:
    """What matters, for a file: points of risk, two decimals; the last row is what they start from and add up to."""
    name = "Column" if found.unit == "column" else "Group"
    rows = found.rows
    table = {
        name: [row.label for row in rows],
        "Points on average, up or down": [_points(row.size) for row in rows],
        "Points on average, with sign": [_points(row.signed) for row in rows],
    }
    if found.sampled:
        table["Likely within ± (8 times in 10)"] = [_points(LIKELY * row.error) for row in rows]
    return _noted(pl.DataFrame(table), simulated)


def cohorts_frame(found: ByCohort, *, simulated: bool) -> pl.DataFrame:
    """What matters in each group, for a file: a row for each group, its customers, and a column for each row of the answer; what
    is too small to say is empty."""
    table: dict[str, list[Any]] = {"Group": list(found.labels), "Customers": list(found.customers)}
    for row, sizes in zip(found.rows, found.sizes, strict=True):
        name = f"{row.label}, points on average"
        while name in table:  # two columns may be called alike
            name += "_"
        table[name] = [None if size is None else _points(size) for size in sizes]
    return _noted(pl.DataFrame(table, strict=False), simulated)


def gap_frame(found: Gap, *, simulated: bool) -> pl.DataFrame:
    """What sets two groups apart, for a file: from the first group's risk, column by column, to the second's."""
    names = [found.left.label, *(row.label for row in found.rows), found.right.label]
    values = [found.left.average_risk, *(row.signed for row in found.rows), found.right.average_risk]
    kinds = ["Risk, %", *(["Points"] * len(found.rows)), "Risk, %"]
    return _noted(pl.DataFrame({"What": names, "Figure": [_points(value) for value in values], "Unit": kinds}), simulated)


def spots_frame(spots: Sequence[Spot], label: str, names: Sequence[str], *, simulated: bool, outcomes: bool) -> pl.DataFrame:
    """One column by value, for a file; `names`: the values in words."""

    def told(values: Sequence[float | None]) -> list[float | None]:
        return [None if value is None else _points(value) for value in values]

    table: dict[str, list[Any]] = {
        label: list(names),
        "Customers": [one.customers for one in spots],
        "Points on average": told([one.points for one in spots]),
        "8 of 10 from": told([one.points_low for one in spots]),
        "8 of 10 to": told([one.points_high for one in spots]),
        "Risk, %": told([one.average_risk for one in spots]),
    }
    if outcomes:
        table["Outcomes known"] = [one.outcomes_known for one in spots]
        table["Left, % of those"] = told([one.left / one.outcomes_known if one.outcomes_known else None for one in spots])
        table["Foreseen for those, %"] = told([one.foreseen for one in spots])
    return _noted(pl.DataFrame(table, strict=False), simulated)


LIKELY = 1.2815515655446004  # standard errors on each side that hold 8 times in 10 (the normal's quantile of 0.9)


def _noted(table: pl.DataFrame, simulated: bool) -> pl.DataFrame:
    return table.with_columns(pl.lit("Simulated data").alias("Note")) if simulated else table


def _points(value: float) -> float:
    return float(words.rounded(100 * value, 2))


def _others(count: int) -> str:
    return words.say("other column" if count == 1 else "other columns", count=words.count(count))


def _parts(schema: Schema, unit: Unit) -> dict[str, tuple[str, ...]]:
    """What points are added up under: every column by itself, or the columns of each business group."""
    if unit == "column":
        return {name: (name,) for name in schema.names}
    found: dict[str, tuple[str, ...]] = {}
    for feature in schema.features:
        group = feature.group or OTHER
        found[group] = (*found.get(group, ()), feature.name)
    return found


def _ranked(one: Importance, parts: Mapping[str, tuple[str, ...]], schema: Schema, unit: Unit) -> tuple[Influence, ...]:
    found = [
        Influence(
            weight.feature,
            weight.feature if unit == "group" else schema.feature(weight.feature).label,
            parts[weight.feature],
            weight.size,
            weight.signed,
            weight.error,
            weight.signed_error,
        )
        for weight in one.weights
    ]
    return tuple(sorted(found, key=lambda row: -row.size))
