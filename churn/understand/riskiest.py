"""The riskiest segments, found without being asked for: groups of up to three conditions, and honest about chance.

Whoever looks at thousands of groups finds some that look risky by luck. So the search sees only some of the customers, never more
than half, chosen by a hash of their key; every segment it proposes is then measured on all the others, and only those are told
whose risk lies above the average there too, by more than chance and calibration explain. The ranges are widened for the number
of segments measured (Bonferroni).

Proposals are ranked by √n·(p̄ − p̄₀), the binomial test's quality of a subgroup of n customers with mean risk p̄ against the average
p̄₀ (Klösgen 1996, in Advances in Knowledge Discovery and Data Mining). All pairs of conditions are tried, and triples that
extend the best pairs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from churn.base.groups import Filter
from churn.base.snapshot import Sample, Segment, Snapshot
from churn.base.value import Interval, leavers_interval
from churn.understand.cohorts import within

LEAST_SHARE = 0.01  # of the customers of the filter; a smaller segment is no use to anybody
WORTH = 0.02  # a condition must raise the mean risk by two points, or it only makes the segment longer
OVERLAP = 0.5  # of the smaller of two segments; more than that is the same segment told twice
_PROPOSED = 8
_BEAM = 30
_RADIX = 32  # no column has more groups (`churn.base.groups.MOST_LEVELS`, other, not known)
_NO_COVARIANCE = ((0.0, 0.0), (0.0, 0.0))

Condition = tuple[int, int]  # place of the column in the sample, code of the group
Counted = tuple[NDArray[np.float64], NDArray[np.float64]]  # customers and mean risk (NaN where nobody)


@dataclass(frozen=True, slots=True)
class RiskySegment:
    """A segment that stood the test.

    `segment`: its figures over all its customers; `checked_risk`: average risk of those `checked` who were not searched, and
    `likely`: between which shares (0–1) of them leave, 8 times in 10 for all segments told at once; `against_average`: the
    checked risk as a multiple of the average risk of all who were not searched.
    """

    segment: Segment
    checked: int
    checked_risk: float
    likely: Interval
    against_average: float


@dataclass(frozen=True, slots=True)
class Riskiest:
    """The segments found, the riskiest first; `tried` groups among `searched` customers, measured on `checked` others."""

    segments: tuple[RiskySegment, ...]
    tried: int
    searched: int
    checked: int
    average_risk: float | None


def riskiest(snapshot: Snapshot, filter: Filter = Filter(), *, most: int = 6) -> Riskiest:
    """Find segments of one to three conditions with a risk above the average of a filter.

    Parameters
    ----------
    most: how many to tell at most. None is told with fewer unsearched customers than the setting `small_group`.
    """
    sample = snapshot.sample(filter)
    searched, rest = snapshot.parts(filter, sample.every)
    found = _Search(sample, _least(sample, snapshot.small_group))
    proposed = found.best() if rest.customers else []
    average = rest.p / rest.customers if rest.customers else None
    told = []
    for conditions in proposed:
        columns = tuple(sample.columns[place] for place, _ in conditions)
        labels = tuple(snapshot.label(sample.columns[place], code) for place, code in conditions)
        narrowed = within(filter, columns, labels)
        assert narrowed is not None
        assert average is not None
        _, unseen = snapshot.parts(narrowed, sample.every)
        if unseen.customers < snapshot.small_group:
            continue
        interval = leavers_interval(unseen, snapshot.covariance or _NO_COVARIANCE, looks=len(proposed))
        assert interval is not None
        likely = Interval(interval.low / unseen.customers, interval.high / unseen.customers)
        if likely.low > average:
            (segment,) = snapshot.segments(narrowed, columns)
            risk = unseen.p / unseen.customers
            told.append(RiskySegment(segment, unseen.customers, risk, likely, risk / average))
    told.sort(key=lambda one: -one.checked_risk)
    return Riskiest(tuple(told[:most]), found.tried, searched.customers, rest.customers, average)


def _least(sample: Sample, small: int) -> int:
    """How many customers of the sample a segment needs, so that there are enough to measure it on."""
    size = len(sample.risk)
    return max(math.ceil(size * LEAST_SHARE), math.ceil(small / (sample.every - 1)), min(small, size))


class _Search:
    """One search through a sample: every pair of conditions counted, the best of them extended."""

    def __init__(self, sample: Sample, least: int) -> None:
        self._codes, self._risk, self._least = sample.codes, sample.risk, least
        self._average = float(sample.risk.mean()) if len(sample.risk) else 0.0
        self.tried = 0
        self._one: dict[int, Counted] = {}
        self._two: dict[tuple[int, int], Counted] = {}

    def best(self) -> list[tuple[Condition, ...]]:
        """Proposals, the best first, none of them much the same as a better one."""
        if len(self._risk) < self._least:
            return []
        ranked = sorted([*self._singles(), *self._pairs()], reverse=True)
        pairs = [conditions for _, conditions in ranked if len(conditions) == 2][:_BEAM]
        ranked = sorted([*ranked, *self._triples(pairs)], reverse=True)
        chosen: list[tuple[tuple[Condition, ...], NDArray[np.bool_]]] = []
        for _, conditions in ranked[: 8 * _BEAM]:
            inside = self._inside(conditions)
            size = int(inside.sum())
            if all(int((inside & other).sum()) <= OVERLAP * min(size, int(other.sum())) for _, other in chosen):
                chosen.append((conditions, inside))
            if len(chosen) == _PROPOSED:
                break
        return [conditions for conditions, _ in chosen]

    def _inside(self, conditions: tuple[Condition, ...]) -> NDArray[np.bool_]:
        inside = np.ones(len(self._risk), dtype=np.bool_)
        for place, code in conditions:
            inside &= self._codes[place] == code
        return inside

    def _count(self, codes: NDArray[np.intp], risk: NDArray[np.float64], size: int) -> Counted:
        customers = np.bincount(codes, minlength=size).astype(np.float64)
        with np.errstate(invalid="ignore"):
            mean = np.bincount(codes, weights=risk, minlength=size) / customers
        self.tried += int((customers >= self._least).sum())
        return customers, mean

    def _quality(self, customers: float, mean: float) -> float:
        return math.sqrt(customers) * (mean - self._average)

    def _singles(self) -> Iterator[tuple[float, tuple[Condition, ...]]]:
        for place, codes in enumerate(self._codes):
            customers, mean = self._one[place] = self._count(codes.astype(np.intp), self._risk, _RADIX)
            for code in np.flatnonzero((customers >= self._least) & (mean >= self._average + WORTH)).tolist():
                if customers[code] < len(self._risk):  # else everybody is in it
                    yield self._quality(customers[code], mean[code]), ((place, code),)

    def _pairs(self) -> Iterator[tuple[float, tuple[Condition, ...]]]:
        wide = [codes.astype(np.intp) for codes in self._codes]
        for first, second in combinations(range(len(wide)), 2):
            counted = self._count(wide[first] * _RADIX + wide[second], self._risk, _RADIX * _RADIX)
            customers, mean = self._two[first, second] = counted
            for cell in np.flatnonzero((customers >= self._least) & (mean >= self._average + WORTH)).tolist():
                pair = ((first, cell // _RADIX), (second, cell % _RADIX))
                if all(mean[cell] >= self._one[place][1][code] + WORTH for place, code in pair):
                    yield self._quality(customers[cell], mean[cell]), pair

    def _triples(self, pairs: Sequence[tuple[Condition, ...]]) -> Iterator[tuple[float, tuple[Condition, ...]]]:
        seen: set[tuple[Condition, ...]] = set()
        for pair in pairs:
            inside = np.flatnonzero(self._inside(pair))
            risk = self._risk[inside]
            for place in range(len(self._codes)):
                if place in (pair[0][0], pair[1][0]):
                    continue
                customers, mean = self._count(self._codes[place][inside].astype(np.intp), risk, _RADIX)
                for code in np.flatnonzero(customers >= self._least).tolist():
                    triple = tuple(sorted((*pair, (place, code))))
                    if triple not in seen and all(mean[code] >= shorter + WORTH for shorter in self._within(triple)):
                        seen.add(triple)
                        yield self._quality(customers[code], mean[code]), triple

    def _within(self, triple: tuple[Condition, ...]) -> Iterator[float]:
        """Mean risks of the three pairs in a triple."""
        for (first, one), (second, two) in combinations(triple, 2):
            yield float(self._two[first, second][1][one * _RADIX + two])
