"""Cohorts: which groups of customers carry the risk and the money, and which filters the desk offers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from churn import words
from churn.base.groups import BAND, Filter, Group, groups
from churn.base.snapshot import Lead, Segment, Snapshot
from churn.base.value import Interval
from churn.data.schema import Schema
from churn.understand.leanings import Leanings

__all__ = [
    "BAND",
    "Cohort",
    "CohortTable",
    "Cohorts",
    "Dimension",
    "Filter",
    "Group",
    "as_frame",
    "cohort_table",
    "dimensions",
    "groups",
    "segments",
]

FIRST = 3  # filters in view; the others under "More filters"
SHOWN = 8
_TELLING = 0.05  # correlation ratio; at an average risk of 26% the groups then lie 2 points from it
_MOST_CHOICES = 12  # a column with more groups than that is no help in a list of segments


@dataclass(frozen=True, slots=True)
class Dimension:
    """A column that customers can be filtered and grouped by. `labels`: the groups anybody is in, in their order."""

    column: str
    label: str
    labels: tuple[str, ...]
    first: bool  # in view; else under "More filters"


@dataclass(frozen=True, slots=True)
class Cohorts:
    """The groups of customers with most revenue at risk (most leavers where there is no money), the largest first.

    `columns` were combined; `others` is how many further groups there are, `others_customers` how many are in them. Groups of
    fewer customers than the setting `small_group` are there too, flagged `small`: their figures say little.
    """

    columns: tuple[str, ...]
    rows: tuple[Segment, ...]
    others: int
    others_customers: int
    others_leavers: float
    others_revenue: float | None

    @property
    def leading(self) -> Segment | None:
        """The first group that is large enough to speak of."""
        return next((row for row in self.rows if not row.small), None)

    @property
    def riskiest(self) -> Segment | None:
        """The group with the highest average risk among those large enough to speak of."""
        large = [row for row in self.rows if not row.small]
        return max(large, key=lambda row: row.average_risk, default=None)


@dataclass(frozen=True, slots=True)
class Cohort:
    """One group with all that is said of it: its figures, its first reason, and its risk as a multiple of the average."""

    segment: Segment
    lead: Lead | None
    against_average: float | None

    @property
    def small(self) -> bool:
        return self.segment.small


@dataclass(frozen=True, slots=True)
class CohortTable:
    """Every group of one to three columns within a filter, those with most revenue at risk (or leavers) first.

    The groups are apart and together they are everybody the filter leaves: their figures add up to `customers`,
    `expected_leavers` and `revenue_at_risk` (None without money). `average_risk` is None for nobody. `outcomes`: whether it is
    known for some who left, and tells something.
    """

    columns: tuple[str, ...]
    cohorts: tuple[Cohort, ...]
    customers: int
    expected_leavers: float
    revenue_at_risk: float | None
    average_risk: float | None
    outcomes: bool

    @property
    def large(self) -> tuple[Cohort, ...]:
        """The groups large enough to speak of."""
        return tuple(one for one in self.cohorts if not one.small)

    @property
    def small(self) -> tuple[Segment, ...]:
        """The groups too small to speak of."""
        return tuple(one.segment for one in self.cohorts if one.small)

    @property
    def riskiest(self) -> Cohort | None:
        """The group with the highest average risk among those large enough to speak of."""
        return max(self.large, key=lambda one: one.segment.average_risk, default=None)

    def find(self, labels: Sequence[str]) -> Cohort | None:
        """The group with these labels, in the order of `columns`."""
        return next((one for one in self.cohorts if one.segment.labels == tuple(labels)), None)


# -- what can be asked ---------------------------------------------------------


def dimensions(snapshot: Snapshot) -> tuple[Dimension, ...]:
    """Every column that can be filtered by: the schema's segments first, then its other columns in their order.

    Columns in which everybody is in one group are left out: there is nothing to choose.
    """
    schema = snapshot.schema
    rest = [feature.name for feature in schema.features if feature.name not in schema.segments]
    ordered = [name for name in (*schema.segments, *rest) if len(snapshot.groups(name)) > 1]
    return tuple(
        Dimension(name, schema.feature(name).label, snapshot.groups(name), place < FIRST) for place, name in enumerate(ordered)
    )


def telling(snapshot: Snapshot, filter: Filter) -> tuple[str, ...]:
    """One or two dimensions that tell of the risk within a filter, of those it has not narrowed to one group.

    The schema's segments come first, in their order, as long as they tell something; where none does, the column whose groups
    differ most in risk. A second column that tells nothing beside the first is left out. The risk band where nothing is free.
    """
    offered = [one for one in dimensions(snapshot) if len(one.labels) <= _MOST_CHOICES]
    free = [one.column for one in offered if len(filter.labels(one.column)) != 1]
    if not free:
        return (BAND,)
    found: tuple[str, ...] = ()
    curated = [column for column in free if column in snapshot.schema.segments]
    others = [column for column in free if column not in curated]
    for _ in range(2):
        told = _known_to_tell(snapshot, filter, found, curated, others)
        if told is None:
            break
        found = (*found, told)
    return found or (free[0],)


def _known_to_tell(
    snapshot: Snapshot, filter: Filter, beside: tuple[str, ...], curated: Sequence[str], others: Sequence[str]
) -> str | None:
    """The first of the curated columns that tells something beside those, else the most telling other; None for none."""
    before = snapshot.segments(filter, beside) if beside else ()
    for column in curated:
        if column not in beside and _tells(snapshot.segments(filter, (*beside, column)), before) >= _TELLING:
            return column
    told = {c: _tells(snapshot.segments(filter, (*beside, c)), before) for c in others if c not in beside}
    best = max(told, key=lambda column: told[column], default=None)
    return best if best is not None and told[best] >= _TELLING else None


def _tells(found: Sequence[Segment], before: Sequence[Segment]) -> float:
    """How far the risks of groups lie apart, beyond those of the coarser groups `before`: 0 nothing, 1 everything.

    The correlation ratio with the part taken off that chance alone would give so many groups (Kelley, 1935).
    """
    customers, leavers = sum(one.customers for one in found), sum(one.expected_leavers for one in found)
    average = leavers / customers if customers else 0.0
    spread = average * (1 - average)  # of leaving and staying
    if spread <= 0:
        return 0.0

    def between(groups: Sequence[Segment]) -> float:
        return sum(one.customers * (one.average_risk - average) ** 2 for one in groups) / customers

    chance = (len(found) - max(len(before), 1)) * spread / customers
    return math.sqrt(max(between(found) - between(before) - chance, 0.0) / spread)


def name_of(column: str, schema: Schema) -> str:
    """A column as people call it."""
    return "Risk band" if column == BAND else schema.feature(column).label


def within(filter: Filter, columns: Sequence[str], labels: Sequence[str]) -> Filter | None:
    """The filter narrowed to one group; None where it leaves nobody of that group."""
    for column, label in zip(columns, labels, strict=True):
        if filter.labels(column) and label not in filter.labels(column):
            return None
        filter = filter.narrowed(column, label)
    return filter


# -- answers -------------------------------------------------------------------


def segments(
    snapshot: Snapshot, filter: Filter = Filter(), columns: Sequence[str] | None = None, *, most: int = SHOWN
) -> Cohorts:
    """The groups that combine some columns, within a filter: "Month-to-month · Fibre".

    Parameters
    ----------
    columns: one to three; left out, those that tell most of the risk (`telling`).
    most: how many groups to name; the others are counted together.
    """
    chosen = tuple(columns) if columns else telling(snapshot, filter)
    found = snapshot.segments(filter, chosen)
    rows, others = found[:most], found[most:]
    return Cohorts(
        columns=chosen,
        rows=rows,
        others=len(others),
        others_customers=sum(row.customers for row in others),
        others_leavers=sum(row.expected_leavers for row in others),
        others_revenue=sum(row.revenue_at_risk or 0.0 for row in others) if snapshot.has_money else None,
    )


def cohort_table(snapshot: Snapshot, filter: Filter, columns: Sequence[str]) -> CohortTable:
    """All groups of one to three columns with the first reason of each, in two passes over the base.

    It is complete up to `churn.base.snapshot.MOST_ROWS` groups.
    """
    found = snapshot.segments(filter, columns)
    leads = snapshot.leads(found, filter)
    customers, leavers = sum(one.customers for one in found), sum(one.expected_leavers for one in found)
    average = leavers / customers if customers else None
    return CohortTable(
        columns=tuple(columns),
        cohorts=tuple(
            Cohort(one, leads.get(one.labels), one.average_risk / average if average and not one.small else None) for one in found
        ),
        customers=customers,
        expected_leavers=leavers,
        revenue_at_risk=sum(one.revenue_at_risk or 0.0 for one in found) if snapshot.has_money else None,
        average_risk=average,
        outcomes=snapshot.outcomes_tell and any(one.outcomes_known for one in found),
    )


def stake(of: Segment | CohortTable) -> float:
    """Revenue at risk, or expected leavers where the table has no money."""
    return of.expected_leavers if of.revenue_at_risk is None else of.revenue_at_risk


def observed(segment: Segment) -> float | None:
    """Which share (0–1) of those whose outcome is known left; None where nobody's is."""
    return segment.left / segment.outcomes_known if segment.outcomes_known else None


