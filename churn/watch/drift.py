"""Drift: whether what a model is asked about still looks like what it learnt from, column by column and in its risks.

An alarm needs an effect *and* significance. Effect: the largest difference of the shares at or below a value (Kolmogorov–Smirnov
distance) of a number or the risk, the total variation of a category's levels, the change of the share missing: moved from 5
points on, on watch from 3; a level that nobody had in training: moved from 1 % of the rows. Significance: all tests of a
window together, by Benjamini and Hochberg at 5 %. Windows of fewer than 200 customers say nothing. Versions are never mixed: a
history is of one model, against that model's own reference.

Everything here comes from sketches (`churn.score.sketch`), so it takes kilobytes. A distance on their grid is never larger
than on the rows themselves, and smaller by at most the share of the reference within one step of the grid: nothing for a
number of up to 127 different values, else under one point. So a p-value on the grid is never smaller than on the rows.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from itertools import groupby, pairwise
from statistics import median
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from churn.base.snapshot import RISK
from churn.data.schema import Schema
from churn.model.bundle import Bundle
from churn.score.sketch import Column, Counts, Daily, Grid, Sketch, on_grid
from churn.watch.joint import JointDrift
from churn.watch.significance import (
    benjamini_hochberg,
    chi_square_p,
    effective_size,
    homogeneity,
    ks_critical,
    ks_p,
    only_here_p,
)

Status = Literal["few", "quiet", "watch", "moved"]
What = Literal["shift", "missing", "new level", "level mix", "joint"]
Every = Literal["day", "week", "month"]
Against = Literal["reference", "before"]
Floats = npt.NDArray[np.float64]
Cause = TypeVar("Cause", bound=Hashable)

WATCH, MOVED = 0.03, 0.05  # effects, 0–1
NEW_WATCH, NEW_MOVED = 0.005, 0.01  # shares of rows with a level that nobody had in training
FALSE_ALARMS = 0.05  # of the findings, at most (Benjamini and Hochberg's q)
SMALL = 200  # customers below which a window says nothing
SMALL_REFERENCE = 100  # rows below which nothing can be held against it
_PSI_GROUPS = 10  # of a number, of about as many reference rows each
_WORST: Mapping[Status, int] = {"few": 0, "quiet": 0, "watch": 1, "moved": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that differs by more than chance and enough to matter.

    `column`: its name, `__risk__`, or empty for how columns go together. `size`: the effect, 0–1. `q`: the adjusted p-value.
    """

    column: str
    what: What
    size: float
    p: float
    q: float
    status: Status


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """One column in one window against what it is compared with.

    `distance`: 0–1, among the values known on either side. `band`: from which distance on this window would say watch, and moved:
    for few customers chance alone goes farther than the thresholds (about so for a category). `p`, `q`: of the distance.
    `status`: the worst of what was found about the column, missing values and new levels included. `psi`: population stability
    index, shown but never an alarm.
    `missing`, `missing_reference`: shares; what could not be read is missing, and `unreadable` says why. `below`, `above`:
    shares of the known values outside the reference's. `new_share`: of all rows, those with a level that the reference lacks.
    `importance`: average size of its points, 0–1 scale (0 where not known).
    """

    column: str
    kind: Literal["number", "category", "risk"]
    distance: float
    statistic: Literal["ks", "tv"]
    band: tuple[float, float]
    p: float
    q: float
    status: Status
    psi: float
    missing: float
    missing_reference: float
    new_levels: tuple[tuple[str, int], ...]
    below: float
    above: float
    importance: float
    unreadable: str = ""
    new_share: float = 0.0

    @property
    def weight(self) -> float:
        """What columns are ranked by: how far it moved × how much it matters."""
        return self.distance * self.importance


