"""How long customers stay: the share still there after so many months, by group, and where that is heading.

- The share still there is Kaplan and Meier's (1958, JASA 53:457) estimate, with Greenwood's variance and the log-log interval
  (Kalbfleisch and Prentice 1980), which stays within 0 and 1.
- Whether groups differ by more than chance is the log-rank test (Mantel 1966; Peto and Peto 1972).
- The projection is the shifted-beta-geometric law (Fader and Hardie 2007, Journal of Interactive Marketing 21:76): everybody
  leaves with a chance of their own each period, and these chances are Beta(α, β) among customers, so that those who are left
  grow more loyal by themselves. It is fitted by maximum likelihood.

What the time a customer has been there (a column with a `clock`) and the outcome say together depends on the table:

- In a table *without dates* everybody counts from their first month until they left or the table was made. That is right where
  it holds all who ever joined; where those who left long ago were removed, the curve is too high.
- With *dated snapshots* a row watches a customer from the time they had been there for to one horizon later, no more and no less
  (delayed entry: Kaplan–Meier on rows that enter late). Rows of all ages together give a curve of these months, as a life table
  does: what would stay of newcomers if each age went on leaving as it did then.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from churn.base.groups import BAND, Filter
from churn.base.snapshot import Snapshot
from churn.data import formula
from churn.data.quality import LEFT
from churn.data.schema import DAYS, Feature, Schema
from churn.errors import DataError
from churn.understand.cohorts import dimensions

Floats = NDArray[np.float64]
Watched = Literal["table", "months"]

LEVEL: Final = 0.05
MOST_GROUPS: Final = 8
_STEPS: Final = 200  # of a curve that a page gets
_MARKS: Final = {
    "day": (30, 90, 180, 365),
    "week": (4, 13, 26, 52),
    "month": (12, 24, 36, 60),
    "quarter": (4, 8, 12, 20),
    "year": (1, 2, 3, 5),
}
_AHEAD: Final = 1.5  # how far the projection goes, in times of what was watched
_AGE_DAYS: Final = 3652.5
_NEARLY: Final = 0.1  # of a period
_FEW: Final = 30  # watched: where they are fewer a curve ends, for it would jump with every one who leaves
_MISSED: Final = 0.1  # by which a projection may miss the curve and still be shown
_STRONGEST: Final = 12.0  # log of α + β beyond which all customers are alike


@dataclass(frozen=True, eq=False, slots=True)
class Observed:
    """Customers as they were watched: each row stands for `weight` of them, who came into view when they had been there for
    `entered` periods (−1: from the first moment) and went out of it after `until`, leaving or not. Arrays of one length."""

    entered: Floats
    until: Floats
    left: NDArray[np.bool_]
    weight: Floats

    @classmethod
    def of(
        cls,
        until: Sequence[float],
        left: Sequence[bool],
        weight: Sequence[float] | None = None,
        entered: Sequence[float] | None = None,
    ) -> Observed:
        """From rows; without `weight` each is one customer, without `entered` watched from the start.

        Raises DataError where a row goes out of view before it came in.
        """
        ends = np.asarray(until, dtype=np.float64)
        begins = np.full(len(ends), -1.0) if entered is None else np.asarray(entered, dtype=np.float64)
        for place in np.nonzero(~(ends > begins))[0][:1]:
            raise DataError(f"a customer is watched for some time; row {place} from {begins[place]:g} to {ends[place]:g}")
        heads = np.ones(len(ends)) if weight is None else np.asarray(weight, dtype=np.float64)
        return cls(begins, ends, np.asarray(left, dtype=bool), heads)

    @property
    def customers(self) -> int:
        return int(self.weight.sum())

    @property
    def leavers(self) -> int:
        return int(self.weight[self.left].sum())

    def watched(self, times: Floats) -> Floats:
        """How many were in view just before each time."""
        return _at_least(self.until, self.weight, times) - _at_least(self.entered, self.weight, times)

    def sure(self) -> float:
        """How long at least a few were watched; with fewer than that in all, the longest that anybody was."""
        ends = np.unique(self.until)
        enough = ends[self.watched(ends) >= _FEW]
        return float(enough[-1]) if len(enough) else float(ends[-1])


@dataclass(frozen=True, eq=False, slots=True)
class Survival:
    """The share still there (`share`, with `low` and `high` 19 times in 20) from each of `times` on, at which somebody left.

    `watched`: how many were in view before, `left`: how many left then. Before the first time the share is 1.
    """

    times: Floats
    share: Floats
    low: Floats
    high: Floats
    watched: Floats
    left: Floats

    @property
    def median(self) -> float | None:
        """After how long half of them are gone; None where that was not seen."""
        gone = np.nonzero(self.share <= 0.5)[0]
        return float(self.times[gone[0]]) if len(gone) else None

    def at(self, time: float) -> tuple[float, float, float]:
        """Share still there after that time, and its interval."""
        place = int(np.searchsorted(self.times, time, side="right")) - 1
        return (1.0, 1.0, 1.0) if place < 0 else (float(self.share[place]), float(self.low[place]), float(self.high[place]))


@dataclass(frozen=True, slots=True)
class LogRank:
    """Whether groups leave differently: `chance` of a difference as large as this where there is none."""

    chi_square: float
    degrees: int
    chance: float


@dataclass(frozen=True, slots=True)
class Projection:
    """The shifted-beta-geometric law: chances to leave in a period are Beta(alpha, beta) among customers."""

    alpha: float
    beta: float
    log_likelihood: float

    def share(self, periods: int) -> Floats:
        """The share still there after 0, 1 … `periods` periods."""
        t = np.arange(1, periods + 1)
        return np.concatenate([[1.0], np.cumprod((self.beta + t - 1) / (self.alpha + self.beta + t - 1))])


# -- what the page shows -----------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class Group:
    """One group: `line` are (time, share, low, high) steps for a chart, `marks` the same at the times of the table, None where
    nobody was watched so long; `watched` how many were in view then. `small`: too few to say. `ahead`: the projection as (time,
    share), from where the line ends on by whole periods; empty where there is none or it misses what was seen."""

    label: str
    customers: int
    leavers: int
    line: tuple[tuple[float, float, float, float], ...]
    marks: tuple[tuple[float, float, float] | None, ...]
    watched: tuple[int, ...]
    median: float | None
    until: float
    ahead: tuple[tuple[float, float], ...]
    small: bool


@dataclass(frozen=True, eq=False, slots=True)
class Retention:
    """How long customers stay: all of them and by group, with the test of whether the groups differ.

    `tenure`: the column that says how long; `marks`: times of the table, in its clock; `watched`: what the rows could say;
    `first`: the shortest time that anybody has been there: who left before is not to be seen.
    """

    tenure: Feature
    by: str | None
    watched: Watched
    first: float
    marks: tuple[int, ...]
    whole: Group
    groups: tuple[Group, ...]
    test: LogRank | None

    @property
    def large(self) -> tuple[Group, ...]:
        """The groups large enough to speak of."""
        return tuple(group for group in self.groups if not group.small)


def tenure_of(schema: Schema) -> Feature | None:
    """The column that says how long a customer has been there, None where there is none.

    That is the one that grows by itself and starts lowest. An age grows too, but nobody is a customer from birth: what starts
    later than after ten years is none.
    """
    growing = [(_start_days(feature), place, feature) for place, feature in enumerate(schema.features) if feature.clock]
    start, _, found = min(growing, default=(0.0, 0, None))
    return found if start < _AGE_DAYS else None


def columns(snapshot: Snapshot) -> tuple[str, ...]:
    """The columns to compare by: of few groups, and none that grows with time, for that sorts customers by how long they stay."""
    return tuple(
        one.column
        for one in dimensions(snapshot)
        if len(one.labels) <= MOST_GROUPS and not _tells_time(one.column, snapshot.schema)
    )


def told_by_time(filter: Filter, schema: Schema) -> tuple[str, ...]:
    """The columns of a filter that cannot narrow a curve: risk bands, what grows with time, and what follows from that.

    Whoever stays leaves a band of short times by staying, so among those in it leavers are far too many; those in a band of long
    times are known to have stayed that long. Who is at risk was told from how long they stayed, among others.
    """
    return tuple(column for column, _ in filter.parts if column == BAND or _tells_time(column, schema))


def _tells_time(column: str, schema: Schema) -> bool:
    feature = schema.feature(column)
    if feature.formula is not None:
        return any(_tells_time(name, schema) for name in formula.columns(feature.formula))
    return feature.clock is not None


def retention(snapshot: Snapshot, by: str | None, filter: Filter = Filter(), kept_apart: bytes | None = None) -> Retention | None:
    """How long the customers of a filter stay.

    Parameters
    ----------
    by: one of `columns`, or None. filter: what it says of columns that grow with time does not count (`told_by_time`).
    kept_apart: for dated tables, the rows that the model's training kept apart (`holdout.parquet`
        of its bundle) with their outcomes: a random part of the customers, each at every snapshot.

    Returns
    -------
    None where nothing is known: there is no column with a clock, no outcome, or nobody in the filter.
    """
    tenure = tenure_of(snapshot.schema)
    if tenure is None:
        return None
    dated = not snapshot.outcomes_tell
    for column in told_by_time(filter, snapshot.schema):
        filter = filter.narrowed(column)
    if dated:
        rows = [] if kept_apart is None else _rows_of(kept_apart, snapshot, tenure, by, filter)
    else:
        rows = list(snapshot.tenures(tenure.name, by, filter))
    if not any(left for _, _, left, _ in rows):
        return None
    step = snapshot.schema.horizon_days / DAYS[str(tenure.clock)]
    step = float(round(step)) if abs(step - round(step)) < _NEARLY and step > 0.5 else step  # 30 days are a month
    labels = [] if by is None else [label for label in snapshot.groups(by) if any(row[0] == label for row in rows)]
    parts = {label: _observed([row for row in rows if row[0] == label], step if dated else None) for label in labels}
    everybody = _observed(rows, step if dated else None)
    longest = everybody.sure()
    marks = tuple(mark for mark in _MARKS[str(tenure.clock)] if mark <= longest) or (max(round(longest), 1),)
    least, periods = snapshot.small_group, max(round(longest * _AHEAD), 1)
    large = [part for part in parts.values() if part.customers >= least]
    return Retention(
        tenure=tenure,
        by=by,
        watched="months" if dated else "table",
        first=min(max(row[1], 0.0) for row in rows),
        marks=marks,
        whole=_group("", everybody, marks, least, periods),
        groups=tuple(_group(label, part, marks, least, periods) for label, part in parts.items()),
        test=log_rank(large) if len(large) > 1 else None,
    )


# -- the estimates -----------------------------------------------------------------


def kaplan_meier(seen: Observed, level: float = LEVEL) -> Survival:
    """The share still there over time. `level`: how often its interval may miss it.

    >>> found = kaplan_meier(Observed.of([1, 2, 2, 3], [True, True, False, True]))
    >>> found.share.round(3).tolist(), found.watched.tolist()
    ([0.75, 0.5, 0.0], [4.0, 3.0, 1.0])
    """
    times, left = _leaving(seen)
    watched = seen.watched(times)
    share = np.cumprod(1 - left / watched)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt(np.cumsum(left / (watched * (watched - left)))) / np.abs(np.log(share))  # of log(−log S)
        half = NormalDist().inv_cdf(1 - level / 2) * spread
        low, high = share ** np.exp(half), share ** np.exp(-half)
    gone = ~(share > 0)  # nobody is left: the interval ends where it stood
    high[gone] = high[~gone][-1] if (~gone).any() else 1.0
    low[gone] = 0.0
    return Survival(times, np.asarray(share), np.asarray(low), np.asarray(high), watched, left)


def log_rank(groups: Sequence[Observed]) -> LogRank:
    """Whether two or more groups leave differently, over their whole time.

    Raises DataError for fewer than two groups.
    """
    if len(groups) < 2:
        raise DataError(f"groups are compared two or more at a time, not {len(groups)}")
    everybody = [_leaving(group) for group in groups]
    times = np.unique(np.concatenate([times for times, _ in everybody]))
    left = np.zeros((len(groups), len(times)))
    for row, (own, count) in zip(left, everybody, strict=True):
        row[np.searchsorted(times, own)] = count
    watched = np.stack([group.watched(times) for group in groups])
    n, d = watched.sum(axis=0), left.sum(axis=0)
    share = watched / n
    excess = (left - d * share).sum(axis=1)
    factor = np.where(n > 1, d * (n - d) / np.maximum(n - 1, 1), 0.0)
    covariance = np.diag((factor * share).sum(axis=1)) - (factor * share) @ share.T
    square = float(excess[:-1] @ np.linalg.pinv(covariance[:-1, :-1]) @ excess[:-1])
    return LogRank(square, len(groups) - 1, _chi_square_tail(square, len(groups) - 1))


def project(seen: Observed) -> Projection | None:
    """Fit the shifted-beta-geometric law; None where nobody left, or nobody was watched for a whole period.

    Times are taken in whole periods: who left during the third left in period 3, who was watched for 3.6 stayed 3 for sure.
    """
    begun = np.maximum(np.floor(seen.entered), 0).astype(np.int64)
    ended = np.where(seen.left, np.maximum(np.ceil(seen.until), 1), np.floor(seen.until)).astype(np.int64)
    longest = int(ended.max(initial=0))
    left = np.bincount(ended[seen.left], seen.weight[seen.left], minlength=longest + 1)[1:]
    if longest < 1 or not left.sum():
        return None
    # stays[t]: how many were seen to stay all through period t + 1
    last = np.maximum(np.where(seen.left, ended - 1, ended), begun)
    ends = np.bincount(last, seen.weight, minlength=longest + 1)
    begins = np.bincount(begun, seen.weight, minlength=longest + 1)
    stays = (np.cumsum(begins) - np.cumsum(ends))[:longest]
    periods = np.arange(longest)

    def likely(at: Floats) -> float:
        mean, strength = 1 / (1 + math.exp(-at[0])), math.exp(at[1])
        chance = mean * strength / (strength + periods)
        return float(left @ np.log(chance) + stays @ np.log1p(-chance))

    # the mean chance and how alike customers are hardly depend on each other: a search along the two finds the top
    crude = min(max(float(left.sum() / (left.sum() + stays.sum())), 1e-9), 1 - 1e-9)
    at, step = np.array([math.log(crude / (1 - crude)), 1.0]), 1.0
    best = likely(at)
    directions = [
        np.array(one)
        for one in ((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0), (0.7, 0.7), (-0.7, -0.7), (0.7, -0.7), (-0.7, 0.7))
    ]
    while step > 1e-9:
        for direction in directions:
            there = at + step * direction
            if abs(there[1]) <= _STRONGEST and abs(there[0]) < 30 and (value := likely(there)) > best:
                at, best = there, value
                break
        else:
            step /= 2
    mean, strength = 1 / (1 + math.exp(-at[0])), math.exp(at[1])
    return Projection(mean * strength, (1 - mean) * strength, best)


# -- inside --------------------------------------------------------------------


def _start_days(feature: Feature) -> float:
    return feature.range[0] * DAYS[str(feature.clock)] if feature.range else 0.0


def _leaving(seen: Observed) -> tuple[Floats, Floats]:
    """The times at which somebody left, rising, and how many."""
    times, place = np.unique(seen.until[seen.left], return_inverse=True)
    return times, np.bincount(place, seen.weight[seen.left], minlength=len(times)).astype(np.float64)


def _at_least(values: Floats, weight: Floats, times: Floats) -> Floats:
    """The weight of the values that are at least each time."""
    order = np.argsort(values)
    over = np.concatenate([np.cumsum(weight[order][::-1])[::-1], [0.0]])
    return np.asarray(over[np.searchsorted(values[order], times, side="left")])


def _chi_square_tail(square: float, degrees: int) -> float:
    """The chance of a chi-square above that, by its recurrence over degrees of freedom (Abramowitz and Stegun 1964, 26.4.8)."""
    half = square / 2
    start = degrees % 2
    tail = math.erfc(math.sqrt(half)) if start else math.exp(-half)
    for k in range(1 if start else 2, degrees, 2):
        tail += math.exp(k / 2 * math.log(half) - half - math.lgamma(k / 2 + 1)) if half > 0 else 0.0
    return min(tail, 1.0)


def _rows_of(
    kept_apart: bytes, snapshot: Snapshot, tenure: Feature, by: str | None, filter: Filter
) -> list[tuple[str, float, bool, int]]:
    """The rows kept apart in the form of `Snapshot.tenures`, by the same groups."""
    table = pl.read_parquet(io.BytesIO(kept_apart))
    wanted = {tenure.name, LEFT, *(column for column, _ in filter.parts), *([by] if by else [])}
    if not wanted <= set(table.columns):
        return []
    for column, labels in filter.parts:
        any_of = [snapshot.group(column, label).expression(column) for label in labels]
        table = table.filter(pl.any_horizontal(any_of))
    label = pl.lit("")
    if by is not None:
        for name in snapshot.groups(by):
            label = pl.when(snapshot.group(by, name).expression(by)).then(pl.lit(name)).otherwise(label)
    own = pl.col(tenure.name).cast(pl.Float64)
    counted = (
        table.filter(own.is_not_null() & pl.col(LEFT).is_not_null())
        .group_by(label.alias("group"), own.alias("tenure"), (pl.col(LEFT) == 1).alias("left"))
        .agg(pl.len())
        .sort("group", "tenure", "left")
    )
    return [(group, time, left, count) for group, time, left, count in counted.iter_rows()]


def _observed(rows: Sequence[tuple[str, float, bool, int]], step: float | None) -> Observed:
    """Rows as they were watched: from the start, or, where `step` is given, for one step from the time they had been there."""
    time = [max(row[1], 0.0) for row in rows]
    left, weight = [row[2] for row in rows], [row[3] for row in rows]
    if step is None:
        return Observed.of(time, left, weight)
    return Observed.of([one + step for one in time], left, weight, entered=time)


def _group(label: str, seen: Observed, marks: Sequence[int], least: int, periods: int) -> Group:
    found = kaplan_meier(seen)
    until = seen.sure()
    told = np.nonzero(found.times <= until)[0]
    kept = told[np.unique(np.linspace(0, max(len(told) - 1, 0), _STEPS).round().astype(np.int64))[: len(told)]].tolist()
    line: list[tuple[float, float, float, float]] = [
        (0.0, 1.0, 1.0, 1.0),
        *((float(found.times[k]), float(found.share[k]), float(found.low[k]), float(found.high[k])) for k in kept),
    ]
    if line[-1][0] < until:
        line.append((until, *line[-1][1:]))
    small = seen.customers < least
    fitted = None if small else project(seen)
    return Group(
        label=label,
        customers=seen.customers,
        leavers=seen.leavers,
        line=tuple(line),
        marks=tuple(found.at(mark) if mark <= until else None for mark in marks),
        watched=tuple(int(count) for count in seen.watched(np.asarray(marks, dtype=np.float64))),
        median=found.median if found.median is not None and found.median <= until else None,
        until=until,
        ahead=_ahead(fitted, line, periods) if fitted else (),
        small=small,
    )


def _ahead(law: Projection, line: Sequence[tuple[float, float, float, float]], periods: int) -> tuple[tuple[float, float], ...]:
    """Where a line is heading: of those who are there where it ends, the share that the law leaves there later."""
    by_law = law.share(periods)
    if max(abs(float(by_law[min(round(time), periods)]) - share) for time, share, *_ in line) > _MISSED:
        return ()
    until, share, *_ = line[-1]
    there = float(np.interp(until, np.arange(periods + 1), by_law))
    later = range(math.floor(until) + 1, periods + 1)
    return ((until, share), *((float(time), share * float(by_law[time]) / there) for time in later))