def lead_words(lead: Lead, leanings: Leanings) -> str:
    """A group's first reason: `Raised by low tenure (47%)`, the share being that of its customers for whom it stands first."""
    fact = leanings[lead.feature].fact(lead.raises)
    return words.say("lead raises" if lead.raises else "lead lowers", fact=fact, share=words.percent(lead.share))


# -- for a file ------------------------------------------------------------------


def as_frame(table: CohortTable, schema: Schema, leanings: Leanings, *, simulated: bool) -> pl.DataFrame:
    """The table for a file: a column for each of the grouping columns, then the figures; what is too small to say is empty.

    Risks and shares are 0–1, money is in the schema's currency; the last column says what a reader has to know of a row.
    """
    cohorts, columns = table.cohorts, dict[str, pl.Series]()

    def add(name: str, values: Sequence[Any], kind: type[pl.DataType] = pl.Float64) -> None:
        while name in columns:  # a grouping column may be called like a figure
            name += "_"
        columns[name] = pl.Series(name, values, dtype=kind)

    def told(name: str, take: Callable[[Segment], float | None], digits: int) -> None:
        values = [None if one.small else take(one.segment) for one in cohorts]
        add(name, [None if value is None else round(value, digits) for value in values])

    def ends(name: str, take: Callable[[Segment], Interval | None]) -> None:
        told(f"{name}, likely from", lambda one: found.low if (found := take(one)) else None, 2)
        told(f"{name}, likely to", lambda one: found.high if (found := take(one)) else None, 2)

    for place, column in enumerate(table.columns):
        add(name_of(column, schema), [one.segment.labels[place] for one in cohorts], pl.String)
    add("Customers", [one.segment.customers for one in cohorts], pl.Int64)
    add("Share of customers", [round(one.segment.share, 4) for one in cohorts])
    told("Risk", lambda one: one.average_risk, 4)
    add("Risk against average", [None if one.against_average is None else round(one.against_average, 3) for one in cohorts])
    told("Expected leavers", lambda one: one.expected_leavers, 2)
    ends("Expected leavers", lambda one: one.leavers_interval)
    if schema.money is not None:
        money = f"Revenue at risk ({schema.currency}{'' if schema.money.period == 'once' else f' a {schema.money.period}'})"
        told(money, lambda one: one.revenue_at_risk, 2)
        ends(money, lambda one: one.interval)
    if table.outcomes:
        add("Outcomes known", [one.segment.outcomes_known for one in cohorts], pl.Int64)
        told("Left, of those known", observed, 4)
        told("Risk foreseen for those", lambda one: one.foreseen, 4)
    add("Top reason", [lead_words(one.lead, leanings) if one.lead and not one.small else None for one in cohorts], pl.String)
    remarks = [(("Simulated data", simulated), ("Too few customers to say", one.small)) for one in cohorts]
    add("Note", ["; ".join(text for text, holds in remark if holds) or None for remark in remarks], pl.String)
    return pl.DataFrame(list(columns.values()))