@dataclass(frozen=True, slots=True)
class WindowDrift:
    """One window of one model's predictions.

    `start`, `end`: first and last day of the window, both included. `rows` predictions about `customers` different customers
    (about; what significance is counted by). `complete`: no further scoring is to be expected in it. `columns`: of the schema,
    in its order. `findings`: the worst first. `average_risk` and `reference_risk`: 0–1, None for no rows. `counts` and
    `reference`: int64, on the grid: the window's and what it was compared with.
    """

    model: str
    start: date
    end: date
    rows: int
    complete: bool
    risk: ColumnDrift
    columns: tuple[ColumnDrift, ...]
    findings: tuple[Finding, ...]
    customers: int
    average_risk: float | None
    reference_risk: float | None
    strange: tuple[str, ...] = ()
    joint: JointDrift | None = None
    counts: Counts = field(default_factory=lambda: np.zeros(0, dtype=np.int64), repr=False, compare=False)
    reference: Counts = field(default_factory=lambda: np.zeros(0, dtype=np.int64), repr=False, compare=False)

    @property
    def small(self) -> bool:
        """Too few customers to say, here or in what it is compared with."""
        return self.risk.status == "few"

    @property
    def alarming(self) -> tuple[Finding, ...]:
        """What has moved; what is only on watch is no alarm."""
        return tuple(one for one in self.findings if one.status == "moved")

    @property
    def moved(self) -> tuple[ColumnDrift, ...]:
        """The columns that have moved, the most consequential first."""
        return self._with("moved")

    @property
    def watched(self) -> tuple[ColumnDrift, ...]:
        """The columns on watch, the most consequential first."""
        return self._with("watch")

    def _with(self, status: Status) -> tuple[ColumnDrift, ...]:
        return tuple(one for one in self.ranked if one.status == status)

    @property
    def ranked(self) -> tuple[ColumnDrift, ...]:
        """All columns, what has moved before what has not, then by how far × how much it matters."""
        return tuple(sorted(self.columns, key=lambda one: (-_WORST[one.status], -one.weight, -one.distance)))

    def of(self, column: str) -> ColumnDrift:
        """The drift of a column, or of the risk. Raises KeyError for one that is not there."""
        for one in (self.risk, *self.columns):
            if one.column == column:
                return one
        raise KeyError(column)


# -- a history -------------------------------------------------------------------


def history(
    sketches: Sequence[Daily],
    grid: Grid,
    schema: Schema,
    *,
    every: Every = "week",
    against: Against = "reference",
    importance: Mapping[str, float] | None = None,
    joint: Sequence[JointDrift] = (),
) -> tuple[WindowDrift, ...]:
    """The windows of one model, oldest first.

    Parameters
    ----------
    sketches: `churn.score.sketch.read`; those of other models, or on another grid, are passed over.
    grid: `Grid.of` the model.
    every: a window a day, a week from Monday on, or a month; where it has fewer rows than 200, it takes in what follows.
    against: `reference`, what the model learnt from, or `before`, the window before (then the first has nothing to be held
    against
        and is left out).
    importance: average size of each column's points, 0–1 scale, as `importance_of` gives it.
    joint: results of `churn.learn.joint`; each joins the tests of the window that it is about.
    """
    windows = _windows(on_grid(sketches, grid), every)
    if against == "before":
        earlier, windows = windows[:-1], windows[1:]
    if not windows:
        return ()
    counts = np.stack([one.sketch.counts for one in windows])
    customers = np.array([one.sketch.customers for one in windows])
    if against == "before":
        reference = np.stack([one.sketch.counts for one in earlier])
        sizes = np.array([one.sketch.customers for one in earlier])
        rows_before = np.array([one.sketch.rows for one in earlier])
        risks = [one.sketch.average_risk for one in earlier]
    else:
        flat = np.concatenate([column.reference for column in grid.columns])
        reference = np.broadcast_to(flat, counts.shape)
        sizes = rows_before = np.full(len(windows), -1)  # each column has as many as its reference
        risks = [grid.reference_risk] * len(windows)
    rows = np.array([one.sketch.rows for one in windows])
    scale = np.divide(customers, rows, out=np.zeros(len(windows)), where=rows > 0)
    scale_before = np.divide(sizes, rows_before, out=np.ones(len(windows)), where=rows_before > 0)
    measured = [
        _measure(column, counts[:, place], reference[:, place], scale, scale_before, windows)
        for column in grid.columns
        for place in (grid.places[column.name],)
    ]
    by_span = {(one.model, one.start, one.end): one for one in joint}
    return tuple(
        _window(
            grid.model,
            windows[i],
            [column[i] for column in measured],
            importance or {},
            by_span.get((grid.model, windows[i].start, windows[i].end)) if against == "reference" else None,
            risks[i],
            counts[i],
            reference[i],
        )
        for i in range(len(windows))
    )


