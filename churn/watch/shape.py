"""One column as it is now and as it was: shares in a dozen bars, its middle, and its most changed level, all from a sketch's
counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from churn import words
from churn.base.snapshot import RISK
from churn.data.schema import Feature, Schema
from churn.score.sketch import Column, Counts, Grid
from churn.watch.drift import WindowDrift

Floats = npt.NDArray[np.float64]

BARS = 12
_EACH = 12  # values of a number that each get a bar of their own, at most
_ATOM = 2.5 / 128  # of the reference in one cell: more than its share, so a value that many have
_ENDS = (0.01, 0.97)  # of the reference: what is outside goes into the outer bars


@dataclass(frozen=True, slots=True)
class Bar:
    """Some values, and the share (0–1) of the known ones that have them, now and before."""

    label: str
    now: float
    before: float


@dataclass(frozen=True, slots=True)
class Shape:
    """A column's bars in order. `each`: what a bar spans, in words ("$10"), empty where each is one value.

    `ticks`: for a number, what stands at the left edge of each bar and at the right of the last; empty where bars are named.
    """

    column: str
    bars: tuple[Bar, ...]
    each: str = ""
    ticks: tuple[str, ...] = ()


def shape(window: WindowDrift, grid: Grid, schema: Schema, column: str) -> Shape:
    """How a column, or the risk, is spread in a window and in what it is compared with."""
    one = next(found for found in grid.columns if found.name == column)
    now, before = (counts[grid.places[column]][: one.values] for counts in (window.counts, window.reference))
    if one.kind == "category":
        return _levels(one, schema.feature(column), _share(now), _share(before))
    return _number(one, None if column == RISK else schema.feature(column), schema, _share(now), _share(before))


def middle(window: WindowDrift, grid: Grid, column: str) -> tuple[float, float] | None:
    """The median of a number before and now, to a step of the grid; None where either is not known."""
    one = next(found for found in grid.columns if found.name == column)
    found = []
    for counts in (window.reference, window.counts):
        own = counts[grid.places[column]][: one.values]
        if not own.sum() or len(one.edges) < 2:
            return None
        place = int(np.searchsorted(np.cumsum(own), own.sum() / 2))
        found.append(float(one.edges[min(max(place, 1), len(one.edges) - 1)]))
    return found[0], found[1]


def most_changed(window: WindowDrift, grid: Grid, schema: Schema, column: str) -> tuple[str, float, float] | None:
    """The level of a category whose share changed most, in words, with its share before and now; None where nothing is known."""
    one = next(found for found in grid.columns if found.name == column)
    now, before = (_share(counts[grid.places[column]][: one.values]) for counts in (window.counts, window.reference))
    known = len(one.levels)
    if not now.any() or not before.any() or not known:
        return None
    place = int(np.argmax(np.abs(now[:known] - before[:known])))
    level = schema.feature(column).level(one.levels[place])
    return level.shown if level else one.levels[place], float(before[place]), float(now[place])


def _share(counts: Counts) -> Floats:
    total = counts.sum()
    return counts / total if total else np.zeros(len(counts))


def _levels(column: Column, feature: Feature, now: Floats, before: Floats) -> Shape:
    """The schema's levels in its order; of many, those most had on either side, and all others together."""
    names = [level.shown if (level := feature.level(value)) else value for value in column.levels]
    shown = [i for i in range(len(names)) if now[i] or before[i]]
    if len(shown) > BARS:
        most = sorted(shown, key=lambda i: -max(now[i], before[i]))[: BARS - 1]
        shown = sorted(most)
    bars = [Bar(names[i], float(now[i]), float(before[i])) for i in shown]
    rest = [i for i in range(len(names)) if i not in shown and (now[i] or before[i])]
    if rest:
        bars.append(Bar("Others", float(now[rest].sum()), float(before[rest].sum())))
    if now[-1] or before[-1]:
        bars.append(Bar("New", float(now[-1]), float(before[-1])))
    return Shape(column.name, tuple(bars))


def _number(column: Column, feature: Feature | None, schema: Schema, now: Floats, before: Floats) -> Shape:
    edges = column.edges
    if len(edges) < 2:
        return Shape(column.name, ())
    values = edges[1:]
    if feature is not None and feature.whole and len(values) <= _EACH:
        bars = [Bar(_told(float(at), feature, schema), float(now[i + 1]), float(before[i + 1])) for i, at in enumerate(values)]
        if now[0]:
            bars.insert(0, Bar(f"Under {_told(float(values[0]), feature, schema)}", float(now[0]), float(before[0])))
        if now[-1]:
            bars.append(Bar(f"Over {_told(float(values[-1]), feature, schema)}", float(now[-1]), float(before[-1])))
        return Shape(column.name, tuple(bars))
    cumulated = np.cumsum(before)
    low = float(edges[min(int(np.searchsorted(cumulated, _ENDS[0])), len(edges) - 1)])
    high = float(edges[min(int(np.searchsorted(cumulated, _ENDS[1])), len(edges) - 1)])
    step = _round_step((high - low) / BARS, whole=feature is not None and feature.whole)
    first = math.floor(low / step) * step
    limits = first + step * np.arange(max(2, math.ceil((high - first) / step - 1e-9) + 1))
    inner = limits[1:-1]
    shares = [np.diff(_upto(one, before, edges, inner), prepend=0.0, append=1.0 if one.any() else 0.0) for one in (now, before)]
    ticks = tuple(_told(float(at), feature, schema) for at in limits)
    if float(limits[-1]) < float(edges[-1]) or now[-1]:
        ticks = (*ticks[:-1], f"{ticks[-1]}+")
    bars = [
        Bar(words.interval(ticks[i], ticks[i + 1]), max(float(a), 0.0), max(float(b), 0.0))
        for i, (a, b) in enumerate(zip(*shares, strict=True))
    ]
    return Shape(column.name, tuple(bars), _told(step, feature, schema), ticks)


def _upto(shares: Floats, reference: Floats, edges: Floats, at: npt.NDArray[Any]) -> Floats:
    """The share at or below some values: exact at an edge, evenly in between, but for a cell that is one frequent value."""
    cumulated = np.cumsum(shares)[:-1]  # at the edges
    place = np.clip(np.searchsorted(edges, at, side="right"), 1, len(edges) - 1)
    left, right = edges[place - 1], edges[place]
    way = np.clip((at - left) / np.maximum(right - left, 1e-300), 0.0, 1.0)
    # a frequent value lies at the right edge of its cell, and counts only from there on; so does each of a number with few values
    few = len(edges) < 128
    way = np.where(np.logical_or(few, reference[place] > _ATOM) & (at < right), 0.0, way)
    found: Floats = cumulated[place - 1] + way * (cumulated[place] - cumulated[place - 1])
    return found


def _round_step(wanted: float, *, whole: bool) -> float:
    power = 10.0 ** math.floor(math.log10(max(wanted, 1e-12)))
    step = next(digit * power for digit in (1, 2, 2.5, 5, 10) if digit * power >= wanted * (1 - 1e-9))
    return max(1.0, math.ceil(step)) if whole else step


def _told(value: float, feature: Feature | None, schema: Schema) -> str:
    if feature is None:
        return words.percent(round(value, 6))
    return words.quantity(round(value, 9), feature, schema, unit=False)
