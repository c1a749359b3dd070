"""Groups of customers: the values of a column as a person would sort them, and the filter made of such groups.

Categories go by the labels of their levels, numbers by bands with round edges ("0–12 months", "Over 48 months"), what is
missing as "Not known". A group can be asked for in SQL and as a polars expression, with the same answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import polars as pl

from churn import words
from churn.data.schema import Feature, Schema
from churn.errors import DataError

BAND = "__band__"  # a filter may name the risk band as if it were a column
NOT_KNOWN = "Not known"
OTHER = "Other"
MOST_LEVELS = 30  # a column with more levels shows the first of them and "Other"
_SINGLE_VALUES = 6  # a whole number with at most so many values has a group for each
_TENURE_MONTHS = (12.0, 24.0, 48.0)
_SHARES = (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True)
class Group:
    """Some of the values of one column.

    `levels`: the texts in it; `all_but`: every other text than these; `missing`: nulls too; `number`: the numbers
    above `above` (not included) up to `up_to` (included), None meaning no bound.
    """

    label: str
    levels: tuple[str, ...] = ()
    all_but: tuple[str, ...] | None = None
    missing: bool = False
    number: bool = False
    above: float | None = None
    up_to: float | None = None

    def sql(self, column: str) -> tuple[str, tuple[str | float, ...]]:
        """The condition for a column, given as (quoted) SQL, and the values to bind to its question marks."""
        ways: list[str] = []
        values: list[str | float] = []
        if self.levels:
            ways.append(f"{column} IN ({', '.join('?' * len(self.levels))})")
            values += self.levels
        if self.all_but is not None:
            ways.append(f"{column} NOT IN ({', '.join('?' * len(self.all_but))})")
            values += self.all_but
        if self.number:
            bounds = [f"{column} IS NOT NULL"]
            bounds += [f"{column} {sign} ?" for sign, bound in ((">", self.above), ("<=", self.up_to)) if bound is not None]
            values += [bound for bound in (self.above, self.up_to) if bound is not None]
            ways.append("(" + " AND ".join(bounds) + ")")
        if self.missing:
            ways.append(f"{column} IS NULL")
        return f"coalesce({' OR '.join(ways)}, false)", tuple(values)

    def expression(self, column: str) -> pl.Expr:
        """The same condition on a polars column; true or false, never null."""
        cell = pl.col(column)
        held = pl.lit(False)
        if self.levels:
            held |= cell.is_in(list(self.levels))
        if self.all_but is not None:
            held |= ~cell.is_in(list(self.all_but))
        if self.number:
            within = cell.is_not_null()
            within = within if self.above is None else within & (cell > self.above)
            held |= within if self.up_to is None else within & (cell <= self.up_to)
        held = held.fill_null(False)
        return held | cell.is_null() if self.missing else held


@dataclass(frozen=True, slots=True)
class Filter:
    """Which customers are looked at: for some columns, the labels of the groups chosen; no column means everybody.

    Values of one column widen the choice, columns narrow it. It is small and hashable, so it serves as a key of caches.
    """

    parts: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @classmethod
    def of(cls, chosen: Mapping[str, Iterable[str]]) -> Filter:
        """From column → labels; columns with no label chosen are left out; the order of either does not matter."""
        sets = ((column, tuple(sorted(set(labels)))) for column, labels in chosen.items())
        return cls(tuple(sorted((column, labels) for column, labels in sets if labels)))

    def labels(self, column: str) -> tuple[str, ...]:
        """The groups chosen for a column; empty where it does not narrow anything."""
        return dict(self.parts).get(column, ())

    def narrowed(self, column: str, *labels: str) -> Filter:
        """The filter with that column's choice replaced."""
        return Filter.of({**dict(self.parts), column: labels})

    def __bool__(self) -> bool:
        return bool(self.parts)


def groups(feature: Feature, schema: Schema, edges: Sequence[float] | None = None) -> tuple[Group, ...]:
    """The groups of a column; every possible value, missing and unseen ones too, is in exactly one of them.

    Parameters
    ----------
    edges: inner edges of a number's bands, rising, each the last value of its band; from `number_edges`. Left out, they
        are round numbers that split the schema's range evenly.
    """
    if feature.is_number:
        inner = tuple(edges) if edges is not None else _even_edges(feature)
        return (*_bands(feature, schema, inner), Group(NOT_KNOWN, missing=True))
    listed = feature.levels[:MOST_LEVELS]
    by_label: dict[str, list[str]] = {}
    for level in listed:
        by_label.setdefault(level.shown, []).append(level.value)
    found = [Group(label, tuple(values), missing=label == NOT_KNOWN) for label, values in by_label.items() if label != OTHER]
    found.append(Group(OTHER, all_but=tuple(level.value for level in listed if level.shown != OTHER)))
    if NOT_KNOWN not in by_label:
        found.append(Group(NOT_KNOWN, missing=True))
    return tuple(found)


def band_groups(schema: Schema) -> tuple[str, ...]:
    """The labels that a filter on `BAND` may name."""
    return tuple(band.name for band in schema.bands)