def importance_of(bundle: Bundle, told: Mapping[str, float] | None = None) -> Mapping[str, float]:
    """How much each column matters to a model: the average size of its points, 0–1 scale.

    As a scoring tells it (`mean_size` in its manifest), else over the model's reference sample; empty for a model that would take
    long to say.
    """
    if told:
        return dict(told)
    if not bundle.model.quick or not bundle.reference.height:
        return {}
    found = bundle.model.explain(bundle.reference)
    return dict(zip(found.features, np.abs(found.points).mean(axis=0).tolist(), strict=True))


def persistent(raised: Sequence[Collection[Cause]], *, least: int = 2, of: int = 3) -> tuple[frozenset[Cause], ...]:
    """For each window, oldest first, the causes raised in at least `least` of the last `of` windows, this one among them.

    >>> [sorted(one) for one in persistent([{"a"}, set(), {"a", "b"}, {"b"}])]
    [[], [], ['a'], ['b']]
    """
    found = []
    for i, now in enumerate(raised):
        last = raised[max(0, i + 1 - of) : i + 1]
        found.append(frozenset(cause for cause in now if sum(cause in one for one in last) >= least))
    return tuple(found)


# -- windows ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Window:
    start: date
    end: date
    complete: bool
    sketch: Sketch


def span(day: date, every: Every) -> tuple[date, date]:
    """The first and the last day of the day, week (from Monday) or month that a day is in."""
    if every == "day":
        return day, day
    if every == "week":
        start = day - timedelta(days=day.weekday())
        return start, start + timedelta(days=6)
    start = day.replace(day=1)
    return start, (start + timedelta(days=32)).replace(day=1) - timedelta(days=1)


def _windows(days: Sequence[Daily], every: Every) -> list[_Window]:
    """Days put together; a window with too few rows takes in what follows.

    Whether the last one is complete shows in how often there is a scoring: where the next one, as far apart as usual, would still
    be in it, it is not.
    """
    ordered = sorted((one for one in days if one.sketch.rows), key=lambda one: one.day)
    if not ordered:
        return []
    gaps = [(b.day - a.day).days for a, b in pairwise(ordered)]
    expected = ordered[-1].day + timedelta(days=median(gaps) if gaps else 0)
    found: list[_Window] = []
    for (start, end), some in groupby(ordered, key=lambda one: span(one.day, every)):
        total = _sum([one.sketch for one in some])
        complete = not gaps or expected > end
        if found and found[-1].sketch.rows < SMALL:
            start, total = found[-1].start, found.pop().sketch + total
        found.append(_Window(start, end, complete, total))
    return found


def _sum(sketches: Sequence[Sketch]) -> Sketch:
    total = sketches[0]
    for one in sketches[1:]:
        total = total + one
    return total


# -- one column in all windows -----------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Measured:
    """One column in one window: its effects and the p-value of each; None where there is nothing to test."""

    drift: ColumnDrift
    reference_rows: int
    size: float  # effective, of both samples
    distance_p: float | None
    missing_p: float | None
    new_p: float | None


