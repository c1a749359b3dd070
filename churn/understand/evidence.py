"""What real customers are like, to tell which edits lead away from all of them, and what values there are to try.

Two questions are asked of the model's reference sample. *Is a pair of facts unheard of?* A pair counts as unheard of if nobody
has it although, were the two unrelated, five or more would. *Is the nearest customer too far?* Distance is Gower's (1971): the
mean over columns of the difference by the column's spread, or 0 and 1 for levels; too far is beyond what 99 in 100 real
customers have to their nearest neighbour.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from churn import words
from churn.data.schema import Feature, Rule, Schema

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

_ROWS = 4_000  # of the reference that distances are taken to; one question then costs about a millisecond
_PROBES = 300  # rows whose nearest neighbour says what is usual
_BINS = 10
_EXPECTED = 5.0
_MISSING = -1
_UNKNOWN = 1_000_000  # code of a level nobody has
_TELLING = 5  # different values that show what all are multiples of
_SLACK = 1e-9  # of a distance that is compared with a limit
_FEW = 500  # edited rows that are not worth loading the compiler for, which takes a second and 130 MB
_PLACES = 50  # a slider's least, over the middle nine tenths of what has been seen


@dataclass(frozen=True, slots=True)
class Support:
    """Whether anybody real looks like an edited row; if not, `note` says what is not real about it.

    `distance` to the nearest real customer and `limit`, both Gower's, 0–1; `unheard` are pairs of columns (or single ones)
    whose values nobody has together, the one that most would be expected to have first.
    """

    supported: bool
    note: str
    distance: float
    limit: float
    unheard: tuple[tuple[str, ...], ...]


class Evidence:
    """The reference sample of a model, ready to be asked about one row at a time."""

    def __init__(self, reference: pl.DataFrame, schema: Schema) -> None:
        """`reference`: conformed rows, at least the schema's features. Work is done when first asked for."""
        self.schema = schema
        self._reference = reference.select(schema.names)
        self._known_reserved: dict[tuple[int, str], bool] = {}
        self._known_values: dict[str, Floats] = {}
        self._known_strange: dict[tuple[int, int], Floats] = {}
        self._known_quantiles: dict[tuple[str, int], Floats] = {}
        self._known_joint: dict[tuple[int, int], npt.NDArray[np.int64]] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nobody is known: then everything goes."""
        return self._reference.is_empty()

    # -- rules ----------------------------------------------------------------

    def reserved(self, rule: Rule, feature: Feature) -> bool:
        """Whether nobody has the value that `rule` gives `feature` unless the rule holds."""
        key = (self.schema.rules.index(rule), feature.name)
        if key not in self._known_reserved:
            self._known_reserved[key] = self._find_reserved(rule, feature)
        return self._known_reserved[key]

    def _find_reserved(self, rule: Rule, feature: Feature) -> bool:
        value = float(rule.then[feature.name]) if feature.is_number else str(rule.then[feature.name])
        return not bool((self._without(rule)[feature.name] == value).any())

    def usual_without(self, rule: Rule, feature: Feature) -> str | float | None:
        """What is usual in a column where a rule does not hold: the median, or the most frequent level."""
        known = self._without(rule)[feature.name].drop_nulls()
        if known.is_empty():
            return None
        if not feature.is_number:
            counts = known.value_counts(sort=True)
            return str(counts.filter(pl.col("count") == counts["count"][0])[feature.name].sort()[0])
        median = float(np.median(known.to_numpy()))
        return float(words.rounded(median)) if feature.whole else median

    def _without(self, rule: Rule) -> pl.DataFrame:
        return self._reference.filter(~rule.holds(self._reference))

    # -- values ---------------------------------------------------------------

    def limits(self, feature: Feature) -> tuple[float, float]:
        """The lowest and highest value an edit of a number may have: within what has been seen, and within what there can be."""
        known = self._known(feature.name)
        seen = (float(known[0]), float(known[-1])) if len(known) else (-math.inf, math.inf)
        low, high = feature.range or seen
        low = low if feature.at_least is None else max(low, feature.at_least)
        return low, high if feature.at_most is None else min(high, feature.at_most)

    def step(self, feature: Feature) -> float:
        """A round step (1, 2 or 5 × 10ⁿ) for a number: at least fifty places over the middle nine tenths of what has been seen.

        Never finer than the data: where all values are whole, or multiples of 100, so are the steps.
        """
        known = self._known(feature.name)
        low, high = np.quantile(known, [0.05, 0.95]) if len(known) else (0.0, 0.0)
        if high <= low:  # nearly everybody has the same: then the whole range
            low, high = (known.min(), known.max()) if len(known) else feature.range or (0.0, 1.0)
        finest = max(_grain(known), 1.0 if feature.whole else 0.0)
        wide = (float(high) - float(low)) / _PLACES
        if not wide > 0:
            return finest or 1.0
        power = 10.0 ** math.floor(math.log10(wide))
        step = max(digit * power for digit in (1, 2, 5) if digit * power <= wide * (1 + 1e-9))
        return max(step, finest)

    def grid(self, feature: Feature, most: int) -> tuple[float, ...]:
        """At most `most` values of a number, lowest first, spread evenly over what has been seen and rounded to its steps.

        All values that were seen where they are few; never below or above what an edit may reach.
        """
        low, high = self.limits(feature)
        known = self._known(feature.name)
        known = known[(known >= low) & (known <= high)]
        if not len(known):
            return ()
        seen = np.unique(known)
        if len(seen) <= most:
            return tuple(map(float, seen))
        low, high, step = float(seen[0]), float(seen[-1]), self.step(feature)
        while (high - low) / step > most - 2:
            step *= 2 if round(step / 10.0 ** math.floor(math.log10(step)), 6) != 2 else 2.5
        inner = np.arange(math.ceil(low / step + 1e-9), math.ceil(high / step - 1e-9)) * step
        return tuple(float(f"{value:.12g}") for value in (low, *inner, high))

    def shares(self, feature: Feature, most: int) -> tuple[float, ...]:
        """At most `most` values of a number, lowest first, with about as many customers between each two; rounded to its steps.

        The outermost hundredths are left out: a lone value far off would take a place that says nothing of anybody.
        """
        low, high = self.limits(feature)
        known = self._known(feature.name)
        known = known[(known >= low) & (known <= high)]
        if not len(known):
            return ()
        cuts = np.quantile(known, np.linspace(0.01, 0.99, most), method="nearest")
        step = self.step(feature)
        rounded = np.clip(np.rint(cuts / step) * step, known[0], known[-1])
        return tuple(sorted({float(f"{value:.12g}") for value in rounded}))

    def has_gaps(self, feature: Feature) -> bool:
        """Whether a column was not known of somebody, so that the model has learnt what that goes with."""
        return self._reference[feature.name].null_count() > 0

    def quantiles(self, feature: Feature, most: int) -> Floats:
        """`most` values of a number that were seen, lowest first, from the 1st hundredth to the 99th; empty where none is."""
        key = (feature.name, most)
        if key not in self._known_quantiles:
            known = self._known(feature.name)
            shares = np.linspace(0.01, 0.99, most)
            self._known_quantiles[key] = np.quantile(known, shares, method="nearest") if len(known) else known
        return self._known_quantiles[key]

    def _known(self, name: str) -> Floats:
        if name not in self._known_values:
            self._known_values[name] = self._reference[name].drop_nulls().cast(pl.Float64).sort().to_numpy()
        return self._known_values[name]

    # -- support --------------------------------------------------------------

    def support(self, before: Mapping[str, Any], after: Mapping[str, Any], changed: Collection[str]) -> Support:
        """Whether an edited row is one the model can know about.

        A customer who is unusual to begin with is not held against the edit: the distance may grow up to the limit or to
        what it was, and only a column that leaves its tenth or its level makes a new pair.

        Parameters
        ----------
        before, after: the row as it is and as edited, column → value. changed: columns that differ.
        """
        return self.supports(before, [(after, changed)])[0]

    def supports(
        self, before: Mapping[str, Any], edits: Sequence[tuple[Mapping[str, Any], Collection[str]]]
    ) -> tuple[Support, ...]:
        """The same of many edits of one row, each (row after, columns that differ): what they share is worked out once."""
        around = self.around(before)
        return tuple(around.support(after, changed) for after, changed in edits)

    def around(self, before: Mapping[str, Any]) -> Around:
        """One row, ready to be asked about many edits of it."""
        return Around(self, before)

    def placed(self, table: pl.DataFrame) -> Floats:
        """Conformed rows as distances take them, [n, features]: what `supported` asks for."""
        return np.stack([self._place(place, table[name]) for place, name in enumerate(self.schema.names)], axis=1)

    def supported(self, was: Floats, after: pl.DataFrame, changed: Mapping[str, npt.NDArray[np.bool_]]) -> npt.NDArray[np.bool_]:
        """Whether each of many edited rows is one the model can know about: `support`, one answer a row.

        Parameters
        ----------
        was: the rows before, as `placed` gives them. after: of the n edited rows, at least the columns in `changed`.
        changed: feature → [n], whether it differs; features left out do not.
        """
        if self.is_empty:
            return np.ones(len(was), dtype=np.bool_)
        places = {place: changed[name] for place, name in enumerate(self.schema.names) if name in changed}
        now = was.copy()
        for place, mask in places.items():
            now[mask, place] = self._place(place, after[self.schema.names[place]])[mask]
        fine = ~self._any_unheard(was, now, places)
        asked = np.flatnonzero(fine & np.logical_or.reduce([*places.values(), np.zeros(len(was), dtype=np.bool_)]))
        fine[asked] = (self._near if len(asked) <= _FEW else self._near_compiled)(was[asked], now[asked])
        return fine

    def _near(self, was: Floats, now: Floats) -> npt.NDArray[np.bool_]:
        """For every row [n, features], whether its nearest customer is no further than the limit, or than its own was before."""

        def nearest(row: Floats) -> float:
            total = sum(self._apart(place, float(value)) for place, value in enumerate(row))
            return float(np.min(total)) / len(row)

        def near(before: Floats, after: Floats) -> bool:
            distance = nearest(after) - _SLACK
            return distance <= self._limit or distance <= nearest(before)

        return np.array([near(before, after) for before, after in zip(was, now, strict=True)], dtype=np.bool_)

    def _near_compiled(self, was: Floats, now: Floats) -> npt.NDArray[np.bool_]:
        """The same for many rows."""
        from churn.understand._near import near

        number = np.array([feature.is_number for feature in self.schema.features])
        return near(self._together_in_rows, number, was, now, self._limit, _SLACK)

    @cached_property
    def _together_in_rows(self) -> Floats:
        return np.ascontiguousarray(np.stack(self._columns, axis=1))

    def _place(self, place: int, column: pl.Series) -> Floats:
        """One column of many rows as distances take it: `_row` of each."""
        feature = self.schema.features[place]
        if feature.is_number:
            return np.asarray(column.cast(pl.Float64).fill_null(math.nan).to_numpy() / self._spread_at[place])
        known = column.cast(pl.String).replace_strict(self._level_codes[feature.name], default=_UNKNOWN, return_dtype=pl.Int64)
        return np.where(column.is_null().to_numpy(), _MISSING, known.to_numpy()).astype(np.float64)

    def _any_unheard(self, was: Floats, now: Floats, differs: Mapping[int, npt.NDArray[np.bool_]]) -> npt.NDArray[np.bool_]:
        """Where an edit leads to a value, or a pair of values, that nobody has (`_unheard`)."""
        rows = self._sample.height
        codes = [self._bins(place, np.ascontiguousarray(now[:, place])) for place in range(now.shape[1])]
        sizes = [len(counts) for counts in self._counts]
        inside = [np.minimum(code, size - 1) for code, size in zip(codes, sizes, strict=True)]
        own = [np.where(code < len(counts), counts[at], 0)
               for code, counts, at in zip(codes, self._counts, inside, strict=True)]  # fmt: skip
        found = np.zeros(len(now), dtype=np.bool_)
        for i, differing in differs.items():
            before = self._bins(i, np.ascontiguousarray(was[:, i]))
            moved = np.flatnonzero(differing & (codes[i] != before))
            if not len(moved):
                continue
            found[moved] |= own[i][moved] == 0
            for j in range(now.shape[1]):
                expected = own[i][moved] * own[j][moved] / rows
                together = self._joint(i, j)[inside[i][moved], inside[j][moved]]
                found[moved] |= (expected >= _EXPECTED) & (together == 0)
        return found

    def _joint(self, i: int, j: int) -> npt.NDArray[np.int64]:
        """How often every code of one column comes with every code of another."""
        if (i, j) not in self._known_joint:
            rows, columns = len(self._counts[i]), len(self._counts[j])
            pairs = self._binned[i] * columns + self._binned[j]
            self._known_joint[i, j] = np.bincount(pairs, minlength=rows * columns).reshape(rows, columns)
        return self._known_joint[i, j]

    def _note(self, row: Mapping[str, Any], unheard: tuple[tuple[str, ...], ...]) -> str:
        """What is not real about a row, as a sentence."""
        if not unheard:
            return words.say("nobody near")
        features = sorted(map(self.schema.feature, unheard[0]), key=lambda feature: feature.is_number)  # reads better
        if len(features) == 1 and words.is_nothing(row.get(features[0].name)):
            return words.say("nobody unknown", label=words.lower_first(features[0].label))
        one, *others = [self._fact(row.get(feature.name), feature) for feature in features]
        return words.say("nobody has both", one=one, other=others[0]) if others else words.say("nobody has", fact=one)

    def _fact(self, value: Any, feature: Feature) -> str:
        if not feature.is_number and not words.is_nothing(value) and feature.level(str(value)) is None:
            return words.say("fact", label=words.lower_first(feature.label), value=str(value))  # of a schema that lacks it
        return words.phrase(value, feature, self.schema, about=feature.is_number and not feature.whole)

    @cached_property
    def _sample(self) -> pl.DataFrame:
        return self._reference if self._reference.height <= _ROWS else self._reference.sample(_ROWS, seed=0)

    @cached_property
    def _numbers(self) -> Floats:
        """Numbers over their spread, [rows, number features]; missing is NaN."""
        table = self._sample.select(pl.col(f.name).cast(pl.Float64) for f in self.schema.numbers)
        return (table.to_numpy() if table.width else np.empty((self._sample.height, 0))) / self._spread

    @cached_property
    def _spread(self) -> Floats:
        def spread(name: str) -> float:
            known = self._sample[name].drop_nulls().cast(pl.Float64).to_numpy()
            low, high = np.quantile(known, [0.01, 0.99]) if len(known) else (0.0, 0.0)
            return float(high - low) or 1.0

        return np.array([spread(f.name) for f in self.schema.numbers], dtype=np.float64)

    @cached_property
    def _level_codes(self) -> dict[str, dict[str, int]]:
        """Category → level → code; levels that only the reference knows too."""
        found: dict[str, dict[str, int]] = {}
        for feature in self.schema.categories:
            seen = self._sample[feature.name].drop_nulls().unique().sort().to_list()
            names = dict.fromkeys([*(level.value for level in feature.levels), *map(str, seen)])
            found[feature.name] = {name: i for i, name in enumerate(names)}
        return found

    @cached_property
    def _codes(self) -> npt.NDArray[np.int64]:
        """Levels as codes, [rows, category features]; missing is −1."""
        columns = [
            self._sample[f.name].cast(pl.String).replace_strict(self._level_codes[f.name], default=None, return_dtype=pl.Int64)
            for f in self.schema.categories
        ]
        filled = [column.fill_null(_MISSING).to_numpy() for column in columns]
        return np.stack(filled, axis=1) if filled else np.empty((self._sample.height, 0), dtype=np.int64)

    def _at(self, place: int, value: Any) -> float:
        """A value as distances take it: a number over its spread (missing is NaN), a level as its code."""
        feature = self.schema.features[place]
        if not feature.is_number:
            return float(_MISSING if value is None else self._level_codes[feature.name].get(str(value), _UNKNOWN))
        return math.nan if words.is_nothing(value) else float(value) / self._spread_at[place]

    def _row(self, row: Mapping[str, Any]) -> tuple[float, ...]:
        """A row as distances take it, in the schema's order."""
        return tuple(self._at(place, row.get(name)) for place, name in enumerate(self.schema.names))

    @cached_property
    def _spread_at(self) -> dict[int, float]:
        """Place of a number column → its spread."""
        places = (place for place, feature in enumerate(self.schema.features) if feature.is_number)
        return dict(zip(places, self._spread.tolist(), strict=True))

    @cached_property
    def _columns(self) -> tuple[Floats, ...]:
        """The sample's columns as distances take them, in the schema's order."""
        numbers, codes = iter(self._numbers.T), iter(self._codes.T)
        return tuple(
            np.ascontiguousarray(next(numbers) if feature.is_number else next(codes), dtype=np.float64)
            for feature in self.schema.features
        )

    def _apart(self, place: int, value: float) -> Floats:
        """How far every row of the sample is from a value in one column, 0–1."""
        column = self._columns[place]
        if not self.schema.features[place].is_number:
            return np.asarray(column != value, dtype=np.float64)
        if math.isnan(value):  # missing is near missing and far from everything else
            return np.asarray(~np.isnan(column), dtype=np.float64)
        apart: Floats = np.where(np.isnan(column), 1.0, np.minimum(np.abs(column - value), 1.0))
        return apart

    @cached_property
    def _limit(self) -> float:
        """The distance to the nearest other customer that 99 in 100 do not exceed."""
        rows = self._sample.height
        if rows < 2:
            return 0.0
        nearest = []
        for row in np.linspace(0, rows - 1, min(_PROBES, rows)).astype(int):
            total = sum(self._apart(i, float(column[row])) for i, column in enumerate(self._columns))
            distances = np.asarray(total) / len(self._columns)
            distances[row] = np.inf
            nearest.append(distances.min())
        return float(np.quantile(nearest, 0.99))

    @cached_property
    def _edges(self) -> dict[int, Floats]:
        """Place of a number column → the edges of its tenths."""
        found = {}
        for place, feature in enumerate(self.schema.features):
            if feature.is_number:
                column = self._columns[place]
                known = column[~np.isnan(column)]
                found[place] = np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1])) if len(known) else np.empty(0)
        return found

    @cached_property
    def _binned(self) -> npt.NDArray[np.int64]:
        """Every column of the sample as codes from 0 (missing), [features, rows]: levels, and numbers by tenths."""
        return np.stack([self._bins(place, column) for place, column in enumerate(self._columns)])

    def _bins(self, place: int, values: Floats) -> npt.NDArray[np.int64]:
        if place not in self._edges:
            return values.astype(np.int64) + 1
        return np.where(np.isnan(values), 0, np.searchsorted(self._edges[place], values, side="left") + 1).astype(np.int64)

    @cached_property
    def _counts(self) -> tuple[npt.NDArray[np.int64], ...]:
        return tuple(np.bincount(column) for column in self._binned)

    def _code(self, place: int, value: float) -> int:
        """The code of one value, as `_bins` gives it."""
        if place not in self._edges:
            return int(value) + 1
        return 0 if math.isnan(value) else int(np.searchsorted(self._edges[place], value, side="left")) + 1

    @cached_property
    def _starts(self) -> npt.NDArray[np.int64]:
        """Where each column's codes begin if all columns' are counted through; the last is where they end."""
        return np.cumsum([0, *(len(counts) for counts in self._counts)])

    def _counted(self, codes: Codes) -> Codes:
        """A row's codes counted through; one that nobody of the sample has is at the end."""
        through = self._starts[:-1] + codes
        return np.where(through < self._starts[1:], through, self._starts[-1])

    def _strange(self, place: int, code: int) -> Floats | None:
        """How often every code of every column, counted through, was to be expected with this code of this one, where that is
        five times or more and nobody has both; else 0. None where nobody has the code. Asked again and again, so kept."""
        key = (place, code)
        if key not in self._known_strange:
            counts = self._counts[place]
            if code >= len(counts) or not counts[code]:
                return None
            having = self._binned[:, self._binned[place] == code]
            together = [np.bincount(column, minlength=len(own)) for column, own in zip(having, self._counts, strict=True)]
            expected = np.concatenate(self._counts) * int(counts[code]) / self._sample.height
            strange = np.where((expected >= _EXPECTED) & (np.concatenate(together) == 0), expected, 0.0)
            self._known_strange[key] = np.append(strange, 0.0)
        return self._known_strange[key]

    def _unheard(self, codes: Codes, moved: Iterable[int]) -> tuple[tuple[str, ...], ...]:
        """Pairs of values nobody has though five or more were to be expected, and single values nobody has.

        codes: of the row, [features]. moved: places whose code an edit changed.
        """
        names, through = self.schema.names, self._counted(codes)
        found: dict[tuple[str, ...], tuple[float, tuple[str, ...]]] = {}
        for i in moved:
            strange = self._strange(i, int(codes[i]))
            if strange is None:
                found[(names[i],)] = (math.inf, (names[i],))
                continue
            expected = strange[through]
            for j in np.flatnonzero(expected).tolist():
                found.setdefault(tuple(sorted((names[i], names[j]))), (float(expected[j]), (names[i], names[j])))
        return tuple(pair for _, pair in sorted(found.values(), key=lambda one: -one[0]))


