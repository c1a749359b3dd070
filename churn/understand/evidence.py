"""What real customers are like, to tell which edits lead away from all of them.

Two questions are asked of the model's reference sample. *Is a pair of facts unheard of?* A pair counts as unheard of if nobody
has it although, were the two unrelated, five or more would. *Is the nearest customer too far?* Distance is Gower's (1971): the
mean over columns of the difference by the column's spread, or 0 and 1 for levels; too far is beyond what 99 in 100 real
customers have to their nearest neighbour.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from churn import words
from churn.data.schema import Feature, Rule, Schema

Floats = npt.NDArray[np.float64]

_ROWS = 4_000  # of the reference that distances are taken to; one question then costs about a millisecond
_PROBES = 300  # rows whose nearest neighbour says what is usual
_BINS = 10
_EXPECTED = 5.0
_MISSING = -1


@dataclass(frozen=True, slots=True)
class Support:
    """Whether anybody real looks like an edited row; if not, `note` says so.

    `distance` to the nearest real customer and `limit`, both Gower's, 0–1; `unheard` are pairs of columns (or single ones)
    whose values nobody has together.
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
        holds = pl.all_horizontal(self._meets(self.schema.feature(column), wanted) for column, wanted in rule.when.items())
        return self._reference.filter(~holds)

    def _meets(self, feature: Feature, wanted: str | tuple[str, ...]) -> pl.Expr:
        texts = [wanted] if isinstance(wanted, str) else list(wanted)
        if feature.is_number:
            return pl.col(feature.name).is_in(pl.Series(texts).cast(pl.Float64, strict=False).drop_nulls()).fill_null(value=False)
        return pl.col(feature.name).is_in(texts).fill_null(value=False)

    # -- support --------------------------------------------------------------

    def support(self, before: Mapping[str, Any], after: Mapping[str, Any], changed: Collection[str]) -> Support:
        """Whether an edited row is one the model can know about.

        A customer who is unusual to begin with is not held against the edit: the distance may grow up to the limit or to
        what it was.

        Parameters
        ----------
        before, after: the row as it is and as edited, column → value. changed: columns that differ.
        """
        places = [i for i, name in enumerate(self.schema.names) if name in changed]
        if not places or self._reference.is_empty():
            return Support(True, "", 0.0, 0.0, ())
        numbers, codes = self._numbers, self._codes
        was, now = self._row(before), self._row(after)
        distance = float(self._distances(*now, numbers, codes).min())
        limit = max(self._limit, float(self._distances(*was, numbers, codes).min()))
        unheard = self._unheard(now, places)
        fine = not unheard and distance <= limit + 1e-12
        return Support(fine, "" if fine else words.say("nobody like this"), distance, limit, unheard)

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

    def _row(self, row: Mapping[str, Any]) -> tuple[Floats, npt.NDArray[np.int64]]:
        numbers = [np.nan if words.is_nothing(row.get(f.name)) else float(row[f.name]) for f in self.schema.numbers]
        unknown = 1_000_000  # a level nobody has
        codes = [
            _MISSING if row.get(f.name) is None else self._level_codes[f.name].get(str(row[f.name]), unknown)
            for f in self.schema.categories
        ]
        return np.array(numbers, dtype=np.float64) / self._spread, np.array(codes, dtype=np.int64)

    def _distances(
        self, numbers: Floats, codes: npt.NDArray[np.int64], all_numbers: Floats, all_codes: npt.NDArray[np.int64]
    ) -> Floats:
        apart = np.minimum(np.abs(all_numbers - numbers), 1.0)
        lost = np.isnan(apart)
        if lost.any():  # missing is near missing and far from everything else
            apart[lost] = (np.isnan(all_numbers) != np.isnan(numbers))[lost]
        total: Floats = apart.sum(axis=1) + (all_codes != codes).sum(axis=1)
        return total / max(len(self.schema.features), 1)

    @cached_property
    def _limit(self) -> float:
        """The distance to the nearest other customer that 99 in 100 do not exceed."""
        numbers, codes = self._numbers, self._codes
        if len(numbers) < 2:
            return 0.0
        nearest = []
        for i in np.linspace(0, len(numbers) - 1, min(_PROBES, len(numbers))).astype(int):
            distances = self._distances(numbers[i], codes[i], numbers, codes)
            distances[i] = np.inf
            nearest.append(distances.min())
        return float(np.quantile(nearest, 0.99))

    @cached_property
    def _binned(self) -> tuple[npt.NDArray[np.int64], list[Floats]]:
        """Every column as codes, [rows, features] in the schema's order, numbers by tenths; and the tenths' edges."""
        edges = []
        for column in self._numbers.T:
            known = column[~np.isnan(column)]
            cuts = np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1]) if len(known) else np.empty(0)
            edges.append(np.unique(cuts))
        binned = [_bins(column, cuts) for column, cuts in zip(self._numbers.T, edges, strict=True)]
        return self._ordered(binned, list(self._codes.T)), edges

    def _ordered(self, numbers: list[Any], categories: list[Any]) -> npt.NDArray[np.int64]:
        of_number, of_category = iter(numbers), iter(categories)
        return np.stack([next(of_number if f.is_number else of_category) for f in self.schema.features], axis=-1)

    def _unheard(self, row: tuple[Floats, npt.NDArray[np.int64]], changed: list[int]) -> tuple[tuple[str, ...], ...]:
        table, edges = self._binned
        numbers = [_bins(np.array([value]), cuts)[0] for value, cuts in zip(row[0], edges, strict=True)]
        own = self._ordered(numbers, list(row[1]))
        same = table == own
        share = same.mean(axis=0)
        names = self.schema.names
        found: list[tuple[str, ...]] = []
        for i in changed:
            having = same[:, i]
            count = int(having.sum())
            if count == 0:
                found.append((names[i],))
                continue
            together = same[having].sum(axis=0)
            never = (together == 0) & (count * share >= _EXPECTED)
            found += [(names[i], names[j]) for j in np.flatnonzero(never)]
        pairs = {tuple(sorted(pair)): pair for pair in found}
        return tuple(pairs.values())


def _bins(values: Floats, edges: Floats) -> npt.NDArray[np.int64]:
    return np.where(np.isnan(values), _MISSING, np.searchsorted(edges, values, side="left")).astype(np.int64)