def _measure(
    column: Column, counts: Counts, reference: Counts, scale: Floats, scale_before: Floats, windows: Sequence[_Window]
) -> list[_Measured]:
    """`counts`, `reference`: int64 [windows, cells of the column]; `scale`, `scale_before`: customers to a row [windows]."""
    values = column.values
    known, known_before = counts[:, :values], reference[:, :values]
    total, total_before = counts.sum(axis=1), reference.sum(axis=1)
    n, m = known.sum(axis=1), known_before.sum(axis=1)
    share, share_before = _shares(known, n), _shares(known_before, m)
    comparable = (n > 0) & (m > 0)
    size = effective_size(n * scale, m * scale_before)
    missing, missing_before = _shares(total - n, total), _shares(total_before - m, total_before)
    if column.kind == "category":
        statistic: Literal["ks", "tv"] = "tv"
        below = above = np.zeros(len(n))
        psi = _psi(known, known_before)
        if known_before[:, -1].any():  # only where it is compared with another window
            new = np.zeros(len(n), dtype=np.int64)
        else:  # new levels have a test of their own, so the mix is that of the others
            new, known, known_before = known[:, -1], known[:, :-1], known_before[:, :-1]
            share, share_before = _shares(known, known.sum(axis=1)), _shares(known_before, m)
            comparable &= known.any(axis=1)
        distance = np.where(comparable, np.abs(share - share_before).sum(axis=1) / 2, 0.0)
    else:
        statistic = "ks"
        gaps = np.abs(np.cumsum(share, axis=1) - np.cumsum(share_before, axis=1))
        distance = np.where(comparable, gaps.max(axis=1), 0.0)
        below, above = share[:, 0], share[:, -1]
        new = np.zeros(len(n), dtype=np.int64)
        psi = _psi(*_grouped(known, known_before))
        p_all = ks_p(distance, size)
    found = []
    for i in range(len(windows)):
        sketch = windows[i].sketch
        if not comparable[i]:
            p = None
        elif column.kind == "category":
            p = _mix_p(known[i] * scale[i], known_before[i] * scale_before[i])
        else:
            p = float(p_all[i])
        drift = ColumnDrift(
            column=column.name,
            kind=column.kind,
            distance=float(distance[i]),
            statistic=statistic,
            band=(WATCH, MOVED),
            p=1.0 if p is None else p,
            q=1.0,
            status="quiet",
            psi=float(psi[i]) if comparable[i] else 0.0,
            missing=float(missing[i]),
            missing_reference=float(missing_before[i]),
            new_levels=_named(sketch.new.get(column.name, {})) if new[i] else (),
            below=float(below[i]),
            above=float(above[i]),
            importance=0.0,
            unreadable=sketch.unreadable.get(column.name, ""),
            new_share=float(new[i] / total[i]) if total[i] else 0.0,
        )
        gone = total[i] - n[i]
        gone_before = total_before[i] - m[i]
        found.append(
            _Measured(
                drift=drift,
                reference_rows=int(total_before[i]),
                size=float(size[i]),
                distance_p=p,
                missing_p=_share_p(gone * scale[i], total[i] * scale[i], gone_before * scale_before[i], m[i] * scale_before[i])
                if gone + gone_before
                else None,
                new_p=only_here_p(new[i] * scale[i], n[i] * scale[i], m[i] * scale_before[i]) if new[i] else None,
            )
        )
    return found


def _shares(counts: npt.NDArray[np.generic], total: npt.NDArray[np.generic]) -> Floats:
    by = np.asarray(total, dtype=np.float64)
    part = np.asarray(counts, dtype=np.float64)
    by = by[:, None] if part.ndim == 2 else by
    found: Floats = np.divide(part, by, out=np.zeros(part.shape), where=by > 0)
    return found


def _mix_p(first: Floats, second: Floats) -> float | None:
    statistic, freedom = homogeneity(first, second)
    return chi_square_p(statistic, freedom) if freedom else None


def _share_p(gone: float, total: float, gone_before: float, known_before: float) -> float | None:
    """Whether a share differs by more than chance: the chi-square test of two by two."""
    first = np.array([gone, total - gone], dtype=np.float64)
    second = np.array([gone_before, known_before], dtype=np.float64)
    if not first.sum() or not second.sum():
        return None
    n, m = first.sum(), second.sum()
    both = first + second
    if not both.all():
        return None  # all are missing on both sides, or none
    expected = both * n / (n + m)
    statistic = float(((first - expected) ** 2 * (1 / expected + 1 / (both - expected))).sum())
    return chi_square_p(statistic, 1)


def _named(levels: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(levels.items(), key=lambda one: (-one[1], one[0])))


def _grouped(known: Counts, reference: Counts) -> tuple[Counts, Counts]:
    """Cells put together to about ten of like weight in the (first) reference, as the index is usually counted."""
    weight = reference[0].astype(np.float64)
    if not weight.sum():
        return known, reference
    at = np.cumsum(weight) - weight / 2
    group = np.minimum((at / weight.sum() * _PSI_GROUPS).astype(np.int64), _PSI_GROUPS - 1)
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    return np.add.reduceat(known, starts, axis=1), np.add.reduceat(reference, starts, axis=1)