class Around:
    """One row before any edit, and how far everybody is from it: what all questions about its edits share."""

    def __init__(self, evidence: Evidence, before: Mapping[str, Any]) -> None:
        self._evidence, self._before = evidence, before
        self._places = {name: place for place, name in enumerate(evidence.schema.names)}
        self._nearer: dict[tuple[int, float], Floats] = {}

    def supported(self, after: Mapping[str, Any], changed: Collection[str]) -> bool:
        """Whether an edited row is one the model can know about. after: at least the columns in `changed`."""
        if self._evidence.is_empty or not changed:
            return True
        values = self._values(after, changed)
        codes, moved = self._codes_of(values)
        through = self._evidence._counted(codes)
        for i in moved:
            strange = self._evidence._strange(i, int(codes[i]))
            if strange is None or strange[through].any():
                return False
        return self._distance(values) <= self._limit + _SLACK

    def support(self, after: Mapping[str, Any], changed: Collection[str]) -> Support:
        """The same with distance and reason. after: the whole row."""
        if self._evidence.is_empty or not changed:
            return Support(True, "", 0.0, 0.0, ())
        values = self._values(after, changed)
        distance = self._distance(values)
        unheard = self._evidence._unheard(*self._codes_of(values))
        fine = not unheard and distance <= self._limit + _SLACK
        return Support(fine, "" if fine else self._evidence._note(after, unheard), distance, self._limit, unheard)

    def _values(self, after: Mapping[str, Any], changed: Collection[str]) -> dict[int, float]:
        """What changed, as distances take it, in the schema's order."""
        places = sorted(self._places[name] for name in changed if name in self._places)
        return {place: self._evidence._at(place, after[self._evidence.schema.names[place]]) for place in places}

    def _codes_of(self, values: Mapping[int, float]) -> tuple[Codes, list[int]]:
        """The row's codes [features], and the places where they are not what they were."""
        codes = self._codes.copy()
        for place, value in values.items():
            codes[place] = self._evidence._code(place, value)
        return codes, [place for place in values if codes[place] != self._codes[place]]

    def _distance(self, values: Mapping[int, float]) -> float:
        """To the nearest of the sample: the distance before, and what each change adds to it."""
        total = self._whole
        for key in values.items():
            if key not in self._nearer:
                self._nearer[key] = self._evidence._apart(*key) - self._apart[key[0]]
            total = total + self._nearer[key]
        return max(float(total.min()), 0.0) / len(self._places)

    @cached_property
    def _was(self) -> tuple[float, ...]:
        return self._evidence._row(self._before)

    @cached_property
    def _codes(self) -> Codes:
        return np.array([self._evidence._code(place, value) for place, value in enumerate(self._was)], dtype=np.int64)

    @cached_property
    def _apart(self) -> Floats:
        """How far every row of the sample is in each column, [features, rows]."""
        return np.stack([self._evidence._apart(place, value) for place, value in enumerate(self._was)])

    @cached_property
    def _whole(self) -> Floats:
        whole: Floats = self._apart.sum(axis=0)
        return whole

    @cached_property
    def _limit(self) -> float:
        return max(self._evidence._limit, float(self._whole.min()) / len(self._places))


def _grain(values: Floats) -> float:
    """The largest power of ten (0.01 to a million) that all values are multiples of; 0 where there is none, or too few to say."""
    found = 0.0
    if len(np.unique(values)) < _TELLING:
        return found
    for power in range(-2, 7):
        size = 10.0**power
        if not np.allclose(values / size, np.rint(values / size), rtol=0, atol=1e-6):
            break
        found = size
    return found