def number_edges(feature: Feature, values: pl.Series) -> tuple[float, ...]:
    """Round inner edges that split the known values of a number into groups of useful size.

    Tenure in months is cut at one, two and four years; a whole number of few values at each of them; all else near its
    quartiles, rounded to at most two digits and no further than a third of the way to the next one.
    """
    known = values.drop_nulls()
    if known.is_empty():
        return ()
    low, high = float(known.min()), float(known.max())  # type: ignore[arg-type]
    if feature.unit == "month" and feature.whole and high > _TENURE_MONTHS[0]:
        return tuple(edge for edge in _TENURE_MONTHS if low <= edge < high)
    if feature.whole:
        few = known.unique().sort().head(_SINGLE_VALUES + 1).to_list()
        if len(few) <= _SINGLE_VALUES:
            return tuple(float(value) for value in few[:-1])
    quartiles = [float(known.quantile(share, "nearest")) for share in _SHARES]  # type: ignore[arg-type]
    return _rounded_edges(feature, [low, *quartiles, high])


def _even_edges(feature: Feature) -> tuple[float, ...]:
    if feature.range is None:
        return ()
    low, high = feature.range
    if feature.unit == "month" and feature.whole and high > _TENURE_MONTHS[0]:
        return tuple(edge for edge in _TENURE_MONTHS if low <= edge < high)
    return _rounded_edges(feature, [low, *(low + (high - low) * share for share in _SHARES), high])


def _rounded_edges(feature: Feature, points: Sequence[float]) -> tuple[float, ...]:
    """Inner edges from lowest value, wanted edges and highest value, rounded; a wanted edge at the lowest value stays."""
    if len(points) < 3:
        return ()
    low, high = points[0], points[-1]
    distinct = sorted(set(points))
    edges: list[float] = []
    for point in points[1:-1]:
        place = distinct.index(point)
        gaps = [after - before for before, after in pairwise(distinct)][max(place - 1, 0) : place + 1]
        edge = _round(feature, point, min(gaps, default=0.0))
        if low <= edge < high and (not edges or edge > edges[-1]):
            edges.append(edge)
    return tuple(edges)


def _round(feature: Feature, value: float, gap: float) -> float:
    scale = 100.0 if feature.unit == "share" else 1.0
    shown, gap = value * scale, gap * scale
    finest = 10.0 ** (math.floor(math.log10(abs(shown))) - 1) if shown else 0.0
    step = max(_nice(gap / 3), finest, 1.0 if feature.whole and scale == 1.0 else 0.01)
    # dividing by a whole number where the step is a fraction keeps 0.3 from becoming 0.30000000000000004
    rounded = round(shown / step) * step if step >= 1 else round(shown / step) / round(1 / step)
    return rounded / scale


def _nice(step: float) -> float:
    """The largest of 1, 2, 5 × 10ⁿ that is not above `step`; 0 for nothing."""
    if step <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(step))
    return max(digit for digit in (1, 2, 5) if digit * power <= step * (1 + 1e-9)) * power


def _bands(feature: Feature, schema: Schema, edges: Sequence[float]) -> tuple[Group, ...]:
    shown: dict[str, float] = {}
    for edge in edges:  # two edges that read alike would make two groups nobody can tell apart
        shown.setdefault(words.quantity(edge, feature, schema), edge)
    inner = list(shown.values())
    if not inner:
        return (Group("Any value", number=True),)
    bounds = [None, *inner, None]
    return tuple(
        Group(_band_label(feature, schema, above, up_to), number=True, above=above, up_to=up_to)
        for above, up_to in pairwise(bounds)
    )


def _band_label(feature: Feature, schema: Schema, above: float | None, up_to: float | None) -> str:
    counted = feature.whole and feature.unit not in ("money", "percent", "share")
    if up_to is None:
        assert above is not None
        most, last = (feature.at_most, feature.range[1] if feature.range else None), math.floor(above) + 1
        alone = counted and last in most  # so has the highest
        return words.quantity(last, feature, schema) if alone else f"Over {words.quantity(above, feature, schema)}"
    end = words.quantity(up_to, feature, schema)
    if above is None:
        least, seen = feature.at_least, feature.range[0] if feature.range else None
        if up_to in (least, seen):  # the lowest value there is has the group to itself
            return end
        if least is None or least > up_to or (seen is not None and seen > least + 1):
            return f"Up to {end}"
        return f"{words.quantity(least, feature, schema, unit=False)}{'–' if counted else ' to '}{end}"
    if not counted:
        return f"{words.quantity(above, feature, schema, unit=False)} to {end}"
    start = math.floor(above) + 1
    return end if start >= up_to else f"{words.quantity(start, feature, schema, unit=False)}–{end}"


def group_of(found: Sequence[Group], label: str, column: str) -> Group:
    """The group with that label. Raises DataError if the column has no such group."""
    for group in found:
        if group.label == label:
            return group
    listed = ", ".join(repr(group.label) for group in found[:10])
    raise DataError(f"column {column!r} has no group {label!r}; it has {listed}")