def _psi(known: Counts, reference: Counts) -> Floats:
    """Population stability index, Σ (a − b)·ln(a/b) over shares a and b, half a row added to every cell so that none is empty."""
    cells = known.shape[1]
    a = (known + 0.5) / (known.sum(axis=1, keepdims=True) + 0.5 * cells)
    b = (reference + 0.5) / (reference.sum(axis=1, keepdims=True) + 0.5 * cells)
    found: Floats = ((a - b) * np.log(a / b)).sum(axis=1)
    return found


# -- all tests of one window --------------------------------------------------------


def _window(
    model: str,
    window: _Window,
    measured: Sequence[_Measured],
    importance: Mapping[str, float],
    joint: JointDrift | None,
    reference_risk: float | None,
    counts: Counts,
    reference: Counts,
) -> WindowDrift:
    tests: list[tuple[str, What, float, float, tuple[float, float]]] = []
    for one in measured:
        name, usual = one.drift.column, (WATCH, MOVED)
        if one.distance_p is not None:
            what: What = "level mix" if one.drift.kind == "category" else "shift"
            tests.append((name, what, one.drift.distance, one.distance_p, usual))
        if one.missing_p is not None:
            more = abs(one.drift.missing - one.drift.missing_reference)
            tests.append((name, "missing", more, one.missing_p, usual))
        if one.new_p is not None:
            tests.append((name, "new level", one.drift.new_share, one.new_p, (NEW_WATCH, NEW_MOVED)))
    if joint is not None:
        tests.append(("", "joint", joint.distance, joint.p, (WATCH, MOVED)))
    adjusted = benjamini_hochberg([test[3] for test in tests])
    few = max((one.reference_rows for one in measured), default=0) < SMALL_REFERENCE
    small = window.sketch.customers < SMALL or few
    all_found = [
        Finding(name, what, size, p, q, _status(size, q, limits, small=small))
        for (name, what, size, p, limits), q in zip(tests, adjusted, strict=True)
    ]
    columns = {one.drift.column: _settled(one, all_found, importance, small=small) for one in measured}
    ranked = sorted(
        (one for one in all_found if one.status in ("watch", "moved")),
        key=lambda one: (-_WORST[one.status], one.column != RISK, -one.size * (1 + importance.get(one.column, 0.0)), one.column),
    )
    return WindowDrift(
        model=model,
        start=window.start,
        end=window.end,
        rows=window.sketch.rows,
        complete=window.complete,
        risk=columns.pop(RISK),
        columns=tuple(columns.values()),
        findings=tuple(ranked),
        customers=window.sketch.customers,
        average_risk=window.sketch.average_risk,
        reference_risk=reference_risk,
        strange=window.sketch.strange,
        joint=joint,
        counts=counts,
        reference=reference,
    )


def _status(size: float, q: float, limits: tuple[float, float], *, small: bool) -> Status:
    if small:
        return "few"
    if q > FALSE_ALARMS or size < limits[0]:
        return "quiet"
    return "moved" if size >= limits[1] else "watch"


def _settled(one: _Measured, found: Sequence[Finding], importance: Mapping[str, float], *, small: bool) -> ColumnDrift:
    """The column with its status, its adjusted p-value, and how far chance alone would go in this window.

    Beside the k findings of the other tests, the column's own would be one if its p-value were at most q·(k + 1)/tests.
    """
    own = [finding for finding in found if finding.column == one.drift.column]
    main = next((finding for finding in own if finding.what in ("shift", "level mix")), None)
    status: Status = "few" if small else max((finding.status for finding in own), key=lambda s: _WORST[s], default="quiet")
    others = sum(finding.q <= FALSE_ALARMS for finding in found if finding is not main)
    chance = float(ks_critical(FALSE_ALARMS * (others + 1) / max(len(found), 1), one.size))
    chance = 1.0 if not math.isfinite(chance) else min(chance, 1.0)
    return replace(
        one.drift,
        q=1.0 if main is None else main.q,
        status=status,
        band=(max(WATCH, chance), max(MOVED, chance)),
        importance=importance.get(one.drift.column, 0.0),
    )
